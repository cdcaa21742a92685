// The session: HELLO with everything that is held, WELCOME, loss and resuming. One path for the
// first contact, a cut connection and a restarted broker: a fresh socket and a HELLO of the same
// instance, so that nothing queued for the old connection can arrive before it.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "io_thread.h"

enum {
    WELCOME_WAIT_MS = 5000, // after HELLO on a connected socket
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MOST_MS = 5000,
    BYE_WAIT_MS = 1000,
    CLOSE_LINGER_MS = 200,
};

static void
set_int(void *socket, int option, int value)
{
    int result = zmq_setsockopt(socket, option, &value, sizeof value);
    zkt_assert(result == 0);
}

void
session_close(struct io *io)
{
    if (io->socket == NULL) {
        return;
    }
    zmq_socket_monitor(io->socket, NULL, 0);
    zmq_close(io->monitor);
    zmq_close(io->socket);
    io->socket = NULL;
    io->monitor = NULL;
}

static bool
open_socket(struct io *io)
{
    io->socket = zmq_socket(io->context, ZMQ_DEALER);
    zkt_assert(io->socket != NULL);
    set_int(io->socket, ZMQ_LINGER, 0);
    set_int(io->socket, ZMQ_SNDHWM, 0);
    set_int(io->socket, ZMQ_RCVHWM, 0);
    set_int(io->socket, ZMQ_IPV6, 1);
    set_int(io->socket, ZMQ_RECONNECT_IVL, 50);
    set_int(io->socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://monitor-%u", ++io->sockets_count);
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED;
    int result = zmq_socket_monitor(io->socket, endpoint, events);
    zkt_assert(result == 0);
    io->monitor = zmq_socket(io->context, ZMQ_PAIR);
    zkt_assert(io->monitor != NULL);
    set_int(io->monitor, ZMQ_LINGER, 0);
    result = zmq_connect(io->monitor, endpoint);
    zkt_assert(result == 0);
    return zmq_connect(io->socket, io->options.address) == 0;
}

static void
say_hello(struct io *io)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct held *held = NULL;
    arena_clear(&io->scratch_arena);
    size_t held_count = report_held(io, &held);
    const struct io_options *options = &io->options;
    struct command command = {.verb = VERB_HELLO, .id = io_next_id(io)};
    command.hello = (struct hello){.version = PROTOCOL_VERSION,
                                   .instance = io->instance,
                                   .identity = options->identity,
                                   .role = options->role,
                                   .host = span_of_text(host),
                                   .pid = getpid(),
                                   .language = span_of_text("c/" ZKT_VERSION),
                                   .has_bind = options->has_bind,
                                   .bind = options->bind,
                                   .join = options->join,
                                   .concurrency = options->concurrency,
                                   .transactional = options->transactional,
                                   .bind_generation = io->session.bind_generation,
                                   .held = held,
                                   .held_count = held_count};
    io->session.hello_id = command.id;
    io_send(io, &command);
}

void
session_die(struct io *io, const struct problem *problem)
{
    io->session.problem = *problem;
    session_close(io);
    io->session.state = SESSION_DEAD;
    submit_refuse_all(io, problem);
    request_refuse_all(io, problem);
}

static void
greet(struct io *io)
{
    struct session *session = &io->session;
    session->is_connected = false;
    session->greeted_ms = io->now_ms;
    session->state = SESSION_GREETING;
    if (!open_socket(io)) {
        struct problem problem;
        problem_set(&problem, ZKT_CONFIG_INVALID,
                    "\"%s\" is no address (from %s). Write tcp://HOST:PORT.", io->options.address,
                    io->options.address_origin);
        session_die(io, &problem);
        return;
    }
    say_hello(io);
}

void
session_lost(struct io *io, const char *why)
{
    struct session *session = &io->session;
    if (session->state == SESSION_DEAD) {
        return;
    }
    if (session->state == SESSION_LEAVING) {
        io->is_over = true;
        return;
    }
    if (session->state == SESSION_OPEN) {
        io_note(io, ZKT_WARNING, "SESSION-LOST", "address=%s reason=\"%s\"", io->options.address,
                why);
    }
    session_close(io);
    session->state = SESSION_CLOSED;
    session->next_try_ms =
        io->now_ms + io_jitter_ms(io, session->tries_count, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
    session->tries_count++;
}

static void
note_refused(struct io *io)
{
    struct session *session = &io->session;
    session->is_connected = false;
    if (session->refused_since_ms == 0) {
        session->refused_since_ms = io->now_ms;
        io_note(io, ZKT_WARNING, "BROKER-UNREACHABLE", "address=%s origin=\"%s\"",
                io->options.address, io->options.address_origin);
    }
}

void
session_watch(struct io *io)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    bool is_disconnected = false;
    while (zmq_msg_recv(&message, io->monitor, ZMQ_DONTWAIT) != -1) {
        uint16_t event = 0;
        memcpy(&event, zmq_msg_data(&message), sizeof event);
        while (zmq_msg_more(&message) && zmq_msg_recv(&message, io->monitor, 0) != -1) {
        }
        if (event == ZMQ_EVENT_CONNECTED) {
            io->session.is_connected = true;
            io->session.refused_since_ms = 0;
            io->session.greeted_ms = io->now_ms;
        } else if (event == ZMQ_EVENT_CONNECT_RETRIED) {
            note_refused(io);
        } else if (event == ZMQ_EVENT_DISCONNECTED) {
            is_disconnected = true;
        }
    }
    zmq_msg_close(&message);
    if (is_disconnected) {
        session_lost(io, "disconnected");
    }
}

