#include "unit/testing.h"

#include <locale.h>
#include <math.h>

#include "base/float_text.h"

static void
check(double number, const char *expected)
{
    struct bytes out = {0};
    float_repr(number, &out);
    assert_string_equal(bytes_text(&out), expected);
    bytes_fini(&out);
}

static void
as_python_spells_them(void **state)
{
    (void)state; // T3
    check(0.0, "0.0");
    check(-0.0, "-0.0");
    check(1e15, "1000000000000000.0");
    check(1e16, "1e+16");
    check(0.0001, "0.0001");
    check(0.00001, "1e-05");
    check(0.1 + 0.2, "0.30000000000000004");
    check(5e-324, "5e-324");
    check(-1.7976931348623157e308, "-1.7976931348623157e+308");
    check(0x1p-44, "5.684341886080802e-14");
    check((double)NAN, "nan");
    check(-(double)INFINITY, "-inf");
}

static void
the_locale_of_the_program_changes_nothing(void **state)
{
    (void)state;
    const char *const names[] = {"de_DE.UTF-8", "pl_PL.UTF-8", "fr_FR.UTF-8", "C"};
    size_t name_index = 0;
    while (setlocale(LC_ALL, names[name_index]) == NULL) {
        name_index++;
    }
    check(1.5e-7, "1.5e-07");
    assert_true(float_parse("-1.25e1") == -12.5);
    assert_true(isinf(float_parse("1e999")));
    assert_string_equal(setlocale(LC_ALL, NULL), names[name_index]);
    setlocale(LC_ALL, "C");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_python_spells_them),
        cmocka_unit_test(the_locale_of_the_program_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
