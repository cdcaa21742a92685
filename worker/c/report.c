// Deliveries on the I/O thread's side, from DELIVER to REPORTED. A REPORT goes out when the outcome
// is known and every child that process sent is on disk, is said again after each resume, and is
// over when the broker answers it: until then the delivery is named in `held`.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "io_thread.h"

enum { REPORT_ITEMS = 256, REPORT_BYTES = 1 << 20, NOT_YET_WAIT_MS = 30 };

static struct zkt_delivery *
delivery_of(struct list_link *link)
{
    return container_of(link, struct zkt_delivery, link);
}

void
report_init(struct reports *reports)
{
    *reports = (struct reports){0};
    list_init(&reports->ready);
    list_init(&reports->sent);
}

// ---- The table of what we hold

static struct zkt_delivery **
bucket(struct reports *reports, uint64_t number)
{
    return &reports->buckets[number % DELIVERY_BUCKETS];
}

static struct zkt_delivery *
find(struct reports *reports, uint64_t number)
{
    struct zkt_delivery *delivery = *bucket(reports, number);
    while (delivery != NULL && delivery->number != number) {
        delivery = delivery->next_in_bucket;
    }
    return delivery;
}

static void
forget(struct reports *reports, struct zkt_delivery *delivery)
{
    struct zkt_delivery **at = bucket(reports, delivery->number);
    while (*at != delivery) {
        zkt_assert(*at != NULL);
        at = &(*at)->next_in_bucket;
    }
    *at = delivery->next_in_bucket;
    reports->deliveries_count--;
    delivery_destroy(&delivery);
}

static void
forget_if_through(struct io *io, struct zkt_delivery *delivery)
{
    if (delivery->is_settled && !delivery->is_with_slot && delivery->children_open == 0) {
        forget(&io->reports, delivery);
    }
}

static void
settle(struct io *io, struct zkt_delivery *delivery)
{
    if (!delivery->is_settled) {
        delivery->is_settled = true;
        io->reports.unsettled_count--;
        list_remove(&delivery->link);
    }
}

void
report_settle(struct io *io, struct zkt_delivery *delivery)
{
    settle(io, delivery);
    forget_if_through(io, delivery);
}

void
report_fini(struct io *io)
{
    struct reports *reports = &io->reports;
    for (size_t bucket_index = 0; bucket_index < DELIVERY_BUCKETS; bucket_index++) {
        while (reports->buckets[bucket_index] != NULL) {
            forget(reports, reports->buckets[bucket_index]);
        }
    }
}

// ---- In

static struct zkt_delivery *
new_delivery(struct io *io, const struct deliver_item *item)
{
    struct reports *reports = &io->reports;
    struct zkt_delivery *delivery = delivery_new();
    delivery->number = item->delivery;
    delivery->attempt = item->attempt;
    delivery->task.model = item->task;
    delivery->task.is_delivered = true;
    delivery->task.frame = frame_ref(io->frame);
    struct zkt_delivery **at = bucket(reports, delivery->number);
    delivery->next_in_bucket = *at;
    *at = delivery;
    reports->deliveries_count++;
    reports->unsettled_count++;
    return delivery;
}

void
report_deliver(struct io *io, const struct deliver *deliver)
{
    struct note *first = NULL;
    struct note *last = NULL;
    size_t count = 0;
    bool is_ending = watch_is_ending(io);
    for (size_t item_index = 0; item_index < deliver->items_count; item_index++) {
        if (find(&io->reports, deliver->items[item_index].delivery) != NULL) {
            continue; // heard twice
        }
        struct zkt_delivery *delivery = new_delivery(io, &deliver->items[item_index]);
        if (is_ending) {
            report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
            continue;
        }
        delivery->is_with_slot = true;
        delivery->note.kind = NOTE_DELIVERY;
        delivery->note.next = NULL;
        if (last == NULL) {
            first = &delivery->note;
        } else {
            last->next = &delivery->note;
        }
        last = &delivery->note;
        count++;
    }
    if (count > 0) {
        io->reports.in_process_count += count;
        mailbox_put_list(&io->work, first, last, count);
    }
}

void
report_revoke(struct io *io, const struct revoke *revoke)
{
    for (size_t item_index = 0; item_index < revoke->deliveries_count; item_index++) {
        struct zkt_delivery *delivery = find(&io->reports, revoke->deliveries[item_index]);
        if (delivery == NULL || delivery->is_settled) {
            continue;
        }
        char uid_text[UID_TEXT_SIZE]; // the task itself is process's, on a thread of its own
        uid_format(&delivery->task.model.uid, uid_text);
        io_note(io, ZKT_WARNING, "DELIVERY-REVOKED", "task=%s reason=\"%.*s\"", uid_text,
                (int)revoke->reason.len, (const char *)revoke->reason.data);
        delivery_cancel(delivery, CANCEL_REVOKED);
        report_settle(io, delivery);
    }
}

