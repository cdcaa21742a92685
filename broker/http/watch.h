// watch.h: how long a connection may take. libmicrohttpd closes one on which nothing moves; a peer
// that sends a byte now and then is shut down here.
#pragma once
#include <stddef.h>

#include "base/problem.h"

enum { WATCH_PROGRESS_BYTES = 64 << 10 };

// What the server waits for.
enum watch_phase {
    WATCH_HEAD,  // a whole head of a request, since the last one ended
    WATCH_BODY,  // so much of a body, since the last so much, or its end
    WATCH_ANSWER // nothing of the peer, but to read
};

struct watch;   // all connections, and a thread
struct watched; // one connection

// watch_start: seconds for a head, and for progress of a body. IO, no thread.
ZKT_MUST enum zkt_err
watch_start(unsigned head_s, unsigned body_s, struct watch **watch, struct problem *problem);
// watch_stop: no connection is left; NULL: nothing.
void
watch_stop(struct watch **watch_p);
// watch_add: a new connection, that sends a head. The socket stays open until watch_remove.
struct watched *
watch_add(struct watch *watch, int fd);
void
watch_remove(struct watch *watch, struct watched **watched_p);
void
watch_begin(struct watch *watch, struct watched *watched, enum watch_phase phase);
// watch_progress: so much of a body came.
void
watch_progress(struct watch *watch, struct watched *watched, size_t len);
