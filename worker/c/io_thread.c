// The loop of the I/O thread: take notes of the application's threads, receive, run timers, send
// what has gathered; sleep only when nothing was there. Batching falls out of the shape: while one
// round is busy the next round's tasks and reports gather.
#include "io_thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "wire/command.h"

enum { RECEIVE_MOST = 256, POLL_MOST_MS = 1000, LOGS_WAITING_MAX = 4096, CLOSE_LINGER_MS = 500 };

void
io_init(struct io *io)
{
    *io = (struct io){0};
    arena_init(&io->arena);
    arena_init(&io->scratch_arena);
    bytes_init(&io->scratch);
    mailbox_init(&io->inbox, true);
    mailbox_init(&io->work, false);
    uid_random(&io->instance);
    submit_init(&io->submits);
    report_init(&io->reports);
    list_init(&io->requests);
    atomic_init(&io->stop_level, 0);
    atomic_init(&io->logs_dropped_count, 0);
    io->session.interval_ms = 2000;
    io->session.expiry_ms = 10000;
    io->frame = frame_new();
}

void
io_send(struct io *io, const struct command *command)
{
    if (io->socket == NULL) {
        return;
    }
    bytes_clear(&io->scratch);
    command_encode(command, &io->scratch);
    // No high water mark: what may be under way is bounded by windows, so this does not block.
    int result = zmq_send(io->socket, io->scratch.data, io->scratch.len, ZMQ_DONTWAIT);
    zkt_assert(result != -1 || errno == EAGAIN || errno == EINTR || errno == ETERM);
    io->session.sent_ms = io->now_ms;
}

uint64_t
io_next_id(struct io *io)
{
    return ++io->next_id;
}

int64_t
io_jitter_ms(struct io *io, unsigned tries_count, int64_t first_ms, int64_t most_ms)
{
    int64_t step_ms = first_ms << (tries_count < 10 ? tries_count : 10);
    if (step_ms > most_ms) {
        step_ms = most_ms;
    }
    // Between half of the step and the step, from the clock and the instance: peers that lost one
    // broker together do not come back together.
    uint64_t seed = uid_hash(&io->instance) ^ (uint64_t)clock_monotonic_ns();
    return step_ms / 2 + (int64_t)(seed % (uint64_t)(step_ms / 2 + 1));
}

// ---- Notes of other threads

static void
take_log(struct io *io, struct log_note *log)
{
    if (io->logs_count >= LOGS_WAITING_MAX) {
        atomic_fetch_add(&io->logs_dropped_count, 1);
        arena_fini(&log->arena);
        free(log);
        return;
    }
    if (io->logs_last == NULL) {
        io->logs_first = &log->note;
    } else {
        io->logs_last->next = &log->note;
    }
    log->note.next = NULL;
    io->logs_last = &log->note;
    io->logs_count++;
}

static bool
take_notes(struct io *io)
{
    struct note *note = mailbox_take_all(&io->inbox);
    bool is_busy = note != NULL;
    while (note != NULL) {
        struct note *next = note->next;
        note->next = NULL;
        switch (note->kind) {
        case NOTE_TASK:
            submit_take(io, container_of(note, struct zkt_task, note));
            break;
        case NOTE_REQUEST:
            request_take(io, container_of(note, struct question, note));
            break;
        case NOTE_ABANDON: {
            struct abandon *abandon = container_of(note, struct abandon, note);
            request_abandon(io, abandon->request);
            free(abandon);
            break;
        }
        case NOTE_DELIVERY:
            report_processed(io, container_of(note, struct zkt_delivery, note));
            break;
        case NOTE_LOG:
            take_log(io, container_of(note, struct log_note, note));
            break;
        case NOTE_CLOSE:
            io->is_closing = true;
            break;
        }
        note = next;
    }
    return is_busy;
}

// ---- Messages of the broker

static void
handle_error(struct io *io, const struct command *command)
{
    const struct error_body *error = &command->error;
    if (error->code == ZKT_HELLO_REQUIRED) {
        session_lost(io, "the broker asks for a new HELLO");
    } else if (error->code == ZKT_SESSION_REPLACED || command->id == io->session.hello_id) {
        session_error(io, command);
    } else if (command->id != 0 &&
               (submit_refused(io, command->id, error) || report_refused(io, command->id, error) ||
                request_refused(io, command->id, error))) {
        return;
    } else {
        io_note(io, ZKT_WARNING, "BROKER-ERROR", "code=%s verb=%u text=\"%.*s\"",
                zkt_err_name(error->code), error->verb, (int)error->message.len,
                (const char *)error->message.data);
    }
}

