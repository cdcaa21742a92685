// table.h: a table from a number (never 0) to a borrowed pointer: deliveries, sessions, consumers.
// Open addressing; for thousands of entries, not for millions (growing copies the table). Never
// walked: the order would differ from run to run.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t number; // 0: empty
    void *value;
};
struct table {
    struct table_slot *slots;
    size_t capacity; // a power of two, or 0
    size_t len;
};

void
table_init(struct table *table);
void
table_fini(struct table *table);
// table_put adds a number that is not there yet.
void
table_put(struct table *table, uint64_t number, void *value);
void *
table_get(const struct table *table, uint64_t number); // NULL: not there
// table_remove answers what was there, or NULL.
void *
table_remove(struct table *table, uint64_t number);
