#include "unit/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "model/bind.h"
#include "model/value.h"

static int
enter(void **state)
{
    struct arena *arena = calloc(1, sizeof *arena);
    *state = arena;
    return 0;
}

static int
leave(void **state)
{
    arena_fini(*state);
    free(*state);
    return 0;
}

static struct value
big(struct arena *arena, const char *text)
{
    struct value value;
    assert_true(value_bigint(arena, text, strlen(text), &value));
    return value;
}

static void
integers_are_normalised(void **state)
{
    struct arena *arena = *state; // T3
    assert_int_equal(big(arena, "9223372036854775807").type, VALUE_INT);
    assert_true(big(arena, "-9223372036854775808").integer == INT64_MIN);
    struct value above = big(arena, "9223372036854775808");
    assert_int_equal(above.type, VALUE_BIGINT);
    assert_string_equal(above.text, "9223372036854775808");
    assert_string_equal(big(arena, "-9223372036854775809").text, "-9223372036854775809");
    assert_string_equal(big(arena, "-00018446744073709551616").text, "-18446744073709551616");
    assert_true(big(arena, "-0").integer == 0);
    assert_true(big(arena, "0000000000000000000000000000007").integer == 7);
    assert_int_equal(value_uint(arena, UINT64_MAX).type, VALUE_BIGINT);
    assert_string_equal(value_uint(arena, UINT64_MAX).text, "18446744073709551615");
    assert_int_equal(value_uint(arena, INT64_MAX).type, VALUE_INT);
    struct value value;
    const char *const wrong[] = {"", "-", "1a", "+1", " 1", "1.0", "--1"};
    for (size_t wrong_index = 0; wrong_index < sizeof wrong / sizeof *wrong; wrong_index++) {
        assert_false(value_bigint(arena, wrong[wrong_index], strlen(wrong[wrong_index]), &value));
    }
    static char digits[LIMIT_BIGINT_DIGITS + 1];
    memset(digits, '9', sizeof digits);
    assert_true(value_bigint(arena, digits, LIMIT_BIGINT_DIGITS, &value));
    assert_false(value_bigint(arena, digits, LIMIT_BIGINT_DIGITS + 1, &value));
}

static void
equality_is_pythons(void **state)
{
    struct arena *arena = *state;
    struct value one = value_int(1);
    struct value one_point = value_double(1.0);
    struct value yes = value_bool(true);
    struct value text = value_text(arena, "1");
    struct value nan = value_double((double)NAN);
    assert_true(value_equal(&one, &one_point));
    assert_true(value_equal(&one, &yes));
    assert_true(value_equal(&yes, &one_point));
    assert_false(value_equal(&one, &text));
    assert_false(value_equal(&nan, &nan));
    assert_true(value_same(&nan, &nan));
    assert_false(value_same(&one, &one_point));

    struct value plus = value_double(0.0);
    struct value minus = value_double(-0.0);
    assert_true(value_equal(&plus, &minus));
    assert_false(value_same(&plus, &minus));

    struct value left = value_list();
    struct value right = value_list();
    value_append(arena, &left, nan);
    value_append(arena, &right, nan);
    assert_true(value_equal(&left, &right));
    value_append(arena, &right, one);
    assert_false(value_equal(&left, &right));
    value_append(arena, &left, yes);
    assert_true(value_equal(&left, &right));
    assert_false(value_same(&left, &right));
}

static void
integers_and_doubles_compare_exactly(void **state)
{
    struct arena *arena = *state;
    struct value near = value_int(9007199254740993);
    struct value rounded = value_double(9007199254740992.0);
    assert_false(value_equal(&near, &rounded));
    struct value power = big(arena, "18446744073709551616");
    struct value double_power = value_double(0x1p64);
    assert_true(value_equal(&power, &double_power));
    assert_true(value_equal(&double_power, &power));
    struct value next = big(arena, "18446744073709551617");
    assert_false(value_equal(&next, &double_power));
    struct value negative = big(arena, "-18446744073709551616");
    assert_false(value_equal(&negative, &double_power));
    struct value largest = value_double(1.7976931348623157e308);
    assert_false(value_equal(&power, &largest));
    struct value infinity = value_double((double)INFINITY);
    assert_false(value_equal(&power, &infinity));
    struct value least = value_int(INT64_MIN);
    struct value double_least = value_double(-0x1p63);
    assert_true(value_equal(&least, &double_least));
    struct value beyond = value_double(0x1p63);
    struct value most = value_int(INT64_MAX);
    assert_false(value_equal(&most, &beyond));
    struct value half = value_double(0.5);
    struct value zero = value_int(0);
    assert_false(value_equal(&zero, &half));
}

static void
maps_keep_order_and_unique_keys(void **state)
{
    struct arena *arena = *state;
    struct value map = value_map();
    for (int round = 0; round < 3; round++) {
        for (int number = 0; number < 100; number++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", number);
            value_put(arena, &map, key, value_int(round * 1000 + number));
        }
    }
    assert_int_equal(map.len, 100);
    for (uint32_t number = 0; number < 100; number++) {
        assert_int_equal(map.members[number].value.integer, 2000 + number);
    }
    assert_true(value_remove(&map, "k50"));
    assert_false(value_remove(&map, "k50"));
    assert_null(value_get(&map, "k50"));
    assert_string_equal(map.members[50].key.text, "k51");
    struct value number = value_int(5);
    assert_null(value_get(&number, "k"));
    assert_null(value_get(NULL, "k"));
}

