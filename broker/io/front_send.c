// Path of a task, step 9 of 10: socket. From core/dispatch.c, to the worker's DEALER.
#include "io/front_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "wire/command.h"

struct waiting {
    struct list_link link;
    size_t len;
    uint8_t data[];
};
// Messages that a peer's pipe did not take yet, in order.
struct outbox {
    struct list_link link; // in front->outbox_list
    struct list messages;
    size_t messages_count;
    size_t bytes_count;
    size_t peer_len;
    uint8_t peer[256];
};

enum sent { SENT, SENT_LATER, SENT_NEVER };

static void
outbox_destroy(struct front *front, struct outbox *outbox)
{
    struct list_link *link;
    while ((link = list_first(&outbox->messages)) != NULL) {
        list_remove(link);
        free(container_of(link, struct waiting, link));
    }
    list_remove(&outbox->link);
    map_remove(front->outboxes, outbox->peer, outbox->peer_len);
    front->counts.outboxes_count--;
    free(outbox);
}

void
outboxes_fini(struct front *front)
{
    struct list_link *link;
    while ((link = list_first(&front->outbox_list)) != NULL) {
        outbox_destroy(front, container_of(link, struct outbox, link));
    }
    map_destroy(&front->outboxes);
}

static enum sent
send_now(struct front *front, struct span peer, struct span frame)
{
    if (zmq_send(front->socket, peer.data, peer.len, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1) {
        return errno == EAGAIN ? SENT_LATER : SENT_NEVER;
    }
    int result = zmq_send(front->socket, frame.data, frame.len, ZMQ_DONTWAIT);
    zkt_assert(result !=
               -1); // the routing id was accepted: the pipe has room for the whole message
    front->counts.sent_count++;
    return SENT;
}

static bool
keep(struct front *front, struct span peer, struct span frame)
{
    struct outbox *outbox = map_get(front->outboxes, peer.data, peer.len);
    if (outbox == NULL) {
        zkt_assert(peer.len <= sizeof outbox->peer);
        outbox = xcalloc(1, sizeof *outbox);
        list_init(&outbox->messages);
        outbox->peer_len = peer.len;
        memcpy(outbox->peer, peer.data, peer.len);
        map_put(front->outboxes, peer.data, peer.len, outbox);
        list_append(&front->outbox_list, &outbox->link);
        front->counts.outboxes_count++;
    }
    if (outbox->messages_count >= LIMIT_OUTBOX_MESSAGES ||
        outbox->bytes_count + frame.len > LIMIT_OUTBOX_BYTES) {
        front->counts.overflow_count++;
        log_warn("OUTBOX-FULL", "messages=%zu bytes=%zu", outbox->messages_count,
                 outbox->bytes_count);
        outbox_destroy(front, outbox);
        return false;
    }
    struct waiting *waiting = xmalloc(sizeof *waiting + frame.len);
    waiting->len = frame.len;
    memcpy(waiting->data, frame.data, frame.len);
    waiting->link = (struct list_link){0};
    list_append(&outbox->messages, &waiting->link);
    outbox->messages_count++;
    outbox->bytes_count += frame.len;
    return true;
}

bool
front_send(struct front *front, struct span peer, const struct command *command)
{
    bytes_clear(&front->frame);
    command_encode(command, &front->frame);
    struct span frame = bytes_span(&front->frame);
    if (front->counts.outboxes_count > 0 && map_get(front->outboxes, peer.data, peer.len) != NULL) {
        return keep(front, peer, frame);
    }
    switch (send_now(front, peer, frame)) {
    case SENT:
        return true;
    case SENT_LATER:
        return keep(front, peer, frame);
    case SENT_NEVER:
        break;
    }
    return false;
}

// Sends what one outbox holds; false when it has ended (empty, or the peer is gone).
static bool
outbox_flush(struct front *front, struct outbox *outbox)
{
    struct span peer = span_of(outbox->peer, outbox->peer_len);
    struct list_link *link;
    while ((link = list_first(&outbox->messages)) != NULL) {
        struct waiting *waiting = container_of(link, struct waiting, link);
        enum sent sent = send_now(front, peer, span_of(waiting->data, waiting->len));
        if (sent == SENT_LATER) {
            return true;
        }
        if (sent == SENT_NEVER) {
            break; // the session ends by its expiry
        }
        outbox->messages_count--;
        outbox->bytes_count -= waiting->len;
        list_remove(link);
        free(waiting);
    }
    outbox_destroy(front, outbox);
    return false;
}

bool
front_flush(struct front *front)
{
    struct list_link *link = list_first(&front->outbox_list);
    while (link != NULL) {
        struct list_link *next = list_next(&front->outbox_list, link);
        outbox_flush(front, container_of(link, struct outbox, link));
        link = next;
    }
    return front->counts.outboxes_count > 0;
}

void
front_forget(struct front *front, struct span peer)
{
    struct outbox *outbox = map_get(front->outboxes, peer.data, peer.len);
    if (outbox != NULL) {
        outbox_destroy(front, outbox);
    }
}
