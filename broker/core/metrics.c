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

// One line: name{identity="…"} count. Written without printf: there are a dozen for each consumer.
static void
write_row(struct bytes *out, const char *name, struct span identity, const char *priority,
          uint64_t count)
{
    char digits[24];
    char *at = digits + sizeof digits;
    *--at = '\n';
    do {
        *--at = (char)('0' + count % 10);
        count /= 10;
    } while (count > 0);
    bytes_append_text(out, name);
    bytes_append_text(out, "{identity=\"");
    write_label(out, identity);
    if (priority != NULL) {
        bytes_append_text(out, "\",priority=\"");
        bytes_append_text(out, priority);
    }
    bytes_append_text(out, "\"} ");
    bytes_append(out, at, (size_t)(digits + sizeof digits - at));
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
            write_row(out, row->name, consumer->identity, priority_name((enum priority)i),
                      record->waiting_counts[i]);
        }
        break;
    case FIGURE_RUNNING:
        write_row(out, row->name, consumer->identity, NULL, record->held_count);
        break;
    case FIGURE_CRASHED:
        write_row(out, row->name, consumer->identity, NULL, record->crashed_count);
        break;
    case FIGURE_WORKERS:
        write_row(out, row->name, consumer->identity, NULL, consumer->sessions_count);
        break;
    case FIGURE_ERRORS:
        write_row(out, row->name, consumer->identity, NULL, consumer->errors_count);
        break;
    case FIGURE_LIMITS:
        write_row(out, row->name, consumer->identity, NULL, consumer->limits_count);
        break;
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

static void
write_rest(const struct engine *engine, struct bytes *out)
{
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

enum {
    QUEUE_PARTS = sizeof queue_rows / sizeof *queue_rows,
    COUNTER_PARTS = sizeof counter_rows / sizeof *counter_rows,
    PARTS_COUNT = QUEUE_PARTS + COUNTER_PARTS,
};

static void
write_part_head(size_t part, struct bytes *out)
{
    if (part < QUEUE_PARTS) {
        write_head(out, queue_rows[part].name, queue_rows[part].type, queue_rows[part].help);
    } else {
        const struct counter_row *row = &counter_rows[part - QUEUE_PARTS];
        write_head(out, row->name, "counter", row->help);
    }
}

static void
write_part_row(const struct engine *engine, size_t part, const struct list_link *link,
               struct bytes *out)
{
    if (part < QUEUE_PARTS) {
        const struct consumer *consumer = container_of(link, struct consumer, in_engine);
        struct consumer_record record = {0};
        if (!consumer->is_dropping && store_consumer(engine->store, consumer->number, &record)) {
            write_figure(out, &queue_rows[part], consumer, &record);
        }
        return;
    }
    const struct counter_row *row = &counter_rows[part - QUEUE_PARTS];
    const struct counters *counters = container_of(link, struct counters, in_engine);
    write_row(out, row->name, counters->identity, NULL,
              *(const uint64_t *)(const void *)((const char *)counters + row->offset));
}

// Prometheus wants all lines of one name together, so the walk is by name and then by consumer.
static bool
write_some(const struct engine *engine, struct metrics_walk *walk, struct bytes *out,
           size_t rows_max)
{
    for (; walk->part < PARTS_COUNT; walk->part++) {
        const struct list *list =
            walk->part < QUEUE_PARTS ? &engine->consumers_list : &engine->counters_list;
        if (!walk->is_in_part) {
            write_part_head(walk->part, out);
            walk->next = list_first(list);
            walk->is_in_part = true;
        }
        for (; walk->next != NULL; walk->next = list_next(list, walk->next)) {
            if (rows_max-- == 0) {
                return false;
            }
            write_part_row(engine, walk->part, walk->next, out);
        }
        walk->is_in_part = false;
    }
    write_states(engine, out);
    write_rest(engine, out);
    *walk = (struct metrics_walk){0};
    return true;
}

bool
engine_metrics_some(struct engine *engine, struct bytes *out, size_t rows_max)
{
    return write_some(engine, &engine->metrics_walk, out, rows_max);
}

void
engine_metrics(const struct engine *engine, struct bytes *out)
{
    struct metrics_walk walk = {0};
    (void)write_some(engine, &walk, out, SIZE_MAX);
}

void
metrics_forget(struct engine *engine, const struct consumer *consumer)
{
    struct metrics_walk *walk = &engine->metrics_walk;
    if (walk->next == &consumer->in_engine) {
        walk->next = list_next(&engine->consumers_list, walk->next);
    }
}
