#include "core/table.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

enum { CAPACITY_MIN = 64 };

void
table_init(struct table *table)
{
    *table = (struct table){0};
}

void
table_fini(struct table *table)
{
    free(table->slots);
    table_init(table);
}

// Numbers are drawn by this broker one after the other: spreading them is enough, no peer chooses
// them.
static size_t
home_of(const struct table *table, uint64_t number)
{
    return (size_t)((number * 0x9e3779b97f4a7c15) >> 20) & (table->capacity - 1);
}

static struct table_slot *
find(const struct table *table, uint64_t number)
{
    size_t slot_index = home_of(table, number);
    while (table->slots[slot_index].number != 0 && table->slots[slot_index].number != number) {
        slot_index = (slot_index + 1) & (table->capacity - 1);
    }
    return &table->slots[slot_index];
}

static void
grow(struct table *table)
{
    struct table old = *table;
    table->capacity = old.capacity == 0 ? CAPACITY_MIN : old.capacity * 2;
    table->slots = xcalloc(table->capacity, sizeof *table->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].number != 0) {
            *find(table, old.slots[i].number) = old.slots[i];
        }
    }
    free(old.slots);
}

void
table_put(struct table *table, uint64_t number, void *value)
{
    zkt_assert(number != 0);
    zkt_assert(value != NULL);
    if ((table->len + 1) * 2 > table->capacity) {
        grow(table);
    }
    struct table_slot *slot = find(table, number);
    zkt_assert(slot->number == 0);
    *slot = (struct table_slot){.number = number, .value = value};
    table->len++;
}

void *
table_get(const struct table *table, uint64_t number)
{
    if (table->len == 0 || number == 0) {
        return NULL;
    }
    return find(table, number)->value;
}

// Whether the entry at slot_index may move back into the hole: its home does not lie behind the
// hole.
static bool
may_move(const struct table *table, size_t hole_index, size_t slot_index)
{
    size_t mask = table->capacity - 1;
    size_t home = home_of(table, table->slots[slot_index].number);
    return ((slot_index - home) & mask) >= ((slot_index - hole_index) & mask);
}

void *
table_remove(struct table *table, uint64_t number)
{
    if (table->len == 0 || number == 0) {
        return NULL;
    }
    struct table_slot *slot = find(table, number);
    if (slot->number == 0) {
        return NULL;
    }
    void *value = slot->value;
    size_t hole_index = (size_t)(slot - table->slots);
    size_t slot_index = hole_index;
    for (;;) {
        slot_index = (slot_index + 1) & (table->capacity - 1);
        if (table->slots[slot_index].number == 0) {
            break;
        }
        if (may_move(table, hole_index, slot_index)) {
            table->slots[hole_index] = table->slots[slot_index];
            hole_index = slot_index;
        }
    }
    table->slots[hole_index] = (struct table_slot){0};
    table->len--;
    return value;
}
