#include "unit/testing.h"

#include "cli.h"
#include "output.h"

static void
sizes_and_times_are_short(void **state)
{
    (void)state;
    char text[FORMAT_TEXT_SIZE];
    assert_string_equal(format_size(0, text), "0 B");
    assert_string_equal(format_size(1023, text), "1023 B");
    assert_string_equal(format_size(1434, text), "1.4 KiB");
    assert_string_equal(format_size(1 << 30, text), "1.0 GiB");
    assert_string_equal(format_ms(38, text), "38 ms");
    assert_string_equal(format_ms(2149, text), "2.1 s");
    assert_string_equal(format_ms(61000, text), "1 m 1 s");
    assert_string_equal(format_ms(11520000, text), "3 h 12 m");
    assert_string_equal(format_ms(90000000, text), "1 d 1 h");
}

static void
json_is_indented(void **state)
{
    (void)state;
    struct bytes out = {0};
    json_indent(&out, "{\"a\": [1, {}], \"b\\\"{\": [], \"c\": {\"d\": \", :\"}}");
    assert_string_equal(bytes_text(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\\\"{\": [],\n"
                                          "  \"c\": {\n    \"d\": \", :\"\n  }\n}");
    bytes_fini(&out);
}

static void
any_bytes_become_utf8(void **state)
{
    (void)state;
    struct bytes out = {0};
    text_make_utf8(&out, "a\0\xff\xc3\xbc\xc3", 6);
    assert_string_equal(bytes_text(&out), "a\\x00\\xffü\\xc3");
    bytes_clear(&out);
    text_make_utf8(&out, "\xed\xb3\xbf", 3); // Python's way to carry the byte ff
    output_text(&out, "\xed\xb2\x80\x1b");
    assert_string_equal(bytes_text(&out), "\\xff\\x80\\x1b");
    bytes_fini(&out);
}

static void
exit_codes_follow_the_error(void **state)
{
    (void)state;
    assert_int_equal(cli_exit_code(ZKT_OK), 0);
    assert_int_equal(cli_exit_code(ZKT_FAILED), 1);
    assert_int_equal(cli_exit_code(ZKT_FILTER_INVALID), 2);
    assert_int_equal(cli_exit_code(ZKT_CONFIG_INVALID), 2);
    assert_int_equal(cli_exit_code(ZKT_UNREACHABLE), 3);
    assert_int_equal(cli_exit_code(ZKT_DENIED), 4);
    assert_int_equal(cli_exit_code(ZKT_NOT_FOUND), 5);
    assert_int_equal(cli_exit_code(ZKT_IN_USE), 6);
    assert_int_equal(cli_exit_code(ZKT_BUSY), 6);
    assert_int_equal(cli_exit_code(ZKT_TIMEOUT), 124);
    assert_int_equal(cli_exit_code(ZKT_CANCELLED), 130);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_times_are_short),
        cmocka_unit_test(json_is_indented),
        cmocka_unit_test(any_bytes_become_utf8),
        cmocka_unit_test(exit_codes_follow_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
