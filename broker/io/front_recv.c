// Path of a task, step 1 of 10: socket. From the peer's DEALER, to common/wire/command.c.
#include "io/front_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "wire/command.h"

// A frame over LIMIT_FRAME_BYTES gets an ERROR that says so; over this, libzmq drops the connection
// unread.
enum { FRAME_DROP_BYTES = LIMIT_FRAME_BYTES + (2 << 20), SEND_HIGH_WATER_MARK = 4096 };
// The clock is looked at once for so many bytes of messages, the smallest of which counts as much,
// and of what they wrote.
enum { CLOCK_EVERY_BYTES = 8 << 10, MESSAGE_COST_BYTES = 256 };

static void
set_int(void *socket, int option, int value)
{
    int result = zmq_setsockopt(socket, option, &value, sizeof value);
    zkt_assert(result == 0);
}

static enum zkt_err
bind_address(void *socket, const char *address, struct problem *problem)
{
    if (zmq_bind(socket, address) == 0) {
        return ZKT_OK;
    }
    if (errno == EADDRINUSE) {
        return problem_set(problem, ZKT_ADDRESS_IN_USE,
                           "[broker] listen %s is taken. Stop that program or change the port.",
                           address);
    }
    return problem_set(problem, ZKT_CONFIG_INVALID,
                       "[broker] listen %s: %s. Write tcp://HOST:PORT.", address,
                       zmq_strerror(errno));
}

static void
open_monitor(struct front *front, void *zmq_context)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://front-monitor-%p", (void *)front);
    int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    int result = zmq_socket_monitor(front->socket, endpoint, events);
    zkt_assert(result == 0);
    front->monitor = zmq_socket(zmq_context, ZMQ_PAIR);
    zkt_assert(front->monitor != NULL);
    result = zmq_connect(front->monitor, endpoint);
    zkt_assert(result == 0);
}