static void
removal_and_growth_take_turns(void **state)
{
    struct arena *arena = *state;
    struct value map = value_map();
    uint32_t expected_len = 0;
    srandom(3);
    bool there[40] = {false};
    for (int round = 0; round < 5000; round++) {
        size_t number = (size_t)random() % 40;
        char key[16];
        snprintf(key, sizeof key, "%zu", number);
        if (random() % 2 == 0) {
            value_put(arena, &map, key, value_int((int64_t)number));
            expected_len += !there[number];
            there[number] = true;
        } else {
            assert_int_equal(value_remove(&map, key), there[number]);
            expected_len -= there[number];
            there[number] = false;
        }
        assert_int_equal(map.len, expected_len);
    }
    for (size_t number = 0; number < 40; number++) {
        char key[16];
        snprintf(key, sizeof key, "%zu", number);
        const struct value *found = value_get(&map, key);
        assert_int_equal(found != NULL, there[number]);
        assert_true(found == NULL || found->integer == (int64_t)number);
    }
}

static struct value
numbered_map(struct arena *arena, int count, bool is_reversed)
{
    struct value map = value_map();
    for (int number = 0; number < count; number++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", is_reversed ? count - 1 - number : number);
        value_put(arena, &map, key, value_text(arena, key));
    }
    return map;
}

static void
maps_are_equal_in_any_order(void **state)
{
    struct arena *arena = *state;
    const int counts[] = {0, 1, 5, 32, 33, 500};
    for (size_t count_index = 0; count_index < sizeof counts / sizeof *counts; count_index++) {
        struct value map = numbered_map(arena, counts[count_index], false);
        struct value other = numbered_map(arena, counts[count_index], true);
        assert_true(value_equal(&map, &other));
        assert_int_equal(value_same(&map, &other), counts[count_index] < 2);
        value_put(arena, &other, "new", value_null());
        assert_false(value_equal(&map, &other));
        value_put(arena, &map, "old", value_null());
        assert_false(value_equal(&map, &other));
        value_remove(&map, "old");
        value_put(arena, &map, "new", value_int(0));
        assert_false(value_equal(&map, &other));
    }
}

static void
paths_walk_maps_and_lists(void **state)
{
    struct arena *arena = *state; // A5
    struct value map = value_map();
    struct value list = value_list();
    struct value inner = value_map();
    value_put(arena, &inner, "name", value_text(arena, "x"));
    value_append(arena, &list, value_int(1));
    value_append(arena, &list, inner);
    value_put(arena, &map, "list", list);
    assert_true(value_is_text(value_path(&map, "list.1.name"), "x"));
    assert_int_equal(value_path(&map, "list.0")->integer, 1);
    const char *const absent[] = {"list.2", "list.-1",       "list.", "list.name",
                                  "other",  "list.1.name.x", "",      "list.99999999999"};
    for (size_t path_index = 0; path_index < sizeof absent / sizeof *absent; path_index++) {
        assert_null(value_path(&map, absent[path_index]));
    }
}

static void
copies_stand_alone(void **state)
{
    struct arena *arena = *state;
    struct arena other;
    arena_init(&other);
    struct value map = numbered_map(&other, 10, false);
    struct value list = value_list();
    value_append(&other, &list, map);
    value_append(&other, &list, value_double((double)NAN));
    value_append(&other, &list, big(&other, "99999999999999999999"));
    value_append(&other, &list, value_resource(3));
    value_append(&other, &list, value_string(&other, "a\0b", 3));
    struct value copy = value_copy(arena, &list);
    assert_true(value_same(&copy, &list));
    arena_fini(&other);
    value_append(arena, &copy, value_null());
    value_put(arena, &copy.items[0], "k10", value_null());
    assert_int_equal(copy.len, 6);
    assert_int_equal(copy.items[0].len, 11);
    assert_memory_equal(copy.items[4].text, "a\0b", 4);
    assert_string_equal(copy.items[2].text, "99999999999999999999");
}

static void
a_bind_is_replaced_by_what_differs(void **state)
{
    struct arena *arena = *state; // T7
    struct value filters = value_list();
    value_append(arena, &filters, numbered_map(arena, 2, false));
    struct bind old_bind = {.identity = span_of_text("a"), .filters = filters, .persistent = true};
    struct bind new_bind = bind_copy(arena, &old_bind);
    assert_false(bind_replaces(&old_bind, &new_bind));
    new_bind.info = value_text(arena, "other words");
    new_bind.version = value_text(arena, "9");
    assert_false(bind_replaces(&old_bind, &new_bind));
    new_bind.service_version = value_text(arena, "1");
    assert_true(bind_replaces(&old_bind, &new_bind));
    assert_false(bind_replaces(&new_bind, &old_bind)); // a version that is not given says nothing
    new_bind = bind_copy(arena, &old_bind);
    new_bind.persistent = false;
    assert_true(bind_replaces(&old_bind, &new_bind));
    new_bind = bind_copy(arena, &old_bind);
    value_append(arena, &new_bind.filters, value_map());
    assert_true(bind_replaces(&old_bind, &new_bind));
}

int
main(void)
{
#define IN_AN_ARENA(test) cmocka_unit_test_setup_teardown(test, enter, leave)
    const struct CMUnitTest tests[] = {
        IN_AN_ARENA(integers_are_normalised),
        IN_AN_ARENA(equality_is_pythons),
        IN_AN_ARENA(integers_and_doubles_compare_exactly),
        IN_AN_ARENA(maps_keep_order_and_unique_keys),
        IN_AN_ARENA(removal_and_growth_take_turns),
        IN_AN_ARENA(maps_are_equal_in_any_order),
        IN_AN_ARENA(paths_walk_maps_and_lists),
        IN_AN_ARENA(copies_stand_alone),
        IN_AN_ARENA(a_bind_is_replaced_by_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
