// Questions to the broker and log records. A question is said again after a resume, unless it is
// one that changes something: whether that was done cannot be known, so it fails.
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io_thread.h"
#include "wire/command.h"

static struct question *
request_of(struct list_link *link)
{
    return container_of(link, struct question, link);
}

static void
give_back(struct question *request)
{
    list_remove(&request->link);
    mailbox_put(request->reply, &request->note);
}

void
request_take(struct io *io, struct question *request)
{
    request->id = 0;
    request->link = (struct list_link){0};
    list_append(&io->requests, &request->link);
}

void
request_flush(struct io *io)
{
    struct list_link *link = list_first(&io->requests);
    while (link != NULL) {
        struct question *request = request_of(link);
        link = list_next(&io->requests, link);
        if (io->session.state == SESSION_DEAD) {
            request->problem = io->session.problem;
            give_back(request);
        } else if (io->session.state == SESSION_OPEN && request->command.verb == VERB_HELLO) {
            request->problem.code = ZKT_OK;
            memcpy(request->events_address, io->session.events_address,
                   sizeof request->events_address);
            give_back(request);
        } else if (io->session.state == SESSION_OPEN && request->id == 0) {
            request->id = io_next_id(io);
            request->command.id = request->id;
            io_send(io, &request->command);
        }
    }
}

static struct question *
find(struct io *io, uint64_t id)
{
    struct list_link *link = list_first(&io->requests);
    for (; link != NULL && id != 0; link = list_next(&io->requests, link)) {
        if (request_of(link)->id == id) {
            return request_of(link);
        }
    }
    return NULL;
}

bool
request_answered(struct io *io, uint64_t id, const struct command *command)
{
    struct question *request = find(io, id);
    if (request == NULL) {
        return false;
    }
    request->frame = frame_ref(io->frame);
    request->answer = *command;
    request->problem.code = ZKT_OK;
    give_back(request);
    return true;
}

bool
request_refused(struct io *io, uint64_t id, const struct error_body *error)
{
    struct question *request = find(io, id);
    if (request == NULL) {
        return false;
    }
    problem_set(&request->problem, error->code, "%.*s", (int)error->message.len,
                (const char *)error->message.data);
    give_back(request);
    return true;
}

// The asker's time is up; if the answer is on its way to him already, he takes that.
void
request_abandon(struct io *io, struct question *request)
{
    struct list_link *link = list_first(&io->requests);
    while (link != NULL && request_of(link) != request) {
        link = list_next(&io->requests, link);
    }
    if (link == NULL) {
        return;
    }
    const struct session *session = &io->session;
    request->is_refused = session->refused_since_ms != 0;
    if (session->state == SESSION_OPEN) {
        problem_set(&request->problem, ZKT_TIMEOUT, "no answer from the broker in time");
    } else if (session->refused_since_ms != 0) {
        problem_set(&request->problem, ZKT_UNREACHABLE,
                    "nothing listens at %s (address from %s). Start: zkarton-broker --dev",
                    io->options.address, io->options.address_origin);
    } else if (session->problem.code != ZKT_OK) {
        request->problem = session->problem;
    } else {
        problem_set(&request->problem, ZKT_UNREACHABLE, "no broker answers at %s (address from %s)",
                    io->options.address, io->options.address_origin);
    }
    give_back(request);
}

void
request_resume(struct io *io)
{
    struct list_link *link = list_first(&io->requests);
    while (link != NULL) {
        struct question *request = request_of(link);
        link = list_next(&io->requests, link);
        if (request->id != 0 && request->is_once) {
            problem_set(&request->problem, ZKT_UNREACHABLE,
                        "the connection was lost: whether it was done is not known");
            give_back(request);
        } else {
            request->id = 0;
        }
    }
}

void
request_refuse_all(struct io *io, const struct problem *problem)
{
    struct list_link *link = NULL;
    while ((link = list_first(&io->requests)) != NULL) {
        request_of(link)->problem = *problem;
        give_back(request_of(link));
    }
}

void
log_flush(struct io *io)
{
    if (io->session.state != SESSION_OPEN || io->logs_first == NULL) {
        return;
    }
    arena_clear(&io->scratch_arena);
    struct command command = {.verb = VERB_LOG, .log_records = value_list()};
    struct note *first = io->logs_first;
    struct note *note = first;
    for (; note != NULL && command.log_records.len < LIMIT_LOG_RECORDS; note = note->next) {
        value_append(&io->scratch_arena, &command.log_records,
                     container_of(note, struct log_note, note)->record);
    }
    io_send(io, &command);
    while (first != note) {
        struct log_note *log = container_of(first, struct log_note, note);
        first = first->next;
        arena_fini(&log->arena);
        free(log);
        io->logs_count--;
    }
    io->logs_first = note;
    if (note == NULL) {
        io->logs_last = NULL;
    }
}