static void
handle_command(struct io *io, const struct command *command)
{
    switch (command->verb) {
    case VERB_WELCOME:
        session_welcome(io, command);
        break;
    case VERB_SUBMITTED:
        submit_answered(io, &command->submitted);
        break;
    case VERB_DELIVER:
        report_deliver(io, &command->deliver);
        break;
    case VERB_REPORTED:
        report_answered(io, &command->reported);
        break;
    case VERB_REVOKE:
        report_revoke(io, &command->revoke);
        break;
    case VERB_RETIRE:
        io->session.is_retiring = true;
        break;
    case VERB_BYE:
        if (io->session.state == SESSION_LEAVING) {
            io->is_over = true;
        }
        break;
    case VERB_ERROR:
        handle_error(io, command);
        break;
    case VERB_URLS:
    case VERB_PART_URLS:
    case VERB_COMPLETED:
    case VERB_DONE:
    case VERB_ANSWER:
        request_answered(io, command->id, command);
        break;
    default: // HEARTBEAT: being heard is all of it. Others are unknown to this version.
        break;
    }
}

static bool
receive_one(struct io *io)
{
    if (atomic_load(&io->frame->references) > 1) {
        frame_unref(&io->frame);
        io->frame = frame_new();
    }
    struct frame *frame = io->frame;
    if (zmq_msg_recv(&frame->message, io->socket, ZMQ_DONTWAIT) == -1) {
        return false;
    }
    io->session.heard_ms = io->now_ms;
    bool is_single = !zmq_msg_more(&frame->message);
    while (zmq_msg_more(&frame->message) &&
           zmq_msg_recv(&frame->message, io->socket, ZMQ_DONTWAIT) != -1) {
    }
    if (!is_single) {
        io_note(io, ZKT_WARNING, "FRAME-BAD", "text=\"more than one frame\"");
        return true;
    }
    struct command command;
    struct problem problem;
    arena_clear(&frame->arena);
    struct span content = span_of(zmq_msg_data(&frame->message), zmq_msg_size(&frame->message));
    if (command_decode(content, &frame->arena, &command, &problem) != ZKT_OK) {
        io_note(io, ZKT_WARNING, "FRAME-BAD", "code=%s text=\"%s\"", zkt_err_name(problem.code),
                problem.text);
        return true;
    }
    handle_command(io, &command);
    return true;
}

static bool
receive(struct io *io)
{
    unsigned received_count = 0;
    while (io->socket != NULL && received_count < RECEIVE_MOST && receive_one(io)) {
        received_count++;
    }
    if (received_count == 0 && io->session.state == SESSION_OPEN &&
        io->now_ms - io->session.heard_ms > io->session.expiry_ms) {
        // Judged only with nothing left to read: whoever was stopped himself hears what came.
        session_lost(io, "nothing heard for the expiry");
    }
    return received_count > 0;
}

// ---- The loop

static void
heartbeat(struct io *io)
{
    if (io->session.state == SESSION_OPEN &&
        io->now_ms - io->session.sent_ms >= io->session.interval_ms) {
        struct command command = {.verb = VERB_HEARTBEAT};
        io_send(io, &command);
    }
}

static void
close_when_asked(struct io *io)
{
    if (!io->is_closing || io->session.state == SESSION_LEAVING) {
        return;
    }
    if (io->closing_ms == 0) {
        io->closing_ms = io->now_ms;
    }
    bool is_greeting = io->session.state == SESSION_GREETING && io->session.is_connected;
    if (io->session.state == SESSION_OPEN) {
        session_leave(io);
        io->session.next_try_ms = io->now_ms + CLOSE_LINGER_MS;
    } else if (!is_greeting || io->now_ms - io->closing_ms > CLOSE_LINGER_MS) {
        io->is_over = true; // else the WELCOME is awaited, to be able to say BYE
    }
}

