// Tables: widths by characters, numbers to the right, nothing of a task reaches the terminal raw.
#include "unit/testing.h"

#include "table.h"

static void
columns_are_as_wide_as_needed(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{"name", false}, {"n", true}, {"rest", false}};
    struct table *table = table_new(columns, 3);
    struct bytes out = {0};
    table_cell(table, "karton.x");
    table_cell_int(table, 7);
    table_cell(table, "a b");
    table_cell(table, "ü");
    table_cell_int(table, 1234);
    table_cell(table, "");
    table_render(table, &out);
    assert_string_equal(bytes_text(&out), "name         n  rest\n"
                                          "karton.x     7  a b\n"
                                          "ü         1234\n");
    table_destroy(&table);
    assert_null(table);
    bytes_fini(&out);
}

static void
control_characters_are_shown(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{"x", false}};
    struct table *table = table_new(columns, 1);
    struct bytes out = {0};
    table_cell(table, "a\033[31mb\nc\xc2\x9b"
                      "d\x7f");
    table_render(table, &out);
    assert_string_equal(bytes_text(&out), "x\na\\x1b[31mb\\x0ac\\x9bd\\x7f\n");
    table_destroy(&table);
    bytes_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_needed),
        cmocka_unit_test(control_characters_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
