#include "unit/testing.h"

#include "http/range.h"

static void
check(const char *text, int64_t size, enum range_kind kind, int64_t from, int64_t len)
{
    int64_t found_from;
    int64_t found_len;
    assert_int_equal(range_parse(text, size, &found_from, &found_len), kind);
    if (kind != RANGE_NONE) {
        assert_int_equal(found_from, from);
        assert_int_equal(found_len, len);
    }
}

static void
parts(void **state)
{
    (void)state;
    check("bytes=0-0", 10, RANGE_PART, 0, 1);
    check("bytes=2-5", 10, RANGE_PART, 2, 4);
    check("bytes=5-", 10, RANGE_PART, 5, 5);
    check("bytes=9-9", 10, RANGE_PART, 9, 1);
    check("bytes=5-100", 10, RANGE_PART, 5, 5);
    check("bytes=5-99999999999999999999999", 10, RANGE_PART, 5, 5);
    check("bytes=-3", 10, RANGE_PART, 7, 3);
    check("bytes=-30", 10, RANGE_PART, 0, 10);
    check("BYTES=1-2", 10, RANGE_PART, 1, 2);
    check("bytes=0-", INT64_MAX, RANGE_PART, 0, INT64_MAX);
}

static void
nothing_of_it_is_there(void **state)
{
    (void)state;
    check("bytes=10-", 10, RANGE_NONE, 0, 0);
    check("bytes=99999999999999999999999-", 10, RANGE_NONE, 0, 0);
    check("bytes=-0", 10, RANGE_NONE, 0, 0);
    check("bytes=0-0", 0, RANGE_NONE, 0, 0);
    check("bytes=-1", 0, RANGE_NONE, 0, 0);
}

static void
what_is_not_understood_is_the_whole(void **state)
{
    (void)state;
    const char *const texts[] = {
        NULL,         "",           "bytes",         "bytes=",    "bytes=-",
        "bytes=a-b",  "bytes=5-2",  "bytes=1-2,4-5", "items=1-2", "bytes=1",
        "bytes= 1-2", "bytes=1-2x", "bytes=--1",     "bytes=-1-"};
    for (size_t text_index = 0; text_index < sizeof texts / sizeof *texts; text_index++) {
        check(texts[text_index], 10, RANGE_WHOLE, 0, 10);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(nothing_of_it_is_there),
        cmocka_unit_test(what_is_not_understood_is_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
