// A consumer is a name with filters: one bind and one queue, kept by the store; here is its
// compiled form and who serves it. A bind that is replaced gets a new generation; queued tasks keep
// theirs and are matched again when they are dispatched, never by a scan.
#include "core/consumer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/events.h"
#include "core/metrics.h"
#include "core/release.h"
#include "core/session.h"

struct consumer *
consumer_of(const struct engine *engine, uint32_t number)
{
    return number_map_get(&engine->consumers, number);
}

struct consumer *
consumer_of_identity(const struct engine *engine, struct span identity)
{
    return map_get(engine->consumers_by_identity, identity.data, identity.len);
}

void
consumer_mark_dirty(struct engine *engine, struct consumer *consumer)
{
    if (!list_is_linked(&consumer->dirty)) {
        list_append(&engine->dirty, &consumer->dirty);
    }
}

static struct consumer *
consumer_new(struct engine *engine, uint32_t number, struct span identity)
{
    struct consumer *consumer = xcalloc(1, sizeof *consumer);
    consumer->number = number;
    consumer->identity = span_of(xmemdup(identity.data, identity.len), identity.len);
    consumer->counters = counters_of(engine, identity);
    list_init(&consumer->sessions);
    list_init(&consumer->ready);
    list_append(&engine->consumers_list, &consumer->in_engine);
    number_map_put(&engine->consumers, number, consumer);
    return consumer;
}

static void
put_filter(struct engine *engine, struct consumer *consumer, struct filter **filter_p)
{
    if (consumer->filter != NULL) {
        filter_index_remove(engine->index, consumer->number);
        filter_destroy(&consumer->filter);
    }
    consumer->filter = *filter_p;
    *filter_p = NULL;
    consumer->is_drain = consumer->filter != NULL && filter_is_empty(consumer->filter);
    if (consumer->filter != NULL) {
        filter_index_add(engine->index, consumer->number, consumer->filter);
    }
}

static void
load(struct engine *engine, const struct consumer_record *record)
{
    struct consumer *consumer = consumer_new(engine, record->consumer, record->bind->identity);
    consumer->generation = record->generation;
    consumer->is_persistent = record->bind->persistent;
    consumer->is_dropping = record->dropping;
    if (record->dropping) {
        return;
    }
    struct problem problem = {0};
    struct filter *filter = NULL;
    if (filter_compile(&record->bind->filters, &filter, &problem) != ZKT_OK) {
        log_warn("BIND-UNHEALTHY", "identity=%.*s reason=\"%s\"", (int)consumer->identity.len,
                 (const char *)consumer->identity.data, problem.text);
        consumer->is_unhealthy = true;
        filter = NULL;
    }
    put_filter(engine, consumer, &filter);
    (void)map_put(engine->consumers_by_identity, consumer->identity.data, consumer->identity.len,
                  consumer);
}

void
consumer_load_all(struct engine *engine)
{
    uint32_t number = 0;
    while (store_next_consumer(engine->store, &number)) {
        struct consumer_record record;
        if (store_consumer(engine->store, number, &record)) {
            load(engine, &record);
        }
    }
}

static void
retire_others(struct engine *engine, struct consumer *consumer)
{
    static const char reason[] = "the bind was replaced";
    struct list_link *link = list_first(&consumer->sessions);
    for (; link != NULL; link = list_next(&consumer->sessions, link)) {
        struct session *session = container_of(link, struct session, in_consumer);
        if (session->generation == consumer->generation || session->is_retiring) {
            continue;
        }
        session->is_retiring = true;
        session_refresh_free(engine, session);
        struct command command = {.verb = VERB_RETIRE,
                                  .retire_reason = span_of(reason, sizeof reason - 1)};
        release_answer(engine, session, &command);
    }
}

struct consumer *
consumer_register(struct engine *engine, const struct bind *bind, struct filter **filter_p)
{
    uint32_t number = 0;
    uint64_t generation = 0;
    store_put_consumer(engine->store, bind, engine->wall_ms, &number, &generation);
    struct consumer *consumer = consumer_of(engine, number);
    bool is_new = consumer == NULL;
    if (is_new) {
        consumer = consumer_new(engine, number, bind->identity);
        (void)map_put(engine->consumers_by_identity, consumer->identity.data,
                      consumer->identity.len, consumer);
    }
    if (!is_new && consumer->generation == generation && consumer->filter != NULL) {
        filter_destroy(filter_p);
        return consumer;
    }
    zkt_assert(!consumer->is_dropping);
    consumer->generation = generation;
    consumer->is_persistent = bind->persistent;
    consumer->is_unhealthy = false;
    consumer->errors_count = 0;
    consumer->limits_count = 0;
    put_filter(engine, consumer, filter_p);
    consumer_mark_dirty(engine, consumer);
    event_consumer(engine, consumer, is_new ? "registered" : "changed");
    log_info("BIND-SET", "identity=%.*s generation=%llu persistent=%s", (int)consumer->identity.len,
             (const char *)consumer->identity.data, (unsigned long long)generation,
             bind->persistent ? "yes" : "no");
    retire_others(engine, consumer);
    return consumer;
}

void
consumer_drop(struct engine *engine, struct consumer *consumer)
{
    zkt_assert(!consumer->is_dropping);
    consumer->is_dropping = true;
    (void)map_remove(engine->consumers_by_identity, consumer->identity.data,
                     consumer->identity.len);
    if (consumer->filter != NULL) {
        filter_index_remove(engine->index, consumer->number);
        filter_destroy(&consumer->filter);
    }
    event_consumer(engine, consumer, "dropped");
    log_info("BIND-DROPPED", "identity=%.*s", (int)consumer->identity.len,
             (const char *)consumer->identity.data);
    store_drop_consumer(engine->store, consumer->number, engine->wall_ms);
}

void
consumer_check_absence(struct engine *engine, struct consumer *consumer)
{
    if (consumer->is_persistent || consumer->is_dropping || consumer->sessions_count > 0 ||
        engine->is_in_grace) {
        return;
    }
    consumer_drop(engine, consumer);
}

void
consumer_check_grace(struct engine *engine, struct consumer *consumer)
{
    if (consumer->is_dropping || consumer->resuming_count > 0 ||
        store_suspect_count(engine->store, consumer->number) == 0 ||
        store_missing_instances(engine->store, consumer->number) > 0) {
        return;
    }
    store_end_grace(engine->store, consumer->number, engine->wall_ms);
}

static void
consumer_free(struct consumer *consumer)
{
    filter_destroy(&consumer->filter);
    free((void *)(uintptr_t)consumer->identity.data);
    free(consumer);
}

void
consumer_gone(struct engine *engine, uint32_t number)
{
    struct consumer *consumer = consumer_of(engine, number);
    if (consumer == NULL) {
        return;
    }
    zkt_assert(consumer->is_dropping);
    zkt_assert(consumer->sessions_count == 0);
    event_consumer(engine, consumer, "gone");
    (void)number_map_remove(&engine->consumers, number);
    metrics_forget(engine, consumer);
    list_remove(&consumer->in_engine);
    list_remove(&consumer->dirty);
    list_remove(&consumer->limited);
    consumer_free(consumer);
}

void
consumer_destroy_all(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->consumers_list)) != NULL) {
        list_remove(link);
        consumer_free(container_of(link, struct consumer, in_engine));
    }
}
