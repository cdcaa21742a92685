// heap.h: intrusive binary min-heap over int64_t keys, first in first out among equal keys.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t order;    // set by the heap
    size_t slot_index; // 1-based; 0: in no heap
};
struct heap {
    struct heap_node **slots;
    size_t len;
    size_t capacity;
    uint64_t next_order;
};

void
heap_init(struct heap *heap);
void
heap_fini(struct heap *heap); // borrows its nodes: frees only the slots
void
heap_push(struct heap *heap, struct heap_node *node, int64_t key);
void
heap_remove(struct heap *heap, struct heap_node *node); // in no heap: nothing
// heap_update moves a node to a new key, pushing it if it is in no heap.
void
heap_update(struct heap *heap, struct heap_node *node, int64_t key);
struct heap_node *
heap_first(const struct heap *heap); // NULL when empty