void
session_tick(struct io *io)
{
    struct session *session = &io->session;
    if (session->state == SESSION_CLOSED && io->now_ms >= session->next_try_ms) {
        greet(io);
    } else if (session->state == SESSION_GREETING && session->is_connected &&
               io->now_ms - session->greeted_ms > WELCOME_WAIT_MS) {
        session_lost(io, "no answer to HELLO");
    } else if (session->state == SESSION_LEAVING && io->now_ms >= session->next_try_ms) {
        io->is_over = true;
    }
}

int64_t
session_next_ms(const struct io *io)
{
    const struct session *session = &io->session;
    switch (session->state) {
    case SESSION_CLOSED:
    case SESSION_LEAVING:
        return session->next_try_ms;
    case SESSION_GREETING: // not connected: the monitor tells when it is
        return session->is_connected ? session->greeted_ms + WELCOME_WAIT_MS + 1 : INT64_MAX;
    case SESSION_OPEN:
        return session->sent_ms + session->interval_ms;
    case SESSION_DEAD:
        return INT64_MAX;
    }
    return INT64_MAX;
}

// "tcp://:5571" means: on the host that was dialled.
static void
complete_address(const char *dialled, struct span told, char *out, size_t out_size)
{
    const char *host = strstr(dialled, "://");
    const char *host_end = host == NULL ? NULL : strrchr(host, ':');
    static const char any_host[] = "tcp://:";
    if (told.len < sizeof any_host || host_end == NULL ||
        memcmp(told.data, any_host, sizeof any_host - 1) != 0) {
        snprintf(out, out_size, "%.*s", (int)told.len, (const char *)told.data);
        return;
    }
    host += 3;
    snprintf(out, out_size, "tcp://%.*s%.*s", (int)(host_end - host), host, (int)(told.len - 6),
             (const char *)told.data + 6);
}

void
session_welcome(struct io *io, const struct command *command)
{
    struct session *session = &io->session;
    const struct welcome *welcome = &command->welcome;
    if (session->state != SESSION_GREETING || command->id != session->hello_id) {
        return;
    }
    session->state = SESSION_OPEN;
    session->tries_count = 0;
    session->refused_since_ms = 0;
    session->heard_ms = io->now_ms;
    session->interval_ms = welcome->interval_ms > 0 ? welcome->interval_ms : session->interval_ms;
    session->expiry_ms = welcome->expiry_ms > 0 ? welcome->expiry_ms : session->expiry_ms;
    session->bind_generation = welcome->bind_generation;
    session->is_retiring = welcome->retiring;
    complete_address(io->options.address, welcome->events_address, session->events_address,
                     sizeof session->events_address);
    io_note(io, ZKT_INFO, session->was_open ? "SESSION-RESUMED" : "SESSION-OPENED",
            "address=%s session=%" PRIu64, io->options.address, welcome->session);
    session->was_open = true;
    session->is_missing_told = false;
    submit_resume(io, welcome->last_number);
    report_resume(io, welcome->last_number);
    request_resume(io);
}

void
session_error(struct io *io, const struct command *command)
{
    const struct error_body *error = &command->error;
    struct problem problem;
    problem_set(&problem, error->code, "%.*s", (int)error->message.len,
                (const char *)error->message.data);
    if (error->code == ZKT_SESSION_REPLACED) {
        problem_set(&problem, error->code, "another process took over this session");
        session_die(io, &problem);
    } else if (error->code == ZKT_INSTANCE_FORGOTTEN) {
        submit_refuse_all(io, &problem);
        uid_random(&io->instance);
        session_lost(io, "the broker forgot this instance");
    } else if (zkt_err_is_retryable(error->code)) {
        io->session.problem = problem;
        if (error->code == ZKT_NO_SUCH_CONSUMER && !io->session.is_missing_told) {
            io->session.is_missing_told = true;
            io_note(io, ZKT_WARNING, "CONSUMER-MISSING",
                    "identity=%.*s reason=\"nobody registered it yet, waiting for that\"",
                    (int)io->options.identity.len, (const char *)io->options.identity.data);
        }
        session_lost(io, problem.text);
    } else {
        session_die(io, &problem);
    }
}

void
session_leave(struct io *io)
{
    struct command command = {.verb = VERB_BYE, .id = io_next_id(io)};
    set_int(io->socket, ZMQ_LINGER, CLOSE_LINGER_MS);
    io_send(io, &command);
    io->session.state = SESSION_LEAVING;
    io->session.next_try_ms = io->now_ms + BYE_WAIT_MS;
}