static void
sleep_until_due(struct io *io)
{
    int64_t due_ms = io->now_ms + POLL_MOST_MS;
    int64_t candidates_ms[] = {session_next_ms(io), watch_next_ms(io),
                               io->submits.resume_ms == 0 ? INT64_MAX : io->submits.resume_ms,
                               io->reports.resume_ms == 0 ? INT64_MAX : io->reports.resume_ms};
    for (size_t due_index = 0; due_index < sizeof candidates_ms / sizeof *candidates_ms;
         due_index++) {
        if (candidates_ms[due_index] < due_ms) {
            due_ms = candidates_ms[due_index];
        }
    }
    if (io->closing_ms != 0 && io->closing_ms + CLOSE_LINGER_MS < due_ms) {
        due_ms = io->closing_ms + CLOSE_LINGER_MS + 1;
    }
    if (!mailbox_sleep(&io->inbox)) {
        return;
    }
    zmq_pollitem_t items[] = {{.fd = io->inbox.wake_fd, .events = ZMQ_POLLIN},
                              {.socket = io->socket, .events = ZMQ_POLLIN},
                              {.socket = io->monitor, .events = ZMQ_POLLIN}};
    int64_t wait_ms = due_ms > io->now_ms ? due_ms - io->now_ms : 0;
    int result = zmq_poll(items, io->socket == NULL ? 1 : 3, (long)wait_ms);
    zkt_assert(result != -1 || errno == EINTR);
    mailbox_awake(&io->inbox);
    io->now_ms = clock_monotonic_ms();
    if (io->socket != NULL && result > 0 && (items[2].revents & ZMQ_POLLIN) != 0) {
        session_watch(io);
    }
}

static void
finish(struct io *io)
{
    struct problem gone = {.code = ZKT_CANCELLED, .text = "the session was closed"};
    const struct problem *problem = &gone;
    if (io->session.state == SESSION_DEAD) {
        problem = &io->session.problem;
    }
    session_close(io);
    mailbox_close(&io->inbox);
    take_notes(io);
    submit_refuse_all(io, problem);
    request_refuse_all(io, problem);
    while (io->logs_first != NULL) {
        struct log_note *log = container_of(io->logs_first, struct log_note, note);
        io->logs_first = log->note.next;
        arena_fini(&log->arena);
        free(log);
    }
    mailbox_close(&io->work);
}

static void *
run(void *argument)
{
    struct io *io = argument;
    io->now_ms = clock_monotonic_ms();
    while (!io->is_over) {
        bool is_busy = take_notes(io);
        is_busy |= receive(io);
        session_tick(io);
        watch_slots(io);
        watch_stop(io);
        submit_flush(io);
        report_flush(io);
        request_flush(io);
        log_flush(io);
        heartbeat(io);
        close_when_asked(io);
        if (!is_busy && !io->is_over) {
            sleep_until_due(io);
        } else {
            io->now_ms = clock_monotonic_ms();
        }
    }
    finish(io);
    if (io->ended != NULL) {
        mailbox_put(io->ended, &io->end_note);
    }
    return NULL;
}

void
io_start(struct io *io)
{
    io->context = zmq_ctx_new();
    zkt_assert(io->context != NULL);
    int result = pthread_create(&io->thread, NULL, run, io);
    zkt_assert(result == 0);
    io->is_running = true;
}

void
io_stop(struct io *io, int level)
{
    int seen = atomic_load(&io->stop_level);
    while (seen < level && !atomic_compare_exchange_weak(&io->stop_level, &seen, level)) {
    }
    int saved_errno = errno; // this may run in a signal handler
    uint64_t one = 1;
    ssize_t written = write(io->inbox.wake_fd, &one, sizeof one);
    (void)written; // full: the thread is being woken already
    errno = saved_errno;
}

void
io_join(struct io *io)
{
    if (io->is_running) {
        pthread_join(io->thread, NULL);
        io->is_running = false;
    }
}

void
io_fini(struct io *io)
{
    zkt_assert(!io->is_running);
    report_fini(io);
    free(io->submits.models);
    frame_unref(&io->frame);
    if (io->context != NULL) {
        zmq_ctx_term(io->context);
    }
    mailbox_fini(&io->inbox);
    mailbox_fini(&io->work);
    bytes_fini(&io->scratch);
    arena_fini(&io->scratch_arena);
    arena_fini(&io->arena);
}