// ---- Outcomes

// Crashed with a reason of its own when a child was refused: a parent may not be Finished without
// the children that it sent.
static void
make_ready(struct io *io, struct zkt_delivery *delivery)
{
    if (!delivery->is_settled && delivery->has_outcome && delivery->children_open == 0 &&
        !list_is_linked(&delivery->link)) {
        list_append(&io->reports.ready, &delivery->link);
    }
}

void
report_set_outcome(struct io *io, struct zkt_delivery *delivery, enum report_state outcome,
                   const char *error)
{
    if (delivery->has_outcome || delivery->is_settled) {
        return;
    }
    delivery->has_outcome = true;
    delivery->outcome = outcome;
    if (error != NULL) {
        free(delivery->error);
        delivery->error = xstrdup(error);
    }
    make_ready(io, delivery);
}

void
report_child_answered(struct io *io, struct zkt_delivery *delivery, const struct zkt_task *child)
{
    zkt_assert(delivery->children_open > 0);
    delivery->children_open--;
    // Who waits for a child hears of its refusal himself.
    if (child->refusal != NULL && !child->is_waited_for && delivery->error == NULL) {
        delivery->error = xasprintf("child %s was refused: %s (%s)", zkt_task_uid(child),
                                    child->refusal->text, zkt_err_name(child->refusal->code));
        if (delivery->has_outcome && delivery->outcome == REPORT_FINISHED) {
            delivery->outcome = REPORT_CRASHED;
        }
    }
    make_ready(io, delivery);
    forget_if_through(io, delivery);
}

static const char *
failure_text(const struct zkt_delivery *delivery)
{
    if (delivery->failure != NULL) {
        return delivery->failure;
    }
    return delivery->problem.code != ZKT_OK ? delivery->problem.text
                                            : zkt_err_name(delivery->result);
}

void
report_processed(struct io *io, struct zkt_delivery *delivery)
{
    delivery->is_with_slot = false;
    io->reports.in_process_count--;
    watch_finished(io, delivery->ended_ms - delivery->started_ms);
    bool is_aborted = atomic_load(&delivery->cancel_reason) == CANCEL_ABORTED;
    if (delivery->started_ms == 0) {
        report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
    } else if (delivery->is_given_back) {
        delivery->delay_ms = delivery->give_back_delay_ms;
        report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
    } else if (delivery->result == ZKT_OK && delivery->error == NULL) {
        report_set_outcome(io, delivery, REPORT_FINISHED, NULL);
    } else if (delivery->result == ZKT_OK) {
        report_set_outcome(io, delivery, REPORT_CRASHED, NULL);
    } else if (is_aborted) {
        report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
    } else {
        report_set_outcome(io, delivery, REPORT_CRASHED, failure_text(delivery));
    }
    forget_if_through(io, delivery);
}

void
report_return_unstarted(struct io *io)
{
    struct note *note = mailbox_take_all(&io->work);
    while (note != NULL) {
        struct note *next = note->next;
        struct zkt_delivery *delivery = container_of(note, struct zkt_delivery, note);
        delivery->is_with_slot = false;
        io->reports.in_process_count--;
        report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
        forget_if_through(io, delivery);
        note = next;
    }
}

// ---- Out

static struct report_item
item_of(const struct zkt_delivery *delivery)
{
    struct report_item item = {.delivery = delivery->number,
                               .uid = delivery->task.model.uid,
                               .state = delivery->outcome,
                               .after = delivery->after,
                               .delay_ms = delivery->delay_ms};
    if (delivery->error != NULL && delivery->outcome == REPORT_CRASHED) {
        size_t len = strlen(delivery->error);
        item.error = span_of(delivery->error, len < LIMIT_ERROR_BYTES ? len : LIMIT_ERROR_BYTES);
        while (item.error.len > 0 && !text_is_wtf8(item.error.data, item.error.len)) {
            item.error.len--; // cut inside a character
        }
    }
    return item;
}

void
report_flush(struct io *io)
{
    struct reports *reports = &io->reports;
    if (io->session.state != SESSION_OPEN || io->now_ms < reports->resume_ms) {
        return;
    }
    reports->resume_ms = 0;
    struct report_item items[REPORT_ITEMS];
    while (!list_is_empty(&reports->ready)) {
        uint64_t id = io_next_id(io);
        size_t items_count = 0;
        size_t bytes_count = 0;
        struct list_link *link = NULL;
        while (items_count < REPORT_ITEMS && bytes_count < REPORT_BYTES &&
               (link = list_first(&reports->ready)) != NULL) {
            struct zkt_delivery *delivery = delivery_of(link);
            items[items_count] = item_of(delivery);
            bytes_count += items[items_count].error.len;
            items_count++;
            delivery->report_id = id;
            list_remove(link);
            list_append(&reports->sent, link);
        }
        struct command command = {.verb = VERB_REPORT, .id = id};
        command.report = (struct report){.items = items, .items_count = items_count};
        io_send(io, &command);
    }
}

