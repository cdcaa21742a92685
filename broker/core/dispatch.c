// Path of a task, step 8 of 10: choose, lease. From store/local/records.h, to io/front_send.c.
//
// The store is asked for as many tasks as there is room for (window − unsettled, over all sessions
// of a consumer), and hands over only durable ones. Sessions take turns. A task that was matched
// under an older bind is matched again now; if it matches no more it is Finished without being
// delivered (S19, promise 5). What a turn gave to a session leaves in few messages.
#include "core/dispatch.h"

#include "base/assert.h"
#include "core/consumer.h"
#include "core/lease.h"
#include "core/route.h"
#include "core/session.h"
#include "core/settle.h"

static uint32_t
want_of(const struct engine *engine, const struct consumer *consumer)
{
    if (engine->is_draining || engine->has_failed) {
        return 0;
    }
    if (consumer->is_drain) {
        return consumer->sessions_count > 0 ? TURN_OFFERS_DRAIN : 0;
    }
    return consumer->free_count < UINT32_MAX ? (uint32_t)consumer->free_count : UINT32_MAX;
}

void
dispatch_want(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->dirty)) != NULL) {
        struct consumer *consumer = container_of(link, struct consumer, dirty);
        list_remove(link);
        if (!consumer->is_dropping) {
            store_want(engine->store, consumer->number, want_of(engine, consumer));
        }
    }
}

// Whether the task still matches; of a drained consumer nothing does.
static bool
is_stale_match(struct engine *engine, struct consumer *consumer, struct hold *hold)
{
    arena_clear(&engine->match_scratch);
    struct task task = {0};
    if (!engine->options.store.codec->headers(hold->body, &engine->match_scratch, &task)) {
        return true; // the store verifies bodies: the worker will say what is wrong with it
    }
    return route_still_matches(engine, consumer, &task.headers);
}

void
dispatch_offer(struct engine *engine, struct hold *hold)
{
    struct consumer *consumer = consumer_of(engine, hold->consumer);
    zkt_assert(consumer != NULL);
    hold->user = NULL;
    if (hold->bind_generation != consumer->generation) {
        if (!is_stale_match(engine, consumer, hold)) {
            consumer_mark_dirty(engine, consumer);
            settle_rejected(engine, consumer, hold);
            return;
        }
        store_rematched(engine->store, hold, consumer->generation);
    }
    struct list_link *link = list_first(&consumer->ready);
    if (link == NULL || engine->is_draining) {
        consumer_mark_dirty(engine, consumer);
        store_return(engine->store, hold, false, 0, engine->wall_ms);
        return;
    }
    struct session *session = container_of(link, struct session, ready);
    list_remove(link);
    list_append(&consumer->ready, link);
    (void)lease_new(engine, session, hold, true);
    engine->deliveries_count++;
}

static struct deliver_item
item_of(const struct lease *lease)
{
    const struct hold *hold = lease->hold;
    return (struct deliver_item){
        .delivery = hold->delivery,
        .attempt = hold->attempt + 1,
        .task = {.uid = hold->uid,
                 .root = hold->root,
                 .parent = hold->parent,
                 .orig = hold->orig,
                 .retry_of = hold->retry_of,
                 .priority = hold->priority},
        .body = hold->body,
        .receiver = lease->session->consumer->identity,
    };
}

// One DELIVER of the outgoing leases; false: the peer is gone, its leases wait for its expiry or
// its HELLO.
static bool
flush_some(struct engine *engine, struct session *session)
{
    struct deliver_item items[DELIVER_ITEMS_MAX];
    size_t items_count = 0;
    size_t bytes_len = 0;
    struct list_link *link = NULL;
    while (items_count < DELIVER_ITEMS_MAX && bytes_len < DELIVER_BYTES_MAX &&
           (link = list_first(&session->outgoing)) != NULL) {
        const struct lease *lease = container_of(link, struct lease, outgoing);
        if (items_count > 0 && bytes_len + lease->hold->body.len > DELIVER_BYTES_MAX) {
            break;
        }
        list_remove(link);
        items[items_count++] = item_of(lease);
        bytes_len += lease->hold->body.len;
    }
    struct command command = {.verb = VERB_DELIVER,
                              .deliver = {.items = items, .items_count = items_count}};
    return session_send(engine, session, &command);
}

void
dispatch_flush(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->flush)) != NULL) {
        struct session *session = container_of(link, struct session, flush);
        list_remove(link);
        while (!list_is_empty(&session->outgoing) && flush_some(engine, session)) {
        }
        while ((link = list_first(&session->outgoing)) != NULL) {
            list_remove(link);
        }
    }
}
