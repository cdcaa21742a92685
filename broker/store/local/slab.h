// slab.h: fixed-size items in segments, found by a 32-bit index; 0 is none. Growing never moves an
// item and never stalls.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SLAB_SEGMENT_ITEMS = 4096 };

struct slab {
    uint8_t **segments;
    uint32_t segments_count;
    uint32_t next_index; // never used so far
    uint32_t free_index; // first of the free ones, linked through their first 4 bytes
    uint32_t used_count;
    size_t item_size;
};

void
slab_init(struct slab *slab, size_t item_size);
void
slab_fini(struct slab *slab);
// slab_take returns the index of a zeroed item.
uint32_t
slab_take(struct slab *slab);
void
slab_give(struct slab *slab, uint32_t index);
static inline void *
slab_at(const struct slab *slab, uint32_t index)
{
    return slab->segments[index / SLAB_SEGMENT_ITEMS] +
           (index % SLAB_SEGMENT_ITEMS) * slab->item_size;
}

// A hash over slab items that carry their own chain link: linear hashing, 4 bytes a bucket.
struct index_hash {
    uint32_t **segments;
    uint32_t segments_count;
    uint32_t buckets_count;
    uint32_t level_buckets;
    uint32_t items_count;
};
// The caller's item gives its hash and its link.
struct index_hash_items {
    const struct slab *slab;
    size_t link_offset; // of a uint32_t in the item
    uint64_t (*hash)(const void *item);
};

void
index_hash_init(struct index_hash *hash);
void
index_hash_fini(struct index_hash *hash);
// index_hash_reserve makes an empty hash ready for so many items at once.
void
index_hash_reserve(struct index_hash *hash, uint64_t items_count);
// index_hash_prefetch asks the processor for the bucket of a hash, index_hash_prefetch_item, some
// time later, for its first item: a table of millions is in no cache.
void
index_hash_prefetch(const struct index_hash *hash, uint64_t key_hash);
void
index_hash_prefetch_item(const struct index_hash *hash, const struct index_hash_items *items,
                         uint64_t key_hash);
void
index_hash_put(struct index_hash *hash, const struct index_hash_items *items, uint32_t index);
void
index_hash_remove(struct index_hash *hash, const struct index_hash_items *items, uint32_t index);
// hash_sequence is a hash of numbers that come and go mostly in order.
uint64_t
hash_sequence(uint64_t sequence);
// First index of the bucket of this hash; follow the items' links and compare.
uint32_t
index_hash_first(const struct index_hash *hash, uint64_t key_hash);
