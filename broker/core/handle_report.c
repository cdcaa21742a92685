// REPORT: how a delivery went; CREDIT: how many more may come.
//
// Idempotent: a report on a task that is gone is OK; one on a lease that is another's now is
// LEASE_LOST and changes nothing. `after` names the last SUBMIT of the delivery: until that one is
// applied the report is NOT_YET, else a parent could finish before a refused child.
#include "core/handle.h"

#include "core/consumer.h"
#include "core/lease.h"
#include "core/release.h"
#include "core/session.h"
#include "core/settle.h"

void
handle_credit(struct engine *engine, struct session *session, const struct command *command)
{
    uint32_t window = command->credit_window;
    session->window = window > LIMIT_CREDIT ? LIMIT_CREDIT : window;
    session_refresh_free(engine, session);
}

// Settles a lease of this session.
static void
settle(struct engine *engine, struct lease *lease, const struct report_item *item)
{
    switch (item->state) {
    case REPORT_STARTED:
        break;
    case REPORT_FINISHED:
        settle_finished(engine, &lease);
        break;
    case REPORT_CRASHED:
        settle_crashed(engine, &lease, item->error);
        break;
    case REPORT_RETURNED:
        settle_returned(engine, &lease, item->delay_ms > 0 ? engine->wall_ms + item->delay_ms : 0);
        break;
    }
}

// A task that no lease of this broker speaks of: gone, another's, or suspect after a restart.
static void
settle_unleased(struct engine *engine, const struct session *session,
                const struct report_item *item, struct reported_item *result)
{
    uint32_t consumer = 0;
    uint64_t delivery = 0;
    switch (store_find_task(engine->store, &item->uid, &consumer, &delivery)) {
    case PLACE_UNKNOWN:
    case PLACE_CRASHED:
        result->gone = true;
        return;
    case PLACE_WAITING:
    case PLACE_HELD:
        result->code = session->resuming_count > 0 ? ZKT_NOT_YET : ZKT_LEASE_LOST;
        return;
    case PLACE_SUSPECT:
        break;
    }
    if (session->resuming_count > 0) {
        result->code = ZKT_NOT_YET; // it may be among those being resumed
        return;
    }
    if (consumer != session->consumer->number || !session->may_resume ||
        item->state == REPORT_RETURNED) {
        result->code = ZKT_LEASE_LOST;
        return;
    }
    struct counters *counters = session->consumer->counters;
    counters->consumed_count++;
    counters->crashed_count += item->state == REPORT_CRASHED;
    store_settle_suspect(engine->store, &item->uid,
                         item->state == REPORT_FINISHED ? OUTCOME_FINISHED : OUTCOME_CRASHED,
                         item->error, engine->wall_ms);
}

static struct reported_item
handle_ended(struct engine *engine, struct session *session, const struct report_item *item)
{
    struct reported_item result = {.delivery = item->delivery, .uid = item->uid, .code = ZKT_OK};
    if (item->after > session->last_number) {
        result.code = ZKT_NOT_YET;
        return result;
    }
    struct lease *lease = lease_of(engine, item->delivery);
    if (lease == NULL) {
        settle_unleased(engine, session, item, &result);
    } else if (lease->session != session || !uid_equal(&lease->hold->uid, &item->uid)) {
        result.code = ZKT_LEASE_LOST;
    } else {
        settle(engine, lease, item);
    }
    return result;
}

// Started is not answered; a worker that starts what is not its own any more is told.
static void
handle_started(struct engine *engine, struct session *session, const struct report_item *item)
{
    struct lease *lease = lease_of_session(engine, session, item->delivery);
    if (lease == NULL) {
        if (session->resuming_count == 0) {
            session_revoke(engine, session, &item->delivery, 1, "lease lost");
        }
        return;
    }
    if (!lease->is_started) {
        lease->is_started = true;
        lease->started_ms = engine->wall_ms;
        store_started(engine->store, lease->hold, engine->wall_ms);
    }
}

void
handle_report(struct engine *engine, struct session *session, const struct command *command)
{
    const struct report *report = &command->report;
    struct reported_item *items =
        arena_alloc(release_arena(engine), (report->items_count + 1) * sizeof *items);
    size_t items_count = 0;
    for (size_t i = 0; i < report->items_count; i++) {
        const struct report_item *item = &report->items[i];
        if (item->state == REPORT_STARTED) {
            handle_started(engine, session, item);
        } else {
            items[items_count++] = handle_ended(engine, session, item);
        }
    }
    if (items_count == 0) {
        return;
    }
    struct command answer = {.verb = VERB_REPORTED,
                             .id = command->id,
                             .reported = {.items = items, .items_count = items_count}};
    release_answer(engine, session, &answer);
}