void
report_answered(struct io *io, const struct reported *reported)
{
    struct reports *reports = &io->reports;
    for (size_t item_index = 0; item_index < reported->items_count; item_index++) {
        const struct reported_item *item = &reported->items[item_index];
        struct zkt_delivery *delivery = find(reports, item->delivery);
        if (delivery == NULL || delivery->is_settled || !delivery->has_outcome) {
            continue;
        }
        if (item->code == ZKT_NOT_YET) {
            list_remove(&delivery->link);
            list_append(&reports->ready, &delivery->link);
            reports->resume_ms = io->now_ms + NOT_YET_WAIT_MS;
            continue;
        }
        if (item->code != ZKT_OK) {
            io_note(io, ZKT_WARNING, "REPORT-REFUSED", "task=%s code=%s",
                    zkt_task_uid(&delivery->task), zkt_err_name(item->code));
        }
        report_settle(io, delivery);
    }
}

bool
report_refused(struct io *io, uint64_t id, const struct error_body *error)
{
    struct reports *reports = &io->reports;
    struct list_link *link = list_first(&reports->sent);
    bool is_ours = false;
    while (link != NULL) {
        struct zkt_delivery *delivery = delivery_of(link);
        link = list_next(&reports->sent, link);
        if (delivery->report_id != id) {
            continue;
        }
        is_ours = true;
        if (zkt_err_is_retryable(error->code)) {
            list_remove(&delivery->link);
            list_append(&reports->ready, &delivery->link);
            reports->resume_ms = io->now_ms + NOT_YET_WAIT_MS;
        } else {
            io_note(io, ZKT_ERROR, "REPORT-REFUSED", "task=%s code=%s",
                    zkt_task_uid(&delivery->task), zkt_err_name(error->code));
            report_settle(io, delivery);
        }
    }
    return is_ours;
}

void
report_tell_window(struct io *io, uint32_t window)
{
    struct reports *reports = &io->reports;
    if (reports->is_window_told && reports->window == window) {
        return;
    }
    reports->window = window;
    reports->is_window_told = false;
    if (io->session.state == SESSION_OPEN) {
        struct command command = {.verb = VERB_CREDIT, .credit_window = window};
        io_send(io, &command);
        reports->is_window_told = true;
    }
}

// A SUBMIT that was refused as a whole has no number with the broker, so no report may wait for it.
// Those that are said again raise the mark again.
static void
cap_after(struct reports *reports, uint64_t last_number)
{
    for (size_t bucket_index = 0; bucket_index < DELIVERY_BUCKETS; bucket_index++) {
        struct zkt_delivery *delivery = reports->buckets[bucket_index];
        for (; delivery != NULL; delivery = delivery->next_in_bucket) {
            delivery->after = delivery->after > last_number ? last_number : delivery->after;
        }
    }
}

void
report_resume(struct io *io, uint64_t last_number)
{
    struct reports *reports = &io->reports;
    cap_after(reports, last_number);
    struct list_link *link = NULL;
    while ((link = list_first(&reports->sent)) != NULL) {
        list_remove(link);
        list_append(&reports->ready, link);
    }
    reports->resume_ms = 0;
    reports->is_window_told = false;
    if (io->options.role == ROLE_WORKER) {
        report_tell_window(io, io->session.is_retiring ? 0 : reports->window);
    }
    for (size_t view_index = 0; view_index < io->views_count; view_index++) {
        struct zkt_delivery *delivery = atomic_load(&io->views[view_index].current);
        if (delivery != NULL) {
            delivery->is_start_reported = false;
        }
    }
}

size_t
report_held(struct io *io, struct held **held)
{
    struct reports *reports = &io->reports;
    size_t most = reports->unsettled_count < LIMIT_HELD ? reports->unsettled_count : LIMIT_HELD;
    size_t held_count = 0;
    *held = arena_alloc(&io->scratch_arena, (most + 1) * sizeof **held);
    for (size_t bucket_index = 0; bucket_index < DELIVERY_BUCKETS; bucket_index++) {
        const struct zkt_delivery *delivery = reports->buckets[bucket_index];
        for (; delivery != NULL && held_count < most; delivery = delivery->next_in_bucket) {
            if (!delivery->is_settled) {
                (*held)[held_count++] = (struct held){.delivery = delivery->number,
                                                      .uid = delivery->task.model.uid,
                                                      .started = delivery->is_start_reported};
            }
        }
    }
    return held_count;
}
