// SUBMIT: tasks in order, once. Numbers belong to the instance; what is not answered is kept as
// tasks and encoded again when it has to be said again, so that a new broker's count can renumber
// it. At most LIMIT_SUBMITS_OPEN are out.
//
// A retryable refusal is of the whole SUBMIT and consumes nothing; those behind it come back as
// SEQUENCE_GAP. So after one everything out counts as unsent, and after a pause the first goes
// alone until it is through.
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "io_thread.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MOST_MS = 3000 };

static struct zkt_task *
task_of(struct note *note)
{
    return container_of(note, struct zkt_task, note);
}

void
submit_init(struct submits *submits)
{
    *submits = (struct submits){.next_number = 1};
    list_init(&submits->open);
}

bool
submit_is_idle(const struct submits *submits)
{
    return submits->open_count == 0 && submits->waiting_first == NULL;
}

void
submit_take(struct io *io, struct zkt_task *task)
{
    struct submits *submits = &io->submits;
    task->note.next = NULL;
    if (task->parent != NULL) {
        task->parent->children_open++;
    }
    if (submits->waiting_last == NULL) {
        submits->waiting_first = &task->note;
    } else {
        submits->waiting_last->next = &task->note;
    }
    submits->waiting_last = &task->note;
}

// ---- Sending

static void
send_submit(struct io *io, struct open_submit *open)
{
    struct submits *submits = &io->submits;
    if (submits->models == NULL) {
        submits->models = xcalloc(LIMIT_SUBMIT_TASKS, sizeof *submits->models);
    }
    size_t task_index = 0;
    for (struct note *note = open->tasks; note != NULL; note = note->next) {
        submits->models[task_index++] = task_of(note)->model;
    }
    zkt_assert(task_index == open->tasks_count);
    open->id = io_next_id(io);
    struct command command = {.verb = VERB_SUBMIT, .id = open->id};
    command.submit = (struct submit){.number = open->number,
                                     .delivery = open->delivery,
                                     .tasks = submits->models,
                                     .tasks_count = open->tasks_count};
    io_send(io, &command);
    if (open->delivery != 0) {
        struct zkt_delivery *parent = task_of(open->tasks)->parent;
        parent->after = open->number > parent->after ? open->number : parent->after;
    }
}

// Takes the head of the waiting tasks: one parent, within the limits.
static void
open_next(struct io *io)
{
    struct submits *submits = &io->submits;
    struct open_submit *open = xcalloc(1, sizeof *open);
    size_t bytes_count = 0;
    struct note *last = NULL;
    open->tasks = submits->waiting_first;
    open->delivery = task_of(open->tasks)->delivery;
    for (struct note *note = open->tasks; note != NULL; note = note->next) {
        struct zkt_task *task = task_of(note);
        bytes_count += task->wire_bytes;
        bool fits = last == NULL || (task->delivery == open->delivery &&
                                     open->tasks_count < io->options.batch_tasks &&
                                     bytes_count <= LIMIT_SUBMIT_BYTES);
        if (!fits) {
            break;
        }
        open->tasks_count++;
        last = note;
    }
    submits->waiting_first = last->next;
    if (submits->waiting_first == NULL) {
        submits->waiting_last = NULL;
    }
    last->next = NULL;
    open->number = submits->next_number++;
    list_append(&submits->open, &open->link);
    submits->open_count++;
}

// After a resume or a refusal: all of them, or the first alone while probing.
static void
send_unsent(struct io *io)
{
    struct submits *submits = &io->submits;
    struct list_link *link = list_first(&submits->open);
    while (submits->has_unsent && link != NULL) {
        struct open_submit *open = container_of(link, struct open_submit, link);
        if (open->id == 0) {
            send_submit(io, open);
        }
        link = list_next(&submits->open, link);
        if (submits->is_probing) {
            return;
        }
    }
    submits->has_unsent = false;
}

void
submit_flush(struct io *io)
{
    struct submits *submits = &io->submits;
    if (io->session.state == SESSION_DEAD && submits->waiting_first != NULL) {
        submit_refuse_all(io, &io->session.problem);
    }
    if (io->session.state != SESSION_OPEN || io->now_ms < submits->resume_ms) {
        return;
    }
    submits->resume_ms = 0;
    send_unsent(io);
    while (submits->waiting_first != NULL && submits->open_count < LIMIT_SUBMITS_OPEN &&
           !submits->is_probing) {
        open_next(io);
        struct list_link *link = submits->open.head.prev;
        send_submit(io, container_of(link, struct open_submit, link));
    }
}

static void
unsend_all(struct submits *submits)
{
    submits->has_unsent = true;
    struct list_link *link = list_first(&submits->open);
    for (; link != NULL; link = list_next(&submits->open, link)) {
        container_of(link, struct open_submit, link)->id = 0;
    }
}

