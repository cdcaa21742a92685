// server.h: the HTTP port: objects of the directory store, /healthz, /metrics. It runs on a thread
// of its own (libmicrohttpd); the loop hands it texts and never waits for it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "object/object_store.h"

struct http_server;

// How long a connection may take, in seconds; 0: what is said here.
struct http_patience {
    unsigned idle_s;    // 10: nothing comes, between requests and in the head of one
    unsigned head_s;    // 30: from one request until the head of the next is whole
    unsigned request_s; // 60: nothing moves in a request, or less than 64 KiB of its body came
};

struct http_options {
    const char *listen;            // "HOST:PORT", port 0: the kernel chooses
    struct object_store *objects;  // of kind "dir", or NULL: no objects here; borrowed
    struct object_store *fallback; // who asks for an object that is not here is sent there; or NULL
    int64_t (*now_ms)(void);       // wall clock; NULL: the real one
    void (*on_bound)(void *arg, uint16_t port); // once, before the first request; or NULL
    void *arg;
    struct http_patience patience;
};

// http_server_start binds and starts. ADDRESS_IN_USE, CONFIG_INVALID name the address.
ZKT_MUST enum zkt_err
http_server_start(const struct http_options *options, struct http_server **server,
                  struct problem *problem);
uint16_t
http_server_port(const struct http_server *server);
// http_server_publish hands over what /metrics and /healthz say from now on; metrics is empty
// afterwards. reason: why it is not healthy, NULL: it is. Called by one thread only.
void
http_server_publish(struct http_server *server, struct bytes *metrics, const char *reason);
// http_server_requests_count counts answered requests.
uint64_t
http_server_requests_count(const struct http_server *server);
void
http_server_stop(struct http_server **server_p);
