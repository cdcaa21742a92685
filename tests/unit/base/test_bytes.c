#include "unit/testing.h"

#include <string.h>

#include "base/bytes.h"

static void
appends_grow(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    for (int round = 0; round < 1000; round++) {
        bytes_append_text(&bytes, "ab");
        bytes_append_byte(&bytes, 'c');
        bytes_append(&bytes, NULL, 0);
        bytes_printf(&bytes, "%d", round % 10);
    }
    assert_int_equal(bytes.len, 4000);
    assert_memory_equal(bytes_text(&bytes) + 3996, "abc9", 5);
    assert_int_equal(bytes.len, 4000);
    bytes_clear(&bytes);
    assert_string_equal(bytes_text(&bytes), "");
    bytes_fini(&bytes);
    assert_null(bytes.data);
}

static void
spans_compare_as_memcmp_shorter_first(void **state)
{
    (void)state;
    struct span empty = span_of(NULL, 0);
    assert_true(span_equal(empty, span_of_text("")));
    assert_false(span_equal(span_of_text("a"), span_of_text("b")));
    assert_true(span_compare(span_of_text("a"), span_of_text("ab")) < 0);
    assert_true(span_compare(span_of_text("b"), span_of_text("ab")) > 0);
    assert_true(span_compare(span_of("\xff", 1), span_of("\x01", 1)) > 0);
    assert_int_equal(span_compare(empty, empty), 0);
}

static void
numbers_are_big_endian(void **state)
{
    (void)state;
    uint8_t at[8];
    put_u16(at, 0x0102);
    assert_memory_equal(at, "\x01\x02", 2);
    assert_int_equal(get_u16(at), 0x0102);
    put_u32(at, 0x01020304);
    assert_memory_equal(at, "\x01\x02\x03\x04", 4);
    assert_int_equal(get_u32(at), 0x01020304);
    put_u64(at, 0xfedcba9876543210);
    assert_memory_equal(at, "\xfe\xdc\xba\x98\x76\x54\x32\x10", 8);
    assert_true(get_u64(at) == 0xfedcba9876543210);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_grow),
        cmocka_unit_test(spans_compare_as_memcmp_shorter_first),
        cmocka_unit_test(numbers_are_big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
