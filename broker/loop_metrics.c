#include "loop_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

// Upper ends of the buckets, in nanoseconds; the last bucket has none.
static const int64_t bucket_ends_ns[PAUSE_BUCKETS_COUNT - 1] = {100000,  500000,   1000000,
                                                                5000000, 10000000, 50000000};

void
loop_figures_turn(struct loop_figures *figures, int64_t elapsed_ns, int64_t cpu_ns)
{
    if (figures->cpu_ns != 0 && cpu_ns - figures->cpu_ns > figures->cpu_ns_max) {
        figures->cpu_ns_max = cpu_ns - figures->cpu_ns;
    }
    figures->cpu_ns = cpu_ns;
    figures->turns_count++;
    figures->turn_ns_sum += elapsed_ns;
    if (elapsed_ns > figures->turn_ns_max) {
        figures->turn_ns_max = elapsed_ns;
    }
    size_t bucket_index = 0;
    while (bucket_index < PAUSE_BUCKETS_COUNT - 1 && elapsed_ns > bucket_ends_ns[bucket_index]) {
        bucket_index++;
    }
    figures->turn_buckets[bucket_index]++;
}

static void
metric(struct bytes *out, const char *name, const char *type, const char *help, double value)
{
    bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name,
                 value);
}

static void
pauses(const struct loop_figures *figures, struct bytes *out)
{
    static const char name[] = "zkarton_loop_pause_seconds";
    uint64_t sum = 0;
    bytes_printf(out, "# HELP %s time of one turn of the loop\n# TYPE %s histogram\n", name, name);
    for (size_t bucket_index = 0; bucket_index < PAUSE_BUCKETS_COUNT - 1; bucket_index++) {
        sum += figures->turn_buckets[bucket_index];
        bytes_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                     (double)bucket_ends_ns[bucket_index] / 1e9, sum);
    }
    bytes_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n",
                 name, figures->turns_count, name, (double)figures->turn_ns_sum / 1e9, name,
                 figures->turns_count);
    metric(out, "zkarton_loop_pause_seconds_max", "gauge",
           "longest turn of the loop since the start", (double)figures->turn_ns_max / 1e9);
    metric(out, "zkarton_loop_cpu_seconds_max", "gauge",
           "most processor time of one turn: the rest of a pause is other threads' and programs'",
           (double)figures->cpu_ns_max / 1e9);
}

static void
front_metrics(const struct front_counts *front, struct bytes *out)
{
    metric(out, "zkarton_front_received_total", "counter", "messages of peers",
           (double)front->received_count);
    metric(out, "zkarton_front_sent_total", "counter", "messages to peers",
           (double)front->sent_count);
    metric(out, "zkarton_front_multipart_total", "counter",
           "messages of more than one frame, dropped", (double)front->multipart_count);
    metric(out, "zkarton_front_handshake_failures_total", "counter",
           "connections that do not speak ZMTP", (double)front->handshake_failed_count);
    metric(out, "zkarton_front_connections_total", "counter", "connections accepted",
           (double)front->connected_count);
    metric(out, "zkarton_front_disconnects_total", "counter",
           "connections ended, dropped ones included", (double)front->disconnected_count);
    metric(out, "zkarton_front_outbox_overflows_total", "counter",
           "sessions ended for a full outbox", (double)front->overflow_count);
    metric(out, "zkarton_front_outboxes", "gauge", "peers with messages waiting for them",
           (double)front->outboxes_count);
}

static void
store_metrics(const struct store_stats *store, struct bytes *out)
{
    metric(out, "zkarton_store_tasks", "gauge", "tasks in the store", (double)store->tasks_count);
    metric(out, "zkarton_store_objects", "gauge", "objects referred to, uploaded or being deleted",
           (double)store->objects_count);
    metric(out, "zkarton_store_uploads", "gauge", "declared uploads without a task",
           (double)store->uploads_count);
    metric(out, "zkarton_store_deletions", "gauge", "objects waiting to be deleted",
           (double)store->deletes_count);
    metric(out, "zkarton_store_intents", "gauge", "mass operations under way",
           (double)store->intents_count);
    metric(out, "zkarton_store_suspects", "gauge", "tasks in doubt since the start",
           (double)store->suspects_count);
    metric(out, "zkarton_store_used_bytes", "gauge", "bytes of the records in use",
           (double)store->used_bytes);
    metric(out, "zkarton_store_body_cache_bytes", "gauge", "bytes of bodies in memory",
           (double)store->body_cache_bytes);
    metric(out, "zkarton_store_damaged_records", "gauge", "records that did not verify",
           (double)store->damaged_count);
    metric(out, "zkarton_store_commits_total", "counter", "commits", (double)store->commits_count);
    metric(out, "zkarton_store_commit_seconds_total", "counter", "time of all commits",
           (double)store->commit_ns_sum / 1e9);
    metric(out, "zkarton_store_commit_seconds_max", "gauge", "longest commit since the start",
           (double)store->commit_ns_max / 1e9);
}

static void
process_metrics(struct bytes *out)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        double seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                         (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
        metric(out, "process_cpu_seconds_total", "counter", "processor time of the broker",
               seconds);
    }
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages_count;
    unsigned long resident_count;
    if (file == NULL) {
        return;
    }
    if (fscanf(file, "%lu %lu", &pages_count, &resident_count) == 2) {
        double page_bytes = (double)sysconf(_SC_PAGESIZE);
        metric(out, "process_resident_memory_bytes", "gauge", "resident memory of the broker",
               (double)resident_count * page_bytes);
        metric(out, "process_virtual_memory_bytes", "gauge", "address space of the broker",
               (double)pages_count * page_bytes);
    }
    fclose(file);
}

static void
object_metrics(const struct loop_figures *figures, struct bytes *out)
{
    metric(out, "zkarton_janitor_waiting", "gauge", "objects the janitor is to delete",
           (double)figures->janitor_waiting_count);
    metric(out, "zkarton_objects_unreferenced_total", "counter",
           "objects handed to the janitor since the start: deleted, or waiting",
           (double)figures->objects_unreferenced_count);
    metric(out, "zkarton_objects_deleted_total", "counter", "objects that the store has deleted",
           (double)figures->objects_deleted_count);
    metric(out, "zkarton_objects_listed_total", "counter",
           "objects seen by walks through the store", (double)figures->objects_listed_count);
    metric(out, "zkarton_objects_swept_total", "counter",
           "objects found by walks that nothing referred to", (double)figures->objects_swept_count);
    metric(out, "zkarton_objects_foreign_deleted_total", "counter",
           "keys of others deleted from the bucket ([object] sweep = all)",
           (double)figures->objects_foreign_count);
    metric(out, "zkarton_uploads_aborted_total", "counter",
           "uploads in parts ended because nobody went on with them",
           (double)figures->uploads_aborted_count);
    metric(out, "zkarton_object_walks_total", "counter", "walks through the object store",
           (double)figures->walks_count);
}

void
loop_metrics(const struct loop_figures *figures, const struct front_counts *front,
             const struct store_stats *store, struct bytes *out)
{
    pauses(figures, out);
    front_metrics(front, out);
    store_metrics(store, out);
    metric(out, "zkarton_http_requests_total", "counter", "HTTP requests answered",
           (double)figures->http_requests_count);
    object_metrics(figures, out);
    metric(out, "zkarton_events_published_total", "counter", "messages on the events socket",
           (double)figures->published_count);
    process_metrics(out);
}
