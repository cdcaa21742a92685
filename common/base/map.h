// map.h: hash map from a byte string to a borrowed pointer. Grows by linear hashing, so that no
// insertion ever pays for a rehash of the whole table. Keys are copied.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct map;

struct map *
map_new(void);
void
map_destroy(struct map **map_p);
// map_put replaces; returns the value that was there before, or NULL. value must not be NULL.
void *
map_put(struct map *map, const void *key, size_t key_len, void *value);
void *
map_get(const struct map *map, const void *key, size_t key_len);
// map_remove returns the removed value, or NULL.
void *
map_remove(struct map *map, const void *key, size_t key_len);
size_t
map_len(const struct map *map);

// Walk: `struct map_cursor c = {0}; while (map_next(map, &c)) { … c.value … }`. Removing the item
// the cursor stands on is allowed; any other change ends the walk's promise to see each item once.
struct map_cursor {
    size_t bucket_index;
    void *next;
    const void *key;
    size_t key_len;
    void *value;
    int started;
};
int
map_next(const struct map *map, struct map_cursor *cursor);
// hash_bytes is the hash in use, for other tables (seeded per process; not for disk).
uint64_t
hash_bytes(const void *data, size_t len);
