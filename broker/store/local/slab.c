#include "store/local/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

void
slab_init(struct slab *slab, size_t item_size)
{
    *slab = (struct slab){.item_size = item_size, .next_index = 1};
}

void
slab_fini(struct slab *slab)
{
    for (uint32_t segment_index = 0; segment_index < slab->segments_count; segment_index++) {
        free(slab->segments[segment_index]);
    }
    free(slab->segments);
    *slab = (struct slab){0};
}

static void
add_segment(struct slab *slab)
{
    if ((slab->segments_count & (slab->segments_count - 1)) == 0) {
        uint32_t capacity = slab->segments_count > 0 ? slab->segments_count * 2 : 1;
        slab->segments = xrealloc(slab->segments, capacity * sizeof *slab->segments);
    }
    slab->segments[slab->segments_count++] = xmalloc(SLAB_SEGMENT_ITEMS * slab->item_size);
}

uint32_t
slab_take(struct slab *slab)
{
    uint32_t index = slab->free_index;
    if (index != 0) {
        memcpy(&slab->free_index, slab_at(slab, index), sizeof slab->free_index);
    } else {
        index = slab->next_index++;
        zkt_assert(index != UINT32_MAX);
        if (index / SLAB_SEGMENT_ITEMS >= slab->segments_count) {
            add_segment(slab);
        }
    }
    slab->used_count++;
    return memset(slab_at(slab, index), 0, slab->item_size) != NULL ? index : 0;
}

void
slab_give(struct slab *slab, uint32_t index)
{
    zkt_assert(index != 0);
    memcpy(slab_at(slab, index), &slab->free_index, sizeof slab->free_index);
    slab->free_index = index;
    slab->used_count--;
}

// ---- Hash

enum { SEGMENT_BUCKETS = 4096, SPLIT_AHEAD = 8 };

static uint32_t *
bucket_at(const struct index_hash *hash, uint32_t bucket_index)
{
    return &hash->segments[bucket_index / SEGMENT_BUCKETS][bucket_index % SEGMENT_BUCKETS];
}

static uint32_t *
bucket_of(const struct index_hash *hash, uint64_t key_hash)
{
    uint32_t bucket_index = (uint32_t)(key_hash & (hash->level_buckets * 2ull - 1));
    if (bucket_index >= hash->buckets_count) {
        bucket_index = (uint32_t)(key_hash & (hash->level_buckets - 1));
    }
    return bucket_at(hash, bucket_index);
}

static void
cover(struct index_hash *hash, uint32_t buckets_count)
{
    while ((uint64_t)hash->segments_count * SEGMENT_BUCKETS < buckets_count) {
        if ((hash->segments_count & (hash->segments_count - 1)) == 0) {
            uint32_t capacity = hash->segments_count > 0 ? hash->segments_count * 2 : 1;
            hash->segments = xrealloc(hash->segments, capacity * sizeof *hash->segments);
        }
        hash->segments[hash->segments_count++] = xcalloc(SEGMENT_BUCKETS, sizeof(uint32_t));
    }
}

void
index_hash_init(struct index_hash *hash)
{
    *hash = (struct index_hash){.buckets_count = 8, .level_buckets = 8};
    cover(hash, hash->buckets_count);
}

void
index_hash_fini(struct index_hash *hash)
{
    for (uint32_t segment_index = 0; segment_index < hash->segments_count; segment_index++) {
        free(hash->segments[segment_index]);
    }
    free(hash->segments);
    *hash = (struct index_hash){0};
}

static uint32_t *
link_of(const struct index_hash_items *items, uint32_t index)
{
    return (uint32_t *)(void *)((uint8_t *)slab_at(items->slab, index) + items->link_offset);
}