enum zkt_err
front_new(void *zmq_context, const char *address, const struct front_handlers *handlers,
          struct front **front_out, struct problem *problem)
{
    struct front *front = xcalloc(1, sizeof *front);
    front->handlers = *handlers;
    front->outboxes = map_new();
    list_init(&front->outbox_list);
    arena_init(&front->arena);
    bytes_init(&front->frame);
    front->socket = zmq_socket(zmq_context, ZMQ_ROUTER);
    zkt_assert(front->socket != NULL);
    set_int(front->socket, ZMQ_ROUTER_MANDATORY, 1);
    set_int(front->socket, ZMQ_LINGER, 0);
    set_int(front->socket, ZMQ_SNDHWM, SEND_HIGH_WATER_MARK);
    set_int(front->socket, ZMQ_RCVHWM, SEND_HIGH_WATER_MARK);
    set_int(front->socket, ZMQ_BACKLOG, 1024);
    set_int(front->socket, ZMQ_IPV6, strchr(address, '[') != NULL); // else addresses read ::ffff:
    // With a domain libzmq refuses peers older than ZMTP 3, for which it takes whatever does not
    // speak ZMTP at all. Nobody needs to answer for the domain.
    int result = zmq_setsockopt(front->socket, ZMQ_ZAP_DOMAIN, "zkarton", sizeof "zkarton" - 1);
    zkt_assert(result == 0);
    int64_t frame_max = FRAME_DROP_BYTES;
    result = zmq_setsockopt(front->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    zkt_assert(result == 0);
    open_monitor(front, zmq_context);
    enum zkt_err err = bind_address(front->socket, address, problem);
    if (err != ZKT_OK) {
        front_destroy(&front);
        return err;
    }
    size_t len = sizeof front->address;
    result = zmq_getsockopt(front->socket, ZMQ_LAST_ENDPOINT, front->address, &len);
    zkt_assert(result == 0);
    *front_out = front;
    return ZKT_OK;
}

void
front_destroy(struct front **front_p)
{
    struct front *front = *front_p;
    if (front == NULL) {
        return;
    }
    zmq_socket_monitor(front->socket, NULL, 0);
    if (front->monitor != NULL) {
        set_int(front->monitor, ZMQ_LINGER, 0);
        zmq_close(front->monitor);
    }
    zmq_close(front->socket);
    outboxes_fini(front);
    arena_fini(&front->arena);
    bytes_fini(&front->frame);
    free(front);
    *front_p = NULL;
}

const char *
front_address(const struct front *front)
{
    return front->address;
}

void *
front_socket(struct front *front)
{
    return front->socket;
}

void *
front_monitor(struct front *front)
{
    return front->monitor;
}

const struct front_counts *
front_counts(const struct front *front)
{
    return &front->counts;
}

// The bytes that it wrote.
static size_t
handle_frame(struct front *front, struct span peer, struct span frame)
{
    struct command command;
    struct problem problem = {.code = ZKT_OK};
    front->counts.received_count++;
    arena_clear(&front->arena);
    if (command_decode(frame, &front->arena, &command, &problem) == ZKT_OK) {
        return front->handlers.on_command(front->handlers.arg, peer, &command);
    }
    front->counts.bad_frames_count++;
    front->handlers.on_bad_frame(front->handlers.arg, peer, &command, &problem);
    return 0;
}

// Reads the frames behind the routing id: [empty] frame. Anything else is counted and dropped.
static bool
receive_body(struct front *front, zmq_msg_t *body)
{
    if (zmq_msg_recv(body, front->socket, 0) == -1) {
        return false;
    }
    if (zmq_msg_more(body) && zmq_msg_size(body) == 0 &&
        zmq_msg_recv(body, front->socket, 0) == -1) {
        return false;
    }
    if (!zmq_msg_more(body)) {
        return true;
    }
    front->counts.multipart_count++;
    while (zmq_msg_more(body)) {
        if (zmq_msg_recv(body, front->socket, 0) == -1) {
            break;
        }
    }
    return false;
}

bool
front_drain(struct front *front, size_t messages_max, int64_t until_ns, size_t *messages_count)
{
    zmq_msg_t peer;
    zmq_msg_t body;
    zmq_msg_init(&peer);
    zmq_msg_init(&body);
    bool is_empty = false;
    size_t count = 0;
    size_t unclocked_bytes = 0; // since the clock was looked at
    while (count < messages_max) {
        if (zmq_msg_recv(&peer, front->socket, ZMQ_DONTWAIT) == -1) {
            is_empty = true;
            break;
        }
        count++;
        if (zmq_msg_more(&peer) && receive_body(front, &body)) {
            unclocked_bytes += MESSAGE_COST_BYTES + zmq_msg_size(&body);
            unclocked_bytes +=
                handle_frame(front, span_of(zmq_msg_data(&peer), zmq_msg_size(&peer)),
                             span_of(zmq_msg_data(&body), zmq_msg_size(&body)));
        }
        if (unclocked_bytes >= CLOCK_EVERY_BYTES) {
            unclocked_bytes = 0;
            if (clock_monotonic_ns() >= until_ns) {
                break;
            }
        }
    }
    zmq_msg_close(&peer);
    zmq_msg_close(&body);
    *messages_count = count;
    return is_empty;
}

static void
count_event(struct front *front, unsigned event)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        front->counts.connected_count++;
        break;
    case ZMQ_EVENT_DISCONNECTED:
        front->counts.disconnected_count++;
        break;
    default:
        front->counts.handshake_failed_count++;
        log_warn("PEER-NOT-ZMTP", "listen=%s", front->address);
        break;
    }
}

void
front_watch(struct front *front)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, front->monitor, ZMQ_DONTWAIT) != -1) {
        uint16_t event = 0;
        bool has_event = zmq_msg_size(&message) >= sizeof event;
        if (has_event) {
            memcpy(&event, zmq_msg_data(&message), sizeof event);
        }
        while (zmq_msg_more(&message) && zmq_msg_recv(&message, front->monitor, 0) != -1) {
        }
        if (has_event) {
            count_event(front, event);
        }
    }
    zmq_msg_close(&message);
}