void
submit_resume(struct io *io, uint64_t last_number)
{
    struct submits *submits = &io->submits;
    unsend_all(submits);
    submits->resume_ms = 0;
    submits->is_probing = false;
    struct list_link *link = list_first(&submits->open);
    uint64_t first_number =
        link == NULL ? submits->next_number : container_of(link, struct open_submit, link)->number;
    if (first_number <= last_number && link != NULL) {
        return; // the answers were lost: said again, they are answered again
    }
    // A number that was refused for good may or may not have been consumed: the broker's count is
    // the truth.
    submits->next_number = last_number + 1;
    for (; link != NULL; link = list_next(&submits->open, link)) {
        container_of(link, struct open_submit, link)->number = submits->next_number++;
    }
}

// ---- Answers

// Gives the tasks of one SUBMIT back; those for the same mailbox in one go.
static void
give_back_chain(struct io *io, struct note *first)
{
    while (first != NULL) {
        struct mailbox *reply = task_of(first)->reply;
        struct note *last = NULL;
        struct note *note = first;
        size_t count = 0;
        for (; note != NULL && task_of(note)->reply == reply; note = note->next) {
            if (task_of(note)->parent != NULL) {
                report_child_answered(io, task_of(note)->parent, task_of(note));
            }
            last = note;
            count++;
        }
        bool is_put = mailbox_put_list(reply, first, last, count);
        zkt_assert(is_put); // replies are never closed
        first = note;
    }
}

static void
remove_open(struct io *io, struct open_submit *open)
{
    list_remove(&open->link);
    io->submits.open_count--;
    give_back_chain(io, open->tasks);
    free(open);
}

void
submit_answered(struct io *io, const struct submitted *submitted)
{
    struct submits *submits = &io->submits;
    struct list_link *link = list_first(&submits->open);
    while (link != NULL &&
           container_of(link, struct open_submit, link)->number != submitted->number) {
        link = list_next(&submits->open, link);
    }
    if (link == NULL) {
        return; // said twice, answered twice
    }
    struct open_submit *open = container_of(link, struct open_submit, link);
    size_t result_index = 0;
    for (struct note *note = open->tasks; note != NULL; note = note->next, result_index++) {
        struct zkt_task *task = task_of(note);
        if (result_index >= submitted->results_count) {
            task_refuse(task, ZKT_FAILED, "the broker did not answer for this task");
            continue;
        }
        const struct submit_result *result = &submitted->results[result_index];
        task->taken_count = result->taken_count;
        if (result->code != ZKT_OK) {
            task_refuse(task, result->code, "%.*s", (int)result->message.len,
                        (const char *)result->message.data);
        }
    }
    submits->is_probing = false;
    submits->tries_count = 0;
    atomic_store(&submits->refused_code, ZKT_OK);
    remove_open(io, open);
}

static void
pause_all(struct io *io)
{
    struct submits *submits = &io->submits;
    unsend_all(submits);
    submits->is_probing = true;
    submits->resume_ms =
        io->now_ms + io_jitter_ms(io, submits->tries_count, BACKOFF_FIRST_MS, BACKOFF_MOST_MS);
    submits->tries_count++;
}

bool
submit_refused(struct io *io, uint64_t id, const struct error_body *error)
{
    struct submits *submits = &io->submits;
    struct list_link *link = list_first(&submits->open);
    bool is_first = true;
    while (link != NULL && container_of(link, struct open_submit, link)->id != id) {
        link = list_next(&submits->open, link);
        is_first = false;
    }
    if (link == NULL) {
        return false;
    }
    struct open_submit *open = container_of(link, struct open_submit, link);
    if (error->code == ZKT_SEQUENCE_GAP && is_first) {
        session_lost(io, "the broker counts our submits differently");
    } else if (zkt_err_is_retryable(error->code)) {
        atomic_store(&submits->refused_code, (int)error->code);
        pause_all(io);
    } else {
        for (struct note *note = open->tasks; note != NULL; note = note->next) {
            task_refuse(task_of(note), error->code, "%.*s", (int)error->message.len,
                        (const char *)error->message.data);
        }
        remove_open(io, open);
        if (error->code == ZKT_INSTANCE_FORGOTTEN) {
            struct problem problem = {.code = error->code,
                                      .text = "the broker forgot this instance: the fate of what "
                                              "was under way is not known"};
            submit_refuse_all(io, &problem);
            uid_random(&io->instance);
        }
        session_lost(io, "a SUBMIT was refused as a whole");
    }
    return true;
}

void
submit_refuse_all(struct io *io, const struct problem *problem)
{
    struct submits *submits = &io->submits;
    struct list_link *link = NULL;
    while ((link = list_first(&submits->open)) != NULL) {
        struct open_submit *open = container_of(link, struct open_submit, link);
        for (struct note *note = open->tasks; note != NULL; note = note->next) {
            task_refuse(task_of(note), problem->code, "%s", problem->text);
        }
        remove_open(io, open);
    }
    for (struct note *note = submits->waiting_first; note != NULL; note = note->next) {
        task_refuse(task_of(note), problem->code, "%s", problem->text);
    }
    struct note *waiting = submits->waiting_first;
    submits->waiting_first = NULL;
    submits->waiting_last = NULL;
    give_back_chain(io, waiting);
}
