#include "core/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "core/consumer.h"

struct counters *
counters_of(struct engine *engine, struct span identity)
{
    struct counters *counters = map_get(engine->counters_by_identity, identity.data, identity.len);
    if (counters != NULL) {
        return counters;
    }
    if (map_len(engine->counters_by_identity) >= LIMIT_CONSUMERS && identity.len > 0) {
        return counters_of(engine, span_of("", 0));
    }
    counters = xcalloc(1, sizeof *counters);
    counters->identity =
        span_of(xmemdup(identity.len > 0 ? identity.data : (const uint8_t *)"", identity.len),
                identity.len);
    list_append(&engine->counters_list, &counters->in_engine);
    (void)map_put(engine->counters_by_identity, identity.data, identity.len, counters);
    return counters;
}

void
counters_destroy_all(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->counters_list)) != NULL) {
        struct counters *counters = container_of(link, struct counters, in_engine);
        list_remove(link);
        free((void *)(uintptr_t)counters->identity.data);
        free(counters);
    }
}

static void
write_head(struct bytes *out, const char *name, const char *type, const char *help)
{
    bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

// A label's value: backslash, quote and line feed are escaped.
static void
write_label(struct bytes *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte == '\\' || byte == '"') {
            bytes_append_byte(out, '\\');
        }
        if (byte == '\n') {
            bytes_append_text(out, "\\n");
        } else {
            bytes_append_byte(out, byte);
        }
    }
}

static void
write_plain(struct bytes *out, const char *name, const char *type, const char *help, uint64_t count)
{
    write_head(out, name, type, help);
    bytes_printf(out, "%s %" PRIu64 "\n", name, count);
}

struct counter_row {
    const char *name;
    const char *help;
    size_t offset; // in struct counters
};
static const struct counter_row counter_rows[] = {
    {"zkarton_produced_total", "Tasks submitted under this identity.",
     offsetof(struct counters, produced_count)},
    {"zkarton_untaken_total", "Tasks submitted under this identity that no consumer took.",
     offsetof(struct counters, untaken_count)},
    {"zkarton_assigned_total", "Tasks forked for this consumer.",
     offsetof(struct counters, assigned_count)},
    {"zkarton_consumed_total", "Tasks that this consumer finished or crashed.",
     offsetof(struct counters, consumed_count)},
    {"zkarton_crashed_total", "Tasks that crashed in this consumer.",
     offsetof(struct counters, crashed_count)},
    {"zkarton_rejected_total", "Queued tasks ended because the filters match no more.",
     offsetof(struct counters, rejected_count)},
    {"zkarton_requeued_total", "Deliveries that came back unsettled.",
     offsetof(struct counters, requeued_count)},
};

static void
write_counters(const struct engine *engine, struct bytes *out)
{
    for (size_t i = 0; i < sizeof counter_rows / sizeof *counter_rows; i++) {
        const struct counter_row *row = &counter_rows[i];
        write_head(out, row->name, "counter", row->help);
        struct list_link *link = list_first(&engine->counters_list);
        for (; link != NULL; link = list_next(&engine->counters_list, link)) {
            const struct counters *counters = container_of(link, struct counters, in_engine);
            bytes_printf(out, "%s{identity=\"", row->name);
            write_label(out, counters->identity);
            bytes_printf(out, "\"} %" PRIu64 "\n",
                         *(const uint64_t *)(const void *)((const char *)counters + row->offset));
        }
    }
}

static void
write_queue_row(struct bytes *out, const char *name, struct span identity, const char *priority,
                uint64_t count)
{
    bytes_printf(out, "%s{identity=\"", name);
    write_label(out, identity);
    if (priority != NULL) {
        bytes_printf(out, "\",priority=\"%s", priority);
    }
    bytes_printf(out, "\"} %" PRIu64 "\n", count);
}

enum queue_figure {
    FIGURE_WAITING,
    FIGURE_RUNNING,
    FIGURE_CRASHED,
    FIGURE_WORKERS,
    FIGURE_ERRORS,
    FIGURE_LIMITS
};
struct queue_row {
    enum queue_figure figure;
    const char *name;
    const char *type;
    const char *help;
};
static const struct queue_row queue_rows[] = {
    {FIGURE_WAITING, "zkarton_queue_tasks", "gauge", "Tasks waiting in a consumer's queue."},
    {FIGURE_RUNNING, "zkarton_queue_running", "gauge", "Tasks in the hands of a worker."},
    {FIGURE_CRASHED, "zkarton_queue_crashed", "gauge", "Crashed tasks kept for inspection."},
    {FIGURE_WORKERS, "zkarton_workers", "gauge", "Workers connected for a consumer."},
    {FIGURE_ERRORS, "zkarton_bind_errors_total", "counter",
     "Evaluations of a bind's filters that failed and counted as no match."},
    {FIGURE_LIMITS, "zkarton_bind_limits_total", "counter",
     "Regular expressions of a bind stopped by a limit."},
};

