// Analyses: one counter each, changed here alone. An analysis is done exactly when nothing of it is
// Declared, Spawned or Started (design promise 7); its `finished` is told when the batch that made
// it so is durable, once per completion.
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/state.h"

struct analysis *
analysis_at(const struct store *store, uint32_t index)
{
    return slab_at(&store->analyses, index);
}

static uint64_t
hash_analysis(const void *item)
{
    return uid_hash(&((const struct analysis *)item)->root);
}

static struct index_hash_items
items_of(const struct store *store)
{
    return (struct index_hash_items){.slab = &store->analyses,
                                     .link_offset = offsetof(struct analysis, hash_next),
                                     .hash = hash_analysis};
}

void
analysis_prefetch(const struct store *store, const struct uid *root)
{
    index_hash_prefetch(&store->analysis_hash, uid_hash(root));
}

void
analysis_prefetch_item(const struct store *store, const struct uid *root)
{
    struct index_hash_items items = items_of(store);
    index_hash_prefetch_item(&store->analysis_hash, &items, uid_hash(root));
}

uint32_t
analysis_find(const struct store *store, const struct uid *root)
{
    uint32_t index = index_hash_first(&store->analysis_hash, uid_hash(root));
    while (index != 0 && !uid_equal(&analysis_at(store, index)->root, root)) {
        index = analysis_at(store, index)->hash_next;
    }
    return index;
}

uint32_t
analysis_get(struct store *store, const struct uid *root, int64_t created_ms)
{
    uint32_t index = analysis_find(store, root);
    if (index != 0) {
        return index;
    }
    index = slab_take(&store->analyses);
    struct analysis *analysis = analysis_at(store, index);
    analysis->root = *root;
    analysis->created_s = (uint32_t)(created_ms / 1000);
    struct index_hash_items items = items_of(store);
    index_hash_put(&store->analysis_hash, &items, index);
    return index;
}

void
analysis_enter(struct store *store, uint32_t index)
{
    store->live_analyses_count += analysis_at(store, index)->live_count++ == 0;
}

void
analysis_leave(struct store *store, uint32_t index, bool is_finished, bool is_crashed)
{
    struct analysis *analysis = analysis_at(store, index);
    zkt_assert(analysis->live_count > 0);
    analysis->live_count--;
    analysis->finished_count += is_finished;
    analysis->crashed_count += is_crashed;
    if (analysis->live_count > 0) {
        return;
    }
    store->live_analyses_count--;
    struct done_waiting *waiting = xcalloc(1, sizeof *waiting);
    waiting->batch = store->open_number;
    waiting->root = analysis->root;
    waiting->counts = (struct analysis_counts){.finished_count = analysis->finished_count,
                                               .crashed_count = analysis->crashed_count,
                                               .started_ms = (int64_t)analysis->created_s * 1000,
                                               .done_ms = store->now_ms};
    list_append(&store->done_waiting, &waiting->link);
    done_ring_put(&store->done, &waiting->root, &waiting->counts);
}

void
analysis_forget_crashed(struct store *store, uint32_t index)
{
    struct analysis *analysis = analysis_at(store, index);
    analysis->crashed_count -= analysis->crashed_count > 0;
}

// An analysis without tasks and without anything live leaves memory; the ring remembers it for a
// while.
void
analysis_maybe_done(struct store *store, uint32_t index)
{
    struct analysis *analysis = analysis_at(store, index);
    if (analysis->live_count == 0 && analysis->first == 0) {
        struct index_hash_items items = items_of(store);
        index_hash_remove(&store->analysis_hash, &items, index);
        slab_give(&store->analyses, index);
    }
}

bool
store_analysis_is_live(const struct store *store, const struct uid *root)
{
    uint32_t index = analysis_find(store, root);
    return index != 0 && analysis_at(store, index)->live_count > 0;
}

bool
store_analysis_done(const struct store *store, const struct uid *root, struct analysis_counts *out)
{
    const struct analysis_counts *done = done_ring_find(&store->done, root);
    uint32_t index = analysis_find(store, root);
    if (index != 0 && analysis_at(store, index)->live_count > 0) {
        return false; // live again, after a retry
    }
    if (done != NULL) {
        *out = *done;
        return true;
    }
    if (index == 0) {
        return false;
    }
    const struct analysis *analysis = analysis_at(store, index);
    *out = (struct analysis_counts){.finished_count = analysis->finished_count,
                                    .crashed_count = analysis->crashed_count,
                                    .started_ms = (int64_t)analysis->created_s * 1000,
                                    .done_ms = -1};
    return true;
}
