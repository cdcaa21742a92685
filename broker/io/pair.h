// pair.h: how the loop talks with a thread of its own: two inproc sockets that never block a
// sender.
#pragma once
#include "base/problem.h"

// pair_open makes both ends, one for each thread; name is for messages. The ends are the caller's.
ZKT_MUST enum zkt_err
pair_open(void *zmq_context, const char *name, void **near_end, void **far_end,
          struct problem *problem);
