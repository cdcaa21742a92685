// loop_metrics.h: figures of the loop, the front, the store and the process, in Prometheus form.
#pragma once
#include <stdint.h>

#include "base/bytes.h"
#include "io/front.h"
#include "store/store.h"

enum { PAUSE_BUCKETS_COUNT = 7 };

struct loop_figures {
    uint64_t turns_count;
    int64_t turn_ns_sum;
    int64_t turn_ns_max; // the longest time that anybody waited for the loop
    uint64_t turn_buckets[PAUSE_BUCKETS_COUNT];
    int64_t cpu_ns;     // of the loop, up to the end of the last turn; 0: none was
    int64_t cpu_ns_max; // between the ends of two turns
    uint64_t http_requests_count;
    uint64_t janitor_waiting_count;
    uint64_t objects_unreferenced_count; // handed to the janitor
    uint64_t objects_deleted_count;      // of these
    uint64_t objects_listed_count;       // seen by walks through the store
    uint64_t objects_swept_count;        // of these: nothing referred to them
    uint64_t objects_foreign_count;      // deleted: keys of others ([object] sweep = all)
    uint64_t uploads_aborted_count;      // in parts, that nobody went on with
    uint64_t walks_count;
    uint64_t published_count;
};

// loop_figures_turn counts one turn of so many nanoseconds; cpu_ns: all processor time of the loop.
void
loop_figures_turn(struct loop_figures *figures, int64_t elapsed_ns, int64_t cpu_ns);
void
loop_metrics(const struct loop_figures *figures, const struct front_counts *front,
             const struct store_stats *store, struct bytes *out);
