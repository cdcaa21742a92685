#include "unit/testing.h"

#include <string.h>

#include "base/err_table.h"
#include "base/problem.h"

static void
a_problem_names_the_way_to_the_field(void **state)
{
    (void)state;
    struct problem problem;
    assert_int_equal(problem_set(&problem, ZKT_INVALID, "name: %s", "wrong"), ZKT_INVALID);
    problem_in(&problem, "tasks[%d].", 3);
    assert_string_equal(problem.text, "tasks[3].name: wrong");
    assert_int_equal(problem_set(NULL, ZKT_IO, "nobody listens"), ZKT_IO);
    problem_in(NULL, "x");
}

static void
long_texts_are_cut(void **state)
{
    (void)state;
    struct problem problem;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    problem_set(&problem, ZKT_INVALID, "%s", text);
    problem_in(&problem, "%s", "front ");
    assert_int_equal(strlen(problem.text), PROBLEM_TEXT_SIZE - 1);
    assert_memory_equal(problem.text, "front xxx", 9);
}

static void
a_sentence_puts_the_code_before_the_advice(void **state)
{
    (void)state;
    struct problem problem;
    char text[600];
    problem_set(&problem, ZKT_CONFIG_INVALID,
                "./karton.ini:7: [broker] adress: unknown. Did you mean "
                "\"address\"?");
    problem_sentence(&problem, text, sizeof text);
    assert_string_equal(text, "./karton.ini:7: [broker] adress: unknown (CONFIG_INVALID). Did you "
                              "mean \"address\"?");
    problem_set(&problem, ZKT_NOT_FOUND, "no consumer \"a. b\"");
    problem_sentence(&problem, text, sizeof text);
    assert_string_equal(text, "no consumer \"a. b\" (NOT_FOUND)");
}

static void
nearest_is_modest(void **state)
{
    (void)state;
    const char *const words[] = {"address", "listen", "$not", "data", "expiry"};
    assert_string_equal(nearest("adress", words, 5), "address");
    assert_string_equal(nearest("$nto", words, 5), "$not");
    assert_string_equal(nearest("lisetn", words, 5), "listen");
    assert_null(nearest("keys", words, 5));
    assert_null(nearest("", words, 5));
}

static void
codes_have_names(void **state)
{
    (void)state;
    enum zkt_err err;
    assert_string_equal(zkt_err_name(ZKT_UNREACHABLE), "UNREACHABLE");
    assert_string_equal(zkt_err_name((enum zkt_err)9999), "UNKNOWN");
    assert_true(zkt_err_is_retryable(ZKT_BUSY));
    assert_false(zkt_err_is_retryable(ZKT_INVALID));
    assert_false(zkt_err_is_retryable((enum zkt_err)9999));
    assert_int_equal(err_http_status(ZKT_TOO_LARGE), 413);
    assert_int_equal(err_http_status((enum zkt_err)9999), 500);
    for (unsigned number = 0; number < ZKT_ERR_COUNT; number++) {
        assert_true(err_parse(number, &err));
        assert_true(strlen(zkt_err_name(err)) > 1);
    }
    assert_false(err_parse(ZKT_ERR_COUNT, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_names_the_way_to_the_field),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_sentence_puts_the_code_before_the_advice),
        cmocka_unit_test(nearest_is_modest),
        cmocka_unit_test(codes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
