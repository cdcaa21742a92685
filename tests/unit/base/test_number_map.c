// The map of numbers against a plain list.
#include "unit/testing.h"

#include <stdbool.h>

#include "base/number_map.h"

enum { NUMBERS = 3000 };

static void
test_put_get_remove(void **state)
{
    (void)state;
    static char values[NUMBERS];
    struct number_map map;
    number_map_init(&map);
    assert_null(number_map_get(&map, 1));
    assert_null(number_map_remove(&map, 1));
    for (uint64_t i = 1; i < NUMBERS; i++) {
        number_map_put(&map, i * 7, &values[i]);
    }
    assert_int_equal(map.len, NUMBERS - 1);
    for (uint64_t i = 1; i < NUMBERS; i += 2) {
        assert_ptr_equal(number_map_remove(&map, i * 7), &values[i]);
        assert_null(number_map_get(&map, i * 7));
    }
    for (uint64_t i = 1; i < NUMBERS; i++) {
        assert_ptr_equal(number_map_get(&map, i * 7), i % 2 == 0 ? &values[i] : NULL);
        assert_null(number_map_get(&map, i * 7 + 1));
    }
    assert_int_equal(map.len, (NUMBERS - 1) / 2);
    number_map_fini(&map);
}

// Removing from the middle of a run must keep what lies behind findable, whatever the order.
static void
test_random_order(void **state)
{
    (void)state;
    static char values[256];
    struct number_map map;
    bool is_there[256] = {false};
    uint64_t chance = 1;
    number_map_init(&map);
    for (int step = 0; step < 100000; step++) {
        chance = chance * 6364136223846793005 + 1442695040888963407;
        size_t i = 1 + (chance >> 40) % 255;
        if (is_there[i]) {
            assert_ptr_equal(number_map_remove(&map, i), &values[i]);
        } else {
            number_map_put(&map, i, &values[i]);
        }
        is_there[i] = !is_there[i];
        size_t probe = 1 + (chance >> 50) % 255;
        assert_ptr_equal(number_map_get(&map, probe), is_there[probe] ? &values[probe] : NULL);
    }
    number_map_fini(&map);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_random_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
