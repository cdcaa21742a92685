#include "core/rows.h"

enum { WORKER_TASKS_SHOWN = 64 };

static struct value
text_of(struct arena *arena, struct span text)
{
    return value_string(arena, text.data, text.len);
}

static struct value
uid_of(struct arena *arena, const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    return value_text(arena, text);
}

static void
put_counts(struct arena *arena, struct value *row, const struct consumer_record *record)
{
    for (int i = 0; i < PRIORITIES_COUNT; i++) {
        value_put(arena, row, priority_name((enum priority)i),
                  value_uint(arena, record->waiting_counts[i]));
    }
    value_put(arena, row, "delayed", value_uint(arena, record->delayed_count));
    value_put(arena, row, "running", value_uint(arena, record->held_count));
    value_put(arena, row, "crashed", value_uint(arena, record->crashed_count));
    value_put(arena, row, "oldest_ms",
              record->oldest_ms >= 0 ? value_int(record->oldest_ms) : value_null());
}

static struct value
unhealthy_of(struct arena *arena, const struct consumer *consumer)
{
    if (consumer->filter == NULL) {
        return value_text(arena, "the stored filters cannot be compiled any more");
    }
    if (!consumer->is_unhealthy) {
        return value_null();
    }
    return value_text(arena, arena_printf(arena,
                                          "%llu evaluations failed, %llu regular expressions were "
                                          "stopped by a limit",
                                          (unsigned long long)consumer->errors_count,
                                          (unsigned long long)consumer->limits_count));
}

struct value
row_queue(struct engine *engine, struct arena *arena, const struct consumer *consumer)
{
    struct value row = value_map();
    struct consumer_record record = {.oldest_ms = -1};
    (void)store_consumer(engine->store, consumer->number, &record);
    value_put(arena, &row, "identity", text_of(arena, consumer->identity));
    value_put(arena, &row, "persistent", value_bool(consumer->is_persistent));
    value_put(arena, &row, "workers", value_int((int64_t)consumer->sessions_count));
    put_counts(arena, &row, &record);
    value_put(arena, &row, "unhealthy", unhealthy_of(arena, consumer));
    return row;
}

struct value
row_consumer(struct engine *engine, struct arena *arena, const struct consumer *consumer)
{
    struct value row = row_queue(engine, arena, consumer);
    struct consumer_record record = {0};
    if (store_consumer(engine->store, consumer->number, &record)) {
        const struct bind *bind = record.bind;
        value_put(arena, &row, "filters", value_copy(arena, &bind->filters));
        value_put(arena, &row, "info", value_copy(arena, &bind->info));
        value_put(arena, &row, "is_async", value_bool(bind->is_async));
        value_put(arena, &row, "version", value_copy(arena, &bind->version));
        value_put(arena, &row, "service_version", value_copy(arena, &bind->service_version));
        value_put(arena, &row, "generation", value_uint(arena, record.generation));
    }
    const struct counters *counters = consumer->counters;
    value_put(arena, &row, "assigned", value_uint(arena, counters->assigned_count));
    value_put(arena, &row, "consumed", value_uint(arena, counters->consumed_count));
    value_put(arena, &row, "produced", value_uint(arena, counters->produced_count));
    value_put(arena, &row, "rejected", value_uint(arena, counters->rejected_count));
    value_put(arena, &row, "requeued", value_uint(arena, counters->requeued_count));
    return row;
}

struct value
row_worker(struct arena *arena, const struct session *session)
{
    struct value row = value_map();
    value_put(arena, &row, "identity", text_of(arena, session->identity));
    value_put(arena, &row, "host", text_of(arena, session->host));
    value_put(arena, &row, "pid", value_int(session->pid));
    value_put(arena, &row, "language", text_of(arena, session->language));
    value_put(arena, &row, "session", value_uint(arena, session->number));
    value_put(arena, &row, "concurrency", value_int(session->concurrency));
    value_put(arena, &row, "connected", value_bool(session->peer.len > 0));
    value_put(arena, &row, "retiring", value_bool(session->is_retiring));
    value_put(arena, &row, "transactional", value_bool(session->is_transactional));
    value_put(arena, &row, "holding", value_int(session->leases_count));
    struct value tasks = value_list();
    struct list_link *link = list_first(&session->leases);
    for (; link != NULL && tasks.len < WORKER_TASKS_SHOWN;
         link = list_next(&session->leases, link)) {
        const struct lease *lease = container_of(link, struct lease, in_session);
        struct value task = value_map();
        value_put(arena, &task, "uid", uid_of(arena, &lease->hold->uid));
        value_put(arena, &task, "started", value_bool(lease->is_started));
        value_put(arena, &task, "started_ms",
                  lease->is_started ? value_int(lease->started_ms) : value_null());
        value_append(arena, &tasks, task);
    }
    value_put(arena, &row, "tasks", tasks);
    return row;
}

struct value
row_match(struct arena *arena, const struct consumer *consumer, const struct value *headers)
{
    struct value row = value_map();
    struct filter_outcome outcome = {0};
    bool is_match = consumer->filter != NULL && filter_match(consumer->filter, headers, &outcome);
    value_put(arena, &row, "identity", text_of(arena, consumer->identity));
    value_put(arena, &row, "match", value_bool(is_match));
    value_put(arena, &row, "why", value_null());
    if (!is_match && consumer->filter != NULL) {
        struct bytes why = {0};
        filter_explain(consumer->filter, headers, &why);
        value_put(arena, &row, "why", value_string(arena, why.data, why.len));
        bytes_fini(&why);
    }
    return row;
}

struct value
row_analysis(struct arena *arena, const struct uid *root, bool is_live,
             const struct analysis_counts *counts)
{
    struct value row = value_map();
    value_put(arena, &row, "root", uid_of(arena, root));
    value_put(arena, &row, "done", value_bool(!is_live));
    value_put(arena, &row, "finished", value_uint(arena, counts->finished_count));
    value_put(arena, &row, "crashed", value_uint(arena, counts->crashed_count));
    value_put(arena, &row, "started_ms",
              counts->started_ms >= 0 ? value_int(counts->started_ms) : value_null());
    value_put(arena, &row, "done_ms",
              !is_live && counts->done_ms >= 0 ? value_int(counts->done_ms) : value_null());
    return row;
}
