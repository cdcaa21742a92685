#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { KEYS_COUNT = 20000 };

static void
every_key_is_found_while_it_grows(void **state)
{
    (void)state;
    static int numbers[KEYS_COUNT];
    struct map *map = map_new();
    for (int number = 0; number < KEYS_COUNT; number++) {
        numbers[number] = number;
        assert_null(map_put(map, &number, sizeof number, &numbers[number]));
        int earlier = number / 2;
        assert_ptr_equal(map_get(map, &earlier, sizeof earlier), &numbers[earlier]);
    }
    assert_int_equal(map_len(map), KEYS_COUNT);
    for (int number = 0; number < KEYS_COUNT; number += 2) {
        assert_ptr_equal(map_remove(map, &number, sizeof number), &numbers[number]);
        assert_null(map_remove(map, &number, sizeof number));
    }
    for (int number = 0; number < KEYS_COUNT; number++) {
        void *expected = number % 2 == 1 ? &numbers[number] : NULL;
        assert_ptr_equal(map_get(map, &number, sizeof number), expected);
    }
    assert_int_equal(map_len(map), KEYS_COUNT / 2);
    map_destroy(&map);
    assert_null(map);
    map_destroy(&map);
}

static void
replacing_returns_the_old_value(void **state)
{
    (void)state;
    int a;
    int b;
    struct map *map = map_new();
    assert_null(map_put(map, "key", 3, &a));
    assert_ptr_equal(map_put(map, "key", 3, &b), &a);
    assert_ptr_equal(map_get(map, "key", 3), &b);
    assert_null(map_get(map, "ke", 2));
    assert_null(map_get(map, "", 0));
    assert_null(map_put(map, "", 0, &a));
    assert_ptr_equal(map_get(map, NULL, 0), &a);
    assert_int_equal(map_len(map), 2);
    map_destroy(&map);
}

static void
a_walk_sees_each_once_and_may_remove(void **state)
{
    (void)state;
    static int seen[KEYS_COUNT];
    static int marks[KEYS_COUNT];
    struct map *map = map_new();
    for (int number = 0; number < KEYS_COUNT; number++) {
        map_put(map, &number, sizeof number, &marks[number]);
    }
    struct map_cursor cursor = {0};
    while (map_next(map, &cursor)) {
        int number;
        assert_int_equal(cursor.key_len, sizeof number);
        memcpy(&number, cursor.key, sizeof number);
        assert_ptr_equal(cursor.value, &marks[number]);
        seen[number]++;
        if (number % 3 == 0) {
            map_remove(map, &number, sizeof number);
        }
    }
    for (int number = 0; number < KEYS_COUNT; number++) {
        assert_int_equal(seen[number], 1);
    }
    assert_int_equal(map_len(map), KEYS_COUNT - (KEYS_COUNT + 2) / 3);
    map_destroy(&map);
}

static void
hashes_of_near_keys_differ(void **state)
{
    (void)state;
    // The lowest 12 bits choose among few buckets: no bucket gets a crowd.
    static int counts[4096];
    for (uint64_t number = 0; number < 65536; number++) {
        counts[hash_bytes(&number, sizeof number) & 4095]++;
    }
    for (int bucket = 0; bucket < 4096; bucket++) {
        assert_in_range(counts[bucket], 0, 64);
    }
    assert_true(hash_bytes("a", 1) != hash_bytes("a\0", 2));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_found_while_it_grows),
        cmocka_unit_test(replacing_returns_the_old_value),
        cmocka_unit_test(a_walk_sees_each_once_and_may_remove),
        cmocka_unit_test(hashes_of_near_keys_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
