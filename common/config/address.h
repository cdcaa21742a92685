// address.h: what the addresses in the configuration look like.
//
// Each function returns NULL when the text is such an address, else the form it should have, in
// words. Whether the host exists is not asked.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// address_peer_form: tcp://HOST:PORT, PORT a number or *; what follows ipc:// and inproc:// is not
// looked at.
const char *
address_peer_form(const char *text);
// address_http_form: HOST:PORT.
const char *
address_http_form(const char *text);
// address_url_form: http://HOST or https://HOST, with or without a port.
const char *
address_url_form(const char *text);
