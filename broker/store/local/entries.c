// The table of live tasks: 48 bytes each in a slab, found by sequence, for uid → sequence is
// arithmetic.
#include <string.h>

#include "base/assert.h"
#include "store/local/state.h"

struct entry *
entry_at(const struct store *store, uint32_t index)
{
    return slab_at(&store->entries, index);
}

static uint64_t
hash_entry(const void *item)
{
    return hash_sequence(entry_sequence(item));
}

struct index_hash_items
entry_items(const struct store *store)
{
    return (struct index_hash_items){.slab = &store->entries,
                                     .link_offset = offsetof(struct entry, hash_next),
                                     .hash = hash_entry};
}

enum task_state
entry_state(const struct entry *entry)
{
    switch ((enum entry_place)entry->place) {
    case ENTRY_CHILD:
        return TASK_DECLARED;
    case ENTRY_CRASHED:
        return TASK_CRASHED;
    default:
        return (entry->flags & ENTRY_IS_STARTED) != 0 ? TASK_STARTED : TASK_SPAWNED;
    }
}

void
entry_matched(struct entry *entry, uint64_t generation)
{
    entry->generation = generation < GENERATION_MAX ? (uint16_t)generation : GENERATION_MAX;
}

uint32_t
entry_new(struct store *store, uint64_t sequence, const struct uid *root, int64_t created_ms)
{
    zkt_assert(sequence <= SEQUENCE_MAX);
    uint32_t index = slab_take(&store->entries);
    struct entry *entry = entry_at(store, index);
    entry->sequence_low = (uint32_t)sequence;
    entry->sequence_high = (uint16_t)(sequence >> 32);
    entry->analysis = analysis_get(store, root, created_ms);
    struct index_hash_items items = entry_items(store);
    index_hash_put(&store->entry_hash, &items, index);
    struct analysis *analysis = analysis_at(store, entry->analysis);
    entry->analysis_next = analysis->first;
    if (analysis->first != 0) {
        entry_at(store, analysis->first)->analysis_prev = index;
    }
    analysis->first = index;
    return index;
}

// Takes the entry out of the table and of its analysis; of its queue it must be out already.
void
entry_free(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    uint32_t analysis_index = entry->analysis;
    struct analysis *analysis = analysis_at(store, analysis_index);
    if (entry->analysis_prev != 0) {
        entry_at(store, entry->analysis_prev)->analysis_next = entry->analysis_next;
    } else {
        analysis->first = entry->analysis_next;
    }
    if (entry->analysis_next != 0) {
        entry_at(store, entry->analysis_next)->analysis_prev = entry->analysis_prev;
    }
    if (entry->body != 0) {
        body_unref(store, entry->body);
    }
    struct index_hash_items items = entry_items(store);
    index_hash_remove(&store->entry_hash, &items, index);
    slab_give(&store->entries, index);
    analysis_maybe_done(store, analysis_index);
}

uint32_t
entry_find(const struct store *store, uint64_t sequence)
{
    uint32_t index = index_hash_first(&store->entry_hash, hash_sequence(sequence));
    while (index != 0 && entry_sequence(entry_at(store, index)) != sequence) {
        index = entry_at(store, index)->hash_next;
    }
    return index;
}
