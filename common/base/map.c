// Linear hashing: buckets in segments; each insertion over the load splits one bucket, so growth
// never stalls.
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/memory.h"

enum { SEGMENT_BUCKETS = 512, BUCKETS_MIN = 8 };

struct entry {
    struct entry *next;
    uint64_t hash;
    void *value;
    size_t key_len;
    uint8_t key[];
};
struct map {
    struct entry ***segments;
    size_t segments_count;
    size_t buckets_count;
    size_t level_buckets; // a power of two, at most buckets_count
    size_t len;
};

// Seeded once per process, before main: peers cannot choose colliding keys.
static uint64_t seed;

__attribute__((constructor)) static void
draw_seed(void)
{
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        seed = 0x9e3779b97f4a7c15;
    }
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
hash_bytes(const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t hash = seed ^ len * 0xa0761d6478bd642f;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = mix(hash ^ word, 0xe7037ed1a0b428db);
        at += 8;
        len -= 8;
    }
    uint64_t tail = 0;
    if (len > 0) {
        memcpy(&tail, at, len);
    }
    return mix(hash ^ tail, 0x8ebc6af09c88c6e3 ^ seed);
}

static struct entry **
bucket(const struct map *map, size_t bucket_index)
{
    return &map->segments[bucket_index / SEGMENT_BUCKETS][bucket_index % SEGMENT_BUCKETS];
}

static struct entry **
bucket_of(const struct map *map, uint64_t hash)
{
    size_t bucket_index = hash & (map->level_buckets * 2 - 1);
    if (bucket_index >= map->buckets_count) {
        bucket_index = hash & (map->level_buckets - 1);
    }
    return bucket(map, bucket_index);
}

static void
add_segment_for(struct map *map, size_t buckets_count)
{
    size_t needed = (buckets_count + SEGMENT_BUCKETS - 1) / SEGMENT_BUCKETS;
    while (map->segments_count < needed) {
        // The directory doubles rarely: 8 bytes for 512 buckets.
        if ((map->segments_count & (map->segments_count - 1)) == 0) {
            size_t capacity = map->segments_count > 0 ? map->segments_count * 2 : 1;
            map->segments = xrealloc(map->segments, capacity * sizeof *map->segments);
        }
        map->segments[map->segments_count++] = xcalloc(SEGMENT_BUCKETS, sizeof(struct entry *));
    }
}

struct map *
map_new(void)
{
    struct map *map = xcalloc(1, sizeof *map);
    map->buckets_count = BUCKETS_MIN;
    map->level_buckets = BUCKETS_MIN;
    add_segment_for(map, map->buckets_count);
    return map;
}

void
map_destroy(struct map **map_p)
{
    struct map *map = *map_p;
    if (map == NULL) {
        return;
    }
    for (size_t bucket_index = 0; bucket_index < map->buckets_count; bucket_index++) {
        struct entry *entry = *bucket(map, bucket_index);
        while (entry != NULL) {
            struct entry *next = entry->next;
            free(entry);
            entry = next;
        }
    }
    for (size_t segment_index = 0; segment_index < map->segments_count; segment_index++) {
        free(map->segments[segment_index]);
    }
    free(map->segments);
    free(map);
    *map_p = NULL;
}

static void
split_one(struct map *map)
{
    size_t from_index = map->buckets_count - map->level_buckets;
    add_segment_for(map, map->buckets_count + 1);
    struct entry **from = bucket(map, from_index);
    struct entry **to = bucket(map, map->buckets_count);
    map->buckets_count++;
    struct entry *entry = *from;
    *from = NULL;
    while (entry != NULL) {
        struct entry *next = entry->next;
        struct entry **target = (entry->hash & map->level_buckets) != 0 ? to : from;
        entry->next = *target;
        *target = entry;
        entry = next;
    }
    if (map->buckets_count == map->level_buckets * 2) {
        map->level_buckets *= 2;
    }
}

static struct entry **
find(const struct map *map, const void *key, size_t key_len, uint64_t hash)
{
    struct entry **link = bucket_of(map, hash);
    while (*link != NULL) {
        struct entry *entry = *link;
        if (entry->hash == hash && entry->key_len == key_len &&
            (key_len == 0 || memcmp(entry->key, key, key_len) == 0)) {
            break;
        }
        link = &entry->next;
    }
    return link;
}

void *
map_put(struct map *map, const void *key, size_t key_len, void *value)
{
    zkt_assert(value != NULL);
    uint64_t hash = hash_bytes(key, key_len);
    struct entry **link = find(map, key, key_len, hash);
    if (*link != NULL) {
        void *old = (*link)->value;
        (*link)->value = value;
        return old;
    }
    struct entry *entry = xmalloc(sizeof *entry + key_len);
    entry->next = NULL;
    entry->hash = hash;
    entry->value = value;
    entry->key_len = key_len;
    if (key_len > 0) {
        memcpy(entry->key, key, key_len);
    }
    *link = entry;
    map->len++;
    if (map->len > map->buckets_count) {
        split_one(map);
    }
    return NULL;
}

void *
map_get(const struct map *map, const void *key, size_t key_len)
{
    struct entry *entry = *find(map, key, key_len, hash_bytes(key, key_len));
    return entry != NULL ? entry->value : NULL;
}

void *
map_remove(struct map *map, const void *key, size_t key_len)
{
    struct entry **link = find(map, key, key_len, hash_bytes(key, key_len));
    struct entry *entry = *link;
    if (entry == NULL) {
        return NULL;
    }
    void *value = entry->value;
    *link = entry->next;
    free(entry);
    map->len--;
    return value;
}

size_t
map_len(const struct map *map)
{
    return map->len;
}

int
map_next(const struct map *map, struct map_cursor *cursor)
{
    struct entry *entry = cursor->next;
    while (entry == NULL) {
        if (cursor->bucket_index >= map->buckets_count) {
            return 0;
        }
        entry = *bucket(map, cursor->bucket_index++);
    }
    cursor->next = entry->next;
    cursor->key = entry->key;
    cursor->key_len = entry->key_len;
    cursor->value = entry->value;
    return 1;
}
