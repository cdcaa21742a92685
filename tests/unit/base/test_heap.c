#include "unit/testing.h"

#include <stdlib.h>

#include "base/heap.h"

enum { NODES_COUNT = 500 };

static void
equal_keys_leave_in_the_order_they_came(void **state)
{
    (void)state;
    struct heap heap;
    struct heap_node nodes[100] = {0};
    heap_init(&heap);
    assert_null(heap_first(&heap));
    for (int node_index = 0; node_index < 100; node_index++) {
        heap_push(&heap, &nodes[node_index], node_index % 3);
    }
    for (int key = 0; key < 3; key++) {
        for (int node_index = key; node_index < 100; node_index += 3) {
            assert_ptr_equal(heap_first(&heap), &nodes[node_index]);
            heap_remove(&heap, &nodes[node_index]);
        }
    }
    assert_null(heap_first(&heap));
    heap_fini(&heap);
}

static const struct heap_node *
least(const struct heap_node *nodes)
{
    const struct heap_node *best = NULL;
    for (int node_index = 0; node_index < NODES_COUNT; node_index++) {
        const struct heap_node *node = &nodes[node_index];
        if (node->slot_index == 0) {
            continue;
        }
        if (best == NULL || node->key < best->key ||
            (node->key == best->key && node->order < best->order)) {
            best = node;
        }
    }
    return best;
}

static void
random_changes_match_a_plain_search(void **state)
{
    (void)state;
    struct heap heap;
    static struct heap_node nodes[NODES_COUNT];
    heap_init(&heap);
    srandom(7);
    for (int round = 0; round < 20000; round++) {
        struct heap_node *node = &nodes[random() % NODES_COUNT];
        if (random() % 3 == 0) {
            heap_remove(&heap, node);
            assert_int_equal(node->slot_index, 0);
        } else {
            heap_update(&heap, node, random() % 50 - 25);
        }
        if (round % 16 == 0) {
            assert_ptr_equal(heap_first(&heap), least(nodes));
        }
    }
    heap_fini(&heap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_keys_leave_in_the_order_they_came),
        cmocka_unit_test(random_changes_match_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
