// Path of a task, step 10 of 10: settle. From io/front_recv.c, to release.c.
//
// The only place where a lease ends. What counts as a lost attempt is decided here: a session that
// is lost may have been running as many tasks as its concurrency says, whether their Started was
// heard or not; so the first that many unsettled deliveries count, for a task that kills its worker
// at once must not loop for ever. The others were waiting and do not count.
#include "core/settle.h"

#include <stdio.h>

#include "base/log.h"
#include "core/consumer.h"
#include "core/events.h"
#include "core/lease.h"
#include "core/session.h"

void
settle_finished(struct engine *engine, struct lease **lease_p)
{
    struct consumer *consumer = (*lease_p)->session->consumer;
    struct hold *hold = lease_end(engine, lease_p);
    consumer->counters->consumed_count++;
    store_settle(engine->store, hold, OUTCOME_FINISHED, (struct span){0}, engine->wall_ms);
}

void
settle_crashed(struct engine *engine, struct lease **lease_p, struct span error)
{
    struct consumer *consumer = (*lease_p)->session->consumer;
    struct hold *hold = lease_end(engine, lease_p);
    consumer->counters->consumed_count++;
    consumer->counters->crashed_count++;
    event_crashed(engine, consumer, &hold->uid, &hold->root);
    store_settle(engine->store, hold, OUTCOME_CRASHED, error, engine->wall_ms);
}

void
settle_returned(struct engine *engine, struct lease **lease_p, int64_t not_before_ms)
{
    struct consumer *consumer = (*lease_p)->session->consumer;
    struct hold *hold = lease_end(engine, lease_p);
    consumer->counters->requeued_count++;
    store_return(engine->store, hold, false, not_before_ms, engine->wall_ms);
}

// One of the deliveries that a lost worker may have been running.
static void
settle_lost(struct engine *engine, struct lease **lease_p)
{
    struct session *session = (*lease_p)->session;
    struct consumer *consumer = session->consumer;
    uint32_t attempts_count = (*lease_p)->hold->attempt + 1;
    char uid[UID_TEXT_SIZE];
    uid_format(&(*lease_p)->hold->uid, uid);
    log_warn("LEASE-EXPIRED", "task=%s identity=%.*s attempt=%u", uid, (int)consumer->identity.len,
             (const char *)consumer->identity.data, attempts_count);
    if (attempts_count >= engine->options.deliveries_max) {
        char reason[256];
        int len = snprintf(reason, sizeof reason,
                           "its worker was lost %u times; the last one was process %lld on %.*s",
                           attempts_count, (long long)session->pid,
                           session->host.len < 100 ? (int)session->host.len : 100,
                           (const char *)session->host.data);
        settle_crashed(engine, lease_p, span_of(reason, (size_t)len));
        return;
    }
    struct hold *hold = lease_end(engine, lease_p);
    consumer->counters->requeued_count++;
    store_return(engine->store, hold, true, 0, engine->wall_ms);
}

void
settle_session_leases(struct engine *engine, struct session *session, bool is_lost)
{
    uint32_t counted_max = is_lost ? session->concurrency : 0;
    struct list_link *link = NULL;
    while ((link = list_first(&session->leases)) != NULL) {
        struct lease *lease = container_of(link, struct lease, in_session);
        if (counted_max > 0) {
            counted_max--;
            settle_lost(engine, &lease);
        } else {
            settle_returned(engine, &lease, 0);
        }
    }
}

void
settle_rejected(struct engine *engine, struct consumer *consumer, struct hold *hold)
{
    consumer->counters->rejected_count++;
    store_settle(engine->store, hold, OUTCOME_FINISHED, (struct span){0}, engine->wall_ms);
}

void
settle_dropped(struct engine *engine, struct hold *hold)
{
    struct lease *lease = hold->user;
    if (lease == NULL) {
        return;
    }
    struct session *session = lease->session;
    uint64_t delivery = hold->delivery;
    (void)lease_end(engine, &lease);
    session_revoke(engine, session, &delivery, 1, "the consumer was deleted");
}
