// Slabs and the hash over them: what the index of millions of tasks stands on.
#include "unit/testing.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_is_found_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
