// Slabs and the hash over them: what the index of millions of tasks stands on.
#include "unit/testing.h"

#include <stdbool.h>

#include "store/local/slab.h"

struct item {
    uint64_t number;
    uint32_t link;
};

static uint64_t
hash_item(const void *item)
{
    return ((const struct item *)item)->number * 0x9e3779b97f4a7c15 >> 7;
}

static uint32_t
find(const struct slab *slab, const struct index_hash *hash, uint64_t number)
{
    struct item wanted = {.number = number};
    uint32_t index = index_hash_first(hash, hash_item(&wanted));
    while (index != 0 && ((struct item *)slab_at(slab, index))->number != number) {
        index = ((struct item *)slab_at(slab, index))->link;
    }
    return index;
}

static void
every_item_is_found_again(void **state)
{
    enum { ITEMS_COUNT = 50000 };
    struct slab slab;
    struct index_hash hash;
    (void)state;
    slab_init(&slab, sizeof(struct item));
    index_hash_init(&hash);
    struct index_hash_items items = {
        .slab = &slab, .link_offset = offsetof(struct item, link), .hash = hash_item};
    for (uint64_t number = 1; number <= ITEMS_COUNT; number++) {
        uint32_t index = slab_take(&slab);
        assert_int_not_equal(index, 0);
        ((struct item *)slab_at(&slab, index))->number = number;
        index_hash_put(&hash, &items, index);
    }
    for (uint64_t number = 1; number <= ITEMS_COUNT; number += 2) {
        uint32_t index = find(&slab, &hash, number);
        assert_int_not_equal(index, 0);
        index_hash_remove(&hash, &items, index);
        slab_give(&slab, index);
    }
    for (uint64_t number = 1; number <= ITEMS_COUNT; number++) {
        assert_int_equal(find(&slab, &hash, number) != 0, number % 2 == 0);
    }
    assert_int_equal(slab.used_count, ITEMS_COUNT / 2);
    uint32_t end = slab.next_index;
    for (int count = 0; count < ITEMS_COUNT / 2; count++) {
        slab_take(&slab); // what was given back is used first
    }
    assert_int_equal(slab.next_index, end);
    index_hash_fini(&hash);
    slab_fini(&slab);
}

static uint64_t
hash_in_order(const void *item)
{
    return hash_sequence(((const struct item *)item)->number);
}

// The longest chain of a hash over count numbers, each stride from the last.
static int
longest_chain(uint64_t stride, int count)
{
    struct slab slab;
    struct index_hash hash;
    slab_init(&slab, sizeof(struct item));
    index_hash_init(&hash);
    struct index_hash_items items = {
        .slab = &slab, .link_offset = offsetof(struct item, link), .hash = hash_in_order};
    for (int at = 1; at <= count; at++) {
        uint32_t index = slab_take(&slab);
        ((struct item *)slab_at(&slab, index))->number = (uint64_t)at * stride;
        index_hash_put(&hash, &items, index);
    }
    int longest = 0;
    for (int at = 1; at <= count; at++) {
        int len = 0;
        uint32_t index = index_hash_first(&hash, hash_sequence((uint64_t)at * stride));
        for (; index != 0; index = ((struct item *)slab_at(&slab, index))->link) {
            len++;
        }
        longest = len > longest ? len : longest;
    }
    index_hash_fini(&hash);
    slab_fini(&slab);
    return longest;
}

// What remains of a backlog is often every n-th task.
static void
no_stride_of_sequences_makes_long_chains(void **state)
{
    (void)state;
    for (uint64_t stride = 1; stride <= (uint64_t)1 << 24; stride *= 2) {
        assert_true(longest_chain(stride, 20000) <= 16);
        assert_true(longest_chain(stride * 3, 20000) <= 16);
    }
}

static void
a_reserved_hash_finds_and_grows_like_another(void **state)
{
    struct slab slab;
    struct index_hash hash;
    (void)state;
    for (uint64_t reserved = 1; reserved < 40000; reserved = reserved * 3 + 1) {
        slab_init(&slab, sizeof(struct item));
        index_hash_init(&hash);
        index_hash_reserve(&hash, reserved);
        struct index_hash_items items = {
            .slab = &slab, .link_offset = offsetof(struct item, link), .hash = hash_item};
        for (uint64_t number = 1; number <= 2 * reserved + 20; number++) {
            uint32_t index = slab_take(&slab);
            ((struct item *)slab_at(&slab, index))->number = number;
            index_hash_put(&hash, &items, index);
        }
        for (uint64_t number = 0; number <= 2 * reserved + 21; number++) {
            bool is_there = number > 0 && number <= 2 * reserved + 20;
            assert_int_equal(find(&slab, &hash, number) != 0, is_there);
        }
        index_hash_fini(&hash);
        slab_fini(&slab);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_found_again),
        cmocka_unit_test(no_stride_of_sequences_makes_long_chains),
        cmocka_unit_test(a_reserved_hash_finds_and_grows_like_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
