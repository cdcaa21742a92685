#include "base/heap.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

void
heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void
heap_fini(struct heap *heap)
{
    free(heap->slots);
    heap_init(heap);
}

static bool
is_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void
place(struct heap *heap, struct heap_node *node, size_t slot_index)
{
    heap->slots[slot_index - 1] = node;
    node->slot_index = slot_index;
}

static void
sift_up(struct heap *heap, struct heap_node *node)
{
    size_t slot_index = node->slot_index;
    while (slot_index > 1 && is_before(node, heap->slots[slot_index / 2 - 1])) {
        place(heap, heap->slots[slot_index / 2 - 1], slot_index);
        slot_index /= 2;
    }
    place(heap, node, slot_index);
}

static void
sift_down(struct heap *heap, struct heap_node *node)
{
    size_t slot_index = node->slot_index;
    for (;;) {
        size_t child_index = slot_index * 2;
        if (child_index > heap->len) {
            break;
        }
        if (child_index < heap->len &&
            is_before(heap->slots[child_index], heap->slots[child_index - 1])) {
            child_index++;
        }
        if (!is_before(heap->slots[child_index - 1], node)) {
            break;
        }
        place(heap, heap->slots[child_index - 1], slot_index);
        slot_index = child_index;
    }
    place(heap, node, slot_index);
}

void
heap_push(struct heap *heap, struct heap_node *node, int64_t key)
{
    zkt_assert(node->slot_index == 0);
    if (heap->len == heap->capacity) {
        heap->capacity = heap->capacity * 2 + 16;
        heap->slots = xrealloc(heap->slots, heap->capacity * sizeof(struct heap_node *));
    }
    node->key = key;
    node->order = heap->next_order++;
    heap->len++;
    place(heap, node, heap->len);
    sift_up(heap, node);
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->slot_index == 0) {
        return;
    }
    struct heap_node *last = heap->slots[heap->len - 1];
    size_t slot_index = node->slot_index;
    zkt_assert(heap->slots[slot_index - 1] == node);
    heap->len--;
    node->slot_index = 0;
    if (last != node) {
        place(heap, last, slot_index);
        sift_up(heap, last);
        sift_down(heap, last);
    }
}

void
heap_update(struct heap *heap, struct heap_node *node, int64_t key)
{
    heap_remove(heap, node);
    heap_push(heap, node, key);
}

struct heap_node *
heap_first(const struct heap *heap)
{
    return heap->len > 0 ? heap->slots[0] : NULL;
}