void
index_hash_reserve(struct index_hash *hash, uint64_t items_count)
{
    zkt_assert(hash->items_count == 0);
    if (items_count <= hash->buckets_count) {
        return;
    }
    zkt_assert(items_count < UINT32_MAX / 2);
    hash->buckets_count = (uint32_t)items_count;
    while (hash->level_buckets * 2ull <= items_count) {
        hash->level_buckets *= 2;
    }
    cover(hash, hash->buckets_count);
}

void
index_hash_prefetch(const struct index_hash *hash, uint64_t key_hash)
{
    __builtin_prefetch(bucket_of(hash, key_hash));
}

void
index_hash_prefetch_item(const struct index_hash *hash, const struct index_hash_items *items,
                         uint64_t key_hash)
{
    uint32_t index = *bucket_of(hash, key_hash);
    if (index != 0) {
        __builtin_prefetch(slab_at(items->slab, index));
    }
}

// Which bucket is split when is known long before: its first items are asked for in time.
static void
prefetch_splits(const struct index_hash *hash, const struct index_hash_items *items,
                uint32_t from_index)
{
    if (from_index + SPLIT_AHEAD >= hash->level_buckets) {
        return;
    }
    uint32_t far = *bucket_at(hash, from_index + SPLIT_AHEAD);
    uint32_t near = *bucket_at(hash, from_index + SPLIT_AHEAD / 2);
    if (far != 0) {
        __builtin_prefetch(link_of(items, far));
    }
    uint32_t second = near != 0 ? *link_of(items, near) : 0;
    if (second != 0) {
        __builtin_prefetch(link_of(items, second));
    }
}

static void
split_one(struct index_hash *hash, const struct index_hash_items *items)
{
    uint32_t from_index = hash->buckets_count - hash->level_buckets;
    uint32_t *from = bucket_at(hash, from_index);
    prefetch_splits(hash, items, from_index);
    cover(hash, hash->buckets_count + 1);
    uint32_t *to = bucket_at(hash, hash->buckets_count);
    hash->buckets_count++;
    uint32_t index = *from;
    *from = 0;
    while (index != 0) {
        uint32_t *link = link_of(items, index);
        uint32_t next = *link;
        uint32_t *target =
            (items->hash(slab_at(items->slab, index)) & hash->level_buckets) != 0 ? to : from;
        *link = *target;
        *target = index;
        index = next;
    }
    if (hash->buckets_count == hash->level_buckets * 2) {
        hash->level_buckets *= 2;
    }
}

void
index_hash_put(struct index_hash *hash, const struct index_hash_items *items, uint32_t index)
{
    uint32_t *bucket = bucket_of(hash, items->hash(slab_at(items->slab, index)));
    *link_of(items, index) = *bucket;
    *bucket = index;
    hash->items_count++;
    if (hash->items_count > hash->buckets_count) {
        split_one(hash, items);
    }
}

void
index_hash_remove(struct index_hash *hash, const struct index_hash_items *items, uint32_t index)
{
    uint32_t *link = bucket_of(hash, items->hash(slab_at(items->slab, index)));
    while (*link != index) {
        zkt_assert(*link != 0);
        link = link_of(items, *link);
    }
    *link = *link_of(items, index);
    hash->items_count--;
}

uint32_t
index_hash_first(const struct index_hash *hash, uint64_t key_hash)
{
    return *bucket_of(hash, key_hash);
}

enum { NEIGHBOURS_BITS = 8, NEIGHBOURS_MASK = (1 << NEIGHBOURS_BITS) - 1 };

// Tasks come and go mostly in order of sequence: neighbours have neighbouring buckets, so that a
// backlog of millions does not cost a cache miss for each. Blocks of neighbours are spread, and
// inside a block the order is another in each: what remains of every 64th task is no worse off.
uint64_t
hash_sequence(uint64_t sequence)
{
    uint64_t hash = (sequence >> NEIGHBOURS_BITS) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
    return hash << NEIGHBOURS_BITS | ((sequence ^ hash >> 40) & NEIGHBOURS_MASK);
}
