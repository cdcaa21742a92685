#include "base/number_map.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

enum { CAPACITY_MIN = 64 };

void
number_map_init(struct number_map *map)
{
    *map = (struct number_map){0};
}

void
number_map_fini(struct number_map *map)
{
    free(map->slots);
    number_map_init(map);
}

// Numbers are drawn by this broker one after the other: spreading them is enough, no peer chooses
// them.
static size_t
home_of(const struct number_map *map, uint64_t number)
{
    return (size_t)((number * 0x9e3779b97f4a7c15) >> 20) & (map->capacity - 1);
}

static struct number_map_slot *
find(const struct number_map *map, uint64_t number)
{
    size_t slot_index = home_of(map, number);
    while (map->slots[slot_index].number != 0 && map->slots[slot_index].number != number) {
        slot_index = (slot_index + 1) & (map->capacity - 1);
    }
    return &map->slots[slot_index];
}

static void
grow(struct number_map *map)
{
    struct number_map old = *map;
    map->capacity = old.capacity == 0 ? CAPACITY_MIN : old.capacity * 2;
    map->slots = xcalloc(map->capacity, sizeof *map->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].number != 0) {
            *find(map, old.slots[i].number) = old.slots[i];
        }
    }
    free(old.slots);
}

void
number_map_put(struct number_map *map, uint64_t number, void *value)
{
    zkt_assert(number != 0);
    zkt_assert(value != NULL);
    if ((map->len + 1) * 2 > map->capacity) {
        grow(map);
    }
    struct number_map_slot *slot = find(map, number);
    zkt_assert(slot->number == 0);
    *slot = (struct number_map_slot){.number = number, .value = value};
    map->len++;
}

void *
number_map_get(const struct number_map *map, uint64_t number)
{
    if (map->len == 0 || number == 0) {
        return NULL;
    }
    return find(map, number)->value;
}

// Whether the entry at slot_index may move back into the hole: its home does not lie behind the
// hole.
static bool
may_move(const struct number_map *map, size_t hole_index, size_t slot_index)
{
    size_t mask = map->capacity - 1;
    size_t home = home_of(map, map->slots[slot_index].number);
    return ((slot_index - home) & mask) >= ((slot_index - hole_index) & mask);
}

void *
number_map_remove(struct number_map *map, uint64_t number)
{
    if (map->len == 0 || number == 0) {
        return NULL;
    }
    struct number_map_slot *slot = find(map, number);
    if (slot->number == 0) {
        return NULL;
    }
    void *value = slot->value;
    size_t hole_index = (size_t)(slot - map->slots);
    size_t slot_index = hole_index;
    for (;;) {
        slot_index = (slot_index + 1) & (map->capacity - 1);
        if (map->slots[slot_index].number == 0) {
            break;
        }
        if (may_move(map, hole_index, slot_index)) {
            map->slots[hole_index] = map->slots[slot_index];
            hole_index = slot_index;
        }
    }
    map->slots[hole_index] = (struct number_map_slot){0};
    map->len--;
    return value;
}
