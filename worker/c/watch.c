// The I/O thread's eye on the threads that run process: Started once a task has run for a moment,
// the task timeout, the prefetch window, and the ways to end: stop, abort, retirement, every thread
// stuck.
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "io_thread.h"

enum {
    STARTED_AFTER_MS = 5, // a task that is through before is reported Finished alone
    SLOW_MS = 1000,       // such a task ends the prefetching
    QUICK_MS = 100,
    QUICK_TASKS = 16,       // so many in a row bring it back
    STUCK_AFTER_MS = 2000,  // a timed out task that still runs then holds its thread for good
    ABORT_GRACE_MS = 2000,  // for process to see is_cancelled
    ANSWER_GRACE_MS = 3000, // for the broker to take the last reports
};

static uint32_t
narrow_window(const struct io *io)
{
    return io->options.concurrency;
}

static uint32_t
wide_window(const struct io *io)
{
    uint32_t window = io->options.window != 0 ? io->options.window : WINDOW_DEFAULT;
    return window > io->options.concurrency ? window : io->options.concurrency;
}

static void
report_started(struct io *io, struct zkt_delivery *delivery)
{
    struct report_item item = {
        .delivery = delivery->number, .uid = delivery->task.model.uid, .state = REPORT_STARTED};
    struct command command = {.verb = VERB_REPORT};
    command.report = (struct report){.items = &item, .items_count = 1};
    io_send(io, &command);
    delivery->is_start_reported = true;
}

static void
time_out(struct io *io, struct zkt_delivery *delivery)
{
    char text[96];
    snprintf(text, sizeof text, "TaskTimeoutError: still running after %" PRId64 " s",
             io->options.timeout_ms / 1000);
    delivery_cancel(delivery, CANCEL_TIMEOUT);
    // Children under way belong to the task: they are answered first, as for any other outcome.
    report_set_outcome(io, delivery, REPORT_CRASHED, text);
}

static bool
watch_slot(struct io *io, struct slot_view *view)
{
    struct zkt_delivery *delivery = atomic_load(&view->current);
    if (delivery == NULL) {
        return false;
    }
    int64_t age_ms = io->now_ms - atomic_load(&view->started_ms);
    if (!delivery->is_start_reported && !delivery->has_outcome && !delivery->is_settled &&
        age_ms >= STARTED_AFTER_MS && io->session.state == SESSION_OPEN) {
        report_started(io, delivery);
    }
    if (io->options.timeout_ms > 0 && age_ms >= io->options.timeout_ms && !delivery->has_outcome &&
        !delivery->is_settled) {
        time_out(io, delivery);
    }
    if (age_ms >= SLOW_MS && io->options.window == 0) {
        io->reports.quick_count = 0;
        if (io->reports.window > narrow_window(io)) {
            report_tell_window(io, narrow_window(io));
            report_return_unstarted(io);
        }
    }
    return io->options.timeout_ms > 0 && age_ms >= io->options.timeout_ms + STUCK_AFTER_MS;
}

void
watch_slots(struct io *io)
{
    if (io->views_count == 0) {
        return;
    }
    if (io->reports.window == 0 && !watch_is_ending(io)) {
        report_tell_window(io, wide_window(io));
    }
    size_t stuck_count = 0;
    for (size_t view_index = 0; view_index < io->views_count; view_index++) {
        stuck_count += watch_slot(io, &io->views[view_index]) ? 1 : 0;
    }
    io->is_stuck = io->is_stuck || stuck_count == io->views_count;
}

int64_t
watch_next_ms(const struct io *io)
{
    int64_t next_ms = INT64_MAX;
    if (io->level_seen > 0 || io->is_stuck) {
        next_ms = io->now_ms + 50;
    }
    for (size_t view_index = 0; view_index < io->views_count; view_index++) {
        const struct zkt_delivery *delivery = atomic_load(&io->views[view_index].current);
        if (delivery == NULL) {
            continue;
        }
        int64_t started_ms = atomic_load(&io->views[view_index].started_ms);
        int64_t age_ms = io->now_ms - started_ms;
        int64_t marks_ms[] = {STARTED_AFTER_MS, SLOW_MS, io->options.timeout_ms,
                              io->options.timeout_ms + STUCK_AFTER_MS};
        for (size_t mark_index = 0; mark_index < 4; mark_index++) {
            int64_t at_ms = started_ms + marks_ms[mark_index];
            if (age_ms < marks_ms[mark_index] && at_ms < next_ms) {
                next_ms = at_ms;
            }
        }
    }
    // Queued work may start at any moment without a word.
    if (io->reports.in_process_count > 0 && next_ms > io->now_ms + STARTED_AFTER_MS) {
        bool all_busy = true;
        for (size_t view_index = 0; view_index < io->views_count; view_index++) {
            all_busy = all_busy && atomic_load(&io->views[view_index].current) != NULL;
        }
        next_ms = all_busy ? next_ms : io->now_ms + STARTED_AFTER_MS;
    }
    return next_ms;
}

