// front.h: the ROUTER socket that every peer dials. One message is one frame behind the routing id;
// a leading empty frame (REQ-style peers) is accepted. Sending never blocks: what a peer's pipe
// does not take waits in its outbox, bounded by LIMIT_OUTBOX_BYTES and LIMIT_OUTBOX_MESSAGES; a
// full outbox ends the session.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "model/command.h"

struct front;

struct front_counts {
    uint64_t received_count;
    uint64_t sent_count;
    uint64_t bad_frames_count;       // could not be decoded
    uint64_t multipart_count;        // more than one frame: dropped
    uint64_t handshake_failed_count; // connections that did not speak ZMTP
    uint64_t connected_count;
    uint64_t disconnected_count; // includes connections dropped for an oversized frame
    uint64_t overflow_count;     // outboxes that were full
    uint64_t outboxes_count;     // peers with something waiting, now
};

// What the front hands on: decoded commands, and frames that could not be decoded (with what could
// be read of them). on_command answers how many bytes it wrote for the store: what it took beside
// reading the message.
struct front_handlers {
    void *arg;
    size_t (*on_command)(void *arg, struct span peer, const struct command *command);
    void (*on_bad_frame)(void *arg, struct span peer, const struct command *partial,
                         const struct problem *problem);
};

// front_new binds to address ("tcp://127.0.0.1:*" lets the kernel choose the port). ADDRESS_IN_USE,
// CONFIG_INVALID.
ZKT_MUST enum zkt_err
front_new(void *zmq_context, const char *address, const struct front_handlers *handlers,
          struct front **front, struct problem *problem);
void
front_destroy(struct front **front_p);
// front_address is what was bound, with the real port. Borrowed.
const char *
front_address(const struct front *front);
// front_socket and front_monitor are for polling.
void *
front_socket(struct front *front);
void *
front_monitor(struct front *front);
// front_drain receives and decodes messages, at most messages_max, and none after until_ns of the
// monotonic clock but a few small ones. Returns whether the socket is empty.
bool
front_drain(struct front *front, size_t messages_max, int64_t until_ns, size_t *messages_count);
// front_watch takes what the monitor saw (handshakes that failed, connections that came and went).
void
front_watch(struct front *front);
// front_send encodes and sends, or keeps it in the peer's outbox. False: no such peer, or its
// outbox is full.
bool
front_send(struct front *front, struct span peer, const struct command *command);
// front_flush tries the outboxes again; true while something still waits.
bool
front_flush(struct front *front);
void
front_forget(struct front *front, struct span peer);
const struct front_counts *
front_counts(const struct front *front);
