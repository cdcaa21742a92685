// number_map.h: from a number (never 0) to a borrowed pointer: deliveries, sessions, consumers.
// Open addressing; for thousands of entries, not for millions (growing copies the table). Never
// walked: the order would differ from run to run.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct number_map_slot {
    uint64_t number; // 0: empty
    void *value;
};
struct number_map {
    struct number_map_slot *slots;
    size_t capacity; // a power of two, or 0
    size_t len;
};

void
number_map_init(struct number_map *map);
void
number_map_fini(struct number_map *map);
// number_map_put adds a number that is not there yet.
void
number_map_put(struct number_map *map, uint64_t number, void *value);
void *
number_map_get(const struct number_map *map, uint64_t number); // NULL: not there
// number_map_remove answers what was there, or NULL.
void *
number_map_remove(struct number_map *map, uint64_t number);
