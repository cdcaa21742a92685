#include "unit/testing.h"

#include <string.h>

#include "model/value.h"

static void
check(const char *text, size_t len, bool is_utf8, bool is_wtf8)
{
    // At each place of a word of 8 bytes, so that the fast way is taken and left.
    for (size_t front_len = 0; front_len < 9; front_len++) {
        char padded[64];
        memset(padded, 'x', sizeof padded);
        memcpy(padded + front_len, text, len);
        assert_int_equal(text_is_utf8(padded, front_len + len), is_utf8);
        assert_int_equal(text_is_wtf8(padded, front_len + len), is_wtf8);
        assert_int_equal(text_is_wtf8(padded, front_len + len + 17), is_wtf8);
    }
}

static void
well_formed_texts(void **state)
{
    (void)state;
    check("", 0, true, true);
    check("a\0b", 3, true, true);
    check("\x7f", 1, true, true);
    check("\xc2\x80", 2, true, true);
    check("\xdf\xbf", 2, true, true);
    check("\xe0\xa0\x80", 3, true, true);
    check("\xed\x9f\xbf", 3, true, true);
    check("\xee\x80\x80", 3, true, true);
    check("\xef\xbf\xbf", 3, true, true);
    check("\xf0\x90\x80\x80", 4, true, true);
    check("\xf4\x8f\xbf\xbf", 4, true, true);
}

static void
surrogates_stand_alone(void **state)
{
    (void)state; // T3
    check("\xed\xa0\x80", 3, false, true);
    check("\xed\xbf\xbf", 3, false, true);
    check("\xed\xb0\x80\xed\xa0\x80", 6, false, true);  // low, high
    check("\xed\xa0\x80\xed\xb0\x80", 6, false, false); // a pair is one character
    check("\xed\xa0\x80x\xed\xb0\x80", 7, false, true);
}

static void
malformed_texts(void **state)
{
    (void)state;
    const char *const wrong[] = {"\x80",
                                 "\xbf",
                                 "\xc0\x80",
                                 "\xc1\xbf",
                                 "\xe0\x9f\xbf",
                                 "\xf0\x8f\xbf\xbf",
                                 "\xf4\x90\x80\x80",
                                 "\xf5\x80\x80\x80",
                                 "\xff",
                                 "\xfe",
                                 "\xe2\x28\xa1",
                                 "\xe2\x82\x28",
                                 "\xf0\x28\x8c\xbc",
                                 "\xf8\x88\x80\x80\x80"};
    for (size_t wrong_index = 0; wrong_index < sizeof wrong / sizeof *wrong; wrong_index++) {
        check(wrong[wrong_index], strlen(wrong[wrong_index]), false, false);
    }
    // Cut short at the end.
    const char *const cut[] = {"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0"};
    for (size_t cut_index = 0; cut_index < sizeof cut / sizeof *cut; cut_index++) {
        assert_false(text_is_utf8(cut[cut_index], strlen(cut[cut_index])));
        assert_false(text_is_wtf8(cut[cut_index], strlen(cut[cut_index])));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_texts),
        cmocka_unit_test(surrogates_stand_alone),
        cmocka_unit_test(malformed_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