void
watch_finished(struct io *io, int64_t took_ms)
{
    struct reports *reports = &io->reports;
    reports->quick_count = took_ms < QUICK_MS ? reports->quick_count + 1 : 0;
    if (reports->quick_count >= QUICK_TASKS && reports->window != wide_window(io) &&
        !watch_is_ending(io)) {
        report_tell_window(io, wide_window(io));
    }
}

// ---- Ending

bool
watch_is_ending(const struct io *io)
{
    return io->level_seen > 0 || io->session.is_retiring || io->is_stuck ||
           io->session.state == SESSION_DEAD || io->session.state == SESSION_LEAVING;
}

// Cancels what is in process; `is_lost`: the broker does not count it as ours any more.
static void
cancel_running(struct io *io, enum cancel_reason reason, bool is_lost)
{
    for (size_t bucket_index = 0; bucket_index < DELIVERY_BUCKETS; bucket_index++) {
        struct zkt_delivery *delivery = io->reports.buckets[bucket_index];
        while (delivery != NULL) {
            struct zkt_delivery *next = delivery->next_in_bucket;
            if (delivery->is_with_slot) {
                delivery_cancel(delivery, reason);
            }
            if (is_lost) {
                report_settle(io, delivery);
            }
            delivery = next;
        }
    }
}

static void
give_back_running(struct io *io)
{
    for (size_t bucket_index = 0; bucket_index < DELIVERY_BUCKETS; bucket_index++) {
        struct zkt_delivery *delivery = io->reports.buckets[bucket_index];
        for (; delivery != NULL; delivery = delivery->next_in_bucket) {
            report_set_outcome(io, delivery, REPORT_RETURNED, NULL);
        }
    }
}

static void
begin_ending(struct io *io)
{
    if (io->is_ending) {
        return;
    }
    io->is_ending = true;
    io->level_ms = io->now_ms;
    report_tell_window(io, 0);
    report_return_unstarted(io);
    if (io->session.state == SESSION_DEAD) {
        cancel_running(io, CANCEL_REVOKED, true);
    }
}

static void
see_level(struct io *io)
{
    int level = atomic_load(&io->stop_level);
    if (level <= io->level_seen) {
        return;
    }
    io->level_seen = level;
    io->level_ms = io->now_ms;
    if (level == 2) {
        cancel_running(io, CANCEL_ABORTED, false);
    }
}

static void
leave_or_join_again(struct io *io)
{
    if (io->session.is_retiring && io->options.join && io->level_seen == 0) {
        io->is_ending = false;
        io->session.is_retiring = false;
        io->session.bind_generation = 0;
        io->reports.window = 0;
        session_lost(io, "joining the new bind");
        return;
    }
    if (io->session.is_retiring) {
        io_note(io, ZKT_INFO, "BIND-CHANGED", "identity=%.*s", (int)io->options.identity.len,
                (const char *)io->options.identity.data);
    }
    if (io->session.state == SESSION_OPEN) {
        session_leave(io);
    } else if (io->session.state != SESSION_GREETING ||
               io->now_ms - io->level_ms > ANSWER_GRACE_MS) {
        io->is_over = true; // else the WELCOME is awaited, to be able to say BYE
    }
}

void
watch_stop(struct io *io)
{
    if (io->views_count == 0 || io->is_over || io->session.state == SESSION_LEAVING) {
        return;
    }
    see_level(io);
    if (!watch_is_ending(io)) {
        return;
    }
    begin_ending(io);
    int64_t waited_ms = io->now_ms - io->level_ms;
    bool is_dead = io->session.state == SESSION_DEAD;
    if (is_dead) {
        io->result = io->session.problem.code;
        io->is_over = io->reports.in_process_count == 0 || waited_ms > ABORT_GRACE_MS;
        return;
    }
    if (io->level_seen == 2 && waited_ms > ABORT_GRACE_MS) {
        give_back_running(io);
    }
    if (io->reports.unsettled_count == 0 && submit_is_idle(&io->submits)) {
        io->result = io->is_stuck ? ZKT_FAILED : io->level_seen == 2 ? ZKT_CANCELLED : ZKT_OK;
        if (io->is_stuck || io->level_seen == 2 || io->reports.in_process_count == 0) {
            leave_or_join_again(io);
        }
        return;
    }
    bool is_mute = io->session.state != SESSION_OPEN || io->level_seen == 2;
    if (io->level_seen > 0 && is_mute && io->reports.in_process_count == 0 &&
        waited_ms > ABORT_GRACE_MS + ANSWER_GRACE_MS) {
        io_note(io, ZKT_WARNING, "STOP-UNANSWERED", "deliveries=%zu", io->reports.unsettled_count);
        io->result = io->level_seen == 2 ? ZKT_CANCELLED : ZKT_UNREACHABLE;
        io->is_over = true;
    }
}
