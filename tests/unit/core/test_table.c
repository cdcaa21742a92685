// The table of numbers against a plain list.
#include "unit/testing.h"

#include <stdbool.h>

#include "core/table.h"

enum { NUMBERS = 3000 };

static void
test_put_get_remove(void **state)
{
    (void)state;
    static char values[NUMBERS];
    struct table table;
    table_init(&table);
    assert_null(table_get(&table, 1));
    assert_null(table_remove(&table, 1));
    for (uint64_t i = 1; i < NUMBERS; i++) {
        table_put(&table, i * 7, &values[i]);
    }
    assert_int_equal(table.len, NUMBERS - 1);
    for (uint64_t i = 1; i < NUMBERS; i += 2) {
        assert_ptr_equal(table_remove(&table, i * 7), &values[i]);
        assert_null(table_get(&table, i * 7));
    }
    for (uint64_t i = 1; i < NUMBERS; i++) {
        assert_ptr_equal(table_get(&table, i * 7), i % 2 == 0 ? &values[i] : NULL);
        assert_null(table_get(&table, i * 7 + 1));
    }
    assert_int_equal(table.len, (NUMBERS - 1) / 2);
    table_fini(&table);
}

// Removing from the middle of a run must keep what lies behind findable, whatever the order.
static void
test_random_order(void **state)
{
    (void)state;
    static char values[256];
    struct table table;
    bool is_there[256] = {false};
    uint64_t chance = 1;
    table_init(&table);
    for (int step = 0; step < 100000; step++) {
        chance = chance * 6364136223846793005 + 1442695040888963407;
        size_t i = 1 + (chance >> 40) % 255;
        if (is_there[i]) {
            assert_ptr_equal(table_remove(&table, i), &values[i]);
        } else {
            table_put(&table, i, &values[i]);
        }
        is_there[i] = !is_there[i];
        size_t probe = 1 + (chance >> 50) % 255;
        assert_ptr_equal(table_get(&table, probe), is_there[probe] ? &values[probe] : NULL);
    }
    table_fini(&table);
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
