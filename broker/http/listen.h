// listen.h: the listening socket.
#pragma once
#include <stdint.h>

#include "base/problem.h"

// http_listen opens a listening socket on "HOST:PORT" ("[::1]:0", "*:5572") and tells its port.
ZKT_MUST enum zkt_err
http_listen(const char *address, int *fd, uint16_t *port, struct problem *problem);