static void
write_figure(struct bytes *out, const struct queue_row *row, const struct consumer *consumer,
             const struct consumer_record *record)
{
    switch (row->figure) {
    case FIGURE_WAITING:
        for (int i = 0; i < PRIORITIES_COUNT; i++) {
            write_queue_row(out, row->name, consumer->identity, priority_name((enum priority)i),
                            record->waiting_counts[i]);
        }
        break;
    case FIGURE_RUNNING:
        write_queue_row(out, row->name, consumer->identity, NULL, record->held_count);
        break;
    case FIGURE_CRASHED:
        write_queue_row(out, row->name, consumer->identity, NULL, record->crashed_count);
        break;
    case FIGURE_WORKERS:
        write_queue_row(out, row->name, consumer->identity, NULL, consumer->sessions_count);
        break;
    case FIGURE_ERRORS:
        write_queue_row(out, row->name, consumer->identity, NULL, consumer->errors_count);
        break;
    case FIGURE_LIMITS:
        write_queue_row(out, row->name, consumer->identity, NULL, consumer->limits_count);
        break;
    }
}

static void
write_queues(const struct engine *engine, struct bytes *out)
{
    for (size_t i = 0; i < sizeof queue_rows / sizeof *queue_rows; i++) {
        write_head(out, queue_rows[i].name, queue_rows[i].type, queue_rows[i].help);
        struct list_link *link = list_first(&engine->consumers_list);
        for (; link != NULL; link = list_next(&engine->consumers_list, link)) {
            const struct consumer *consumer = container_of(link, struct consumer, in_engine);
            struct consumer_record record = {0};
            if (!consumer->is_dropping &&
                store_consumer(engine->store, consumer->number, &record)) {
                write_figure(out, &queue_rows[i], consumer, &record);
            }
        }
    }
}

static void
write_states(const struct engine *engine, struct bytes *out)
{
    struct store_stats stats = {0};
    store_stats(engine->store, &stats);
    write_head(out, "zkarton_tasks", "gauge", "Tasks kept by the store, by state.");
    for (int i = 0; i < TASK_STATES_COUNT; i++) {
        bytes_printf(out, "zkarton_tasks{state=\"%s\"} %" PRIu64 "\n",
                     task_state_name((enum task_state)i), stats.state_counts[i]);
    }
    write_plain(out, "zkarton_analyses", "gauge", "Analyses that are not done.",
                stats.analyses_count);
}

void
engine_metrics(const struct engine *engine, struct bytes *out)
{
    write_queues(engine, out);
    write_states(engine, out);
    write_counters(engine, out);
    write_plain(out, "zkarton_sessions", "gauge", "Peers that said HELLO and are not lost.",
                engine->sessions.len);
    write_plain(out, "zkarton_leases", "gauge", "Deliveries not settled.", engine->leases.len);
    write_plain(out, "zkarton_submits_total", "counter", "SUBMITs applied.", engine->submits_count);
    write_plain(out, "zkarton_deliveries_total", "counter", "Tasks handed to a worker.",
                engine->deliveries_count);
    write_plain(out, "zkarton_analyses_done_total", "counter", "Completions of analyses.",
                engine->analyses_done_count);
    write_plain(out, "zkarton_sessions_lost_total", "counter", "Sessions whose expiry passed.",
                engine->sessions_lost_count);
    write_plain(out, "zkarton_bad_frames_total", "counter", "Messages that could not be read.",
                engine->bad_frames_count);
    write_plain(out, "zkarton_refused_busy_total", "counter",
                "SUBMITs refused because the store is full.", engine->refused_busy_count);
    write_plain(out, "zkarton_refused_disk_total", "counter",
                "SUBMITs refused because the disk is full.", engine->refused_disk_count);
    write_plain(out, "zkarton_log_records_total", "counter", "Log records published.",
                engine->log_records_count);
    write_plain(out, "zkarton_log_dropped_total", "counter",
                "Log records dropped for coming too fast or being malformed.",
                engine->log_dropped_count);
}
