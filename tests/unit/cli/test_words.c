// Words: key=text, key:=JSON, and filters made of them.
#include "unit/testing.h"

#include <string.h>

#include "words.h"

static void
check_json(const char *text, const char *want)
{
    struct word word;
    struct problem problem;
    struct bytes json = {0};
    assert_int_equal(word_parse(text, &word, &problem), ZKT_OK);
    word_append_json(&word, &json);
    assert_string_equal(bytes_text(&json), want);
    bytes_fini(&json);
    word_fini(&word);
}

static void
words_become_json(void **state)
{
    (void)state;
    check_json("type=sample", "\"type\": \"sample\"");
    check_json("type=", "\"type\": \"\"");
    check_json("n:=3", "\"n\": 3");
    check_json("a=b=c", "\"a\": \"b=c\"");
    check_json("k:=\"a b\"", "\"k\": \"a b\"");
    check_json("a=\"\\\n", "\"a\": \"\\\"\\\\\\u000a\"");
    check_json("kind=!raw", "\"kind\": \"!raw\"");
    check_json("x:={\"$not\": \"y\"}", "\"x\": {\"$not\": \"y\"}");
    check_json("name=\xff", "\"name\": \"\\udcff\""); // as Python reads such a file name
}

static void
check_wrong(const char *text, const char *part)
{
    struct word word;
    struct problem problem;
    assert_int_equal(word_parse(text, &word, &problem), ZKT_USAGE);
    assert_non_null(strstr(problem.text, part));
    word_fini(&word);
}

static void
what_is_no_word_is_refused(void **state)
{
    (void)state;
    check_wrong("type:sample", "Write type=sample, or type:=JSON");
    check_wrong("sample", "is not KEY=VALUE");
    check_wrong("=x", "is not KEY=VALUE");
    check_wrong(":=3", "is not KEY=VALUE");
    check_wrong("n:=03", "no JSON");
    check_wrong("n:=", "no JSON");
}

static void
filters_are_words(void **state)
{
    (void)state;
    struct filter_words filters = {0};
    struct problem problem;
    assert_null(filter_words_end(&filters));
    assert_int_equal(filter_words_add(&filters, "type=a", &problem), ZKT_OK);
    assert_int_equal(filter_words_add(&filters, "kind=!raw", &problem), ZKT_OK);
    assert_int_equal(filter_words_or(&filters, &problem), ZKT_OK);
    assert_int_equal(filter_words_add(&filters, "n:=1", &problem), ZKT_OK);
    assert_string_equal(filter_words_end(&filters),
                        "[{\"type\": \"a\", \"kind\": \"!raw\"}, {\"n\": 1}]");
    filter_words_fini(&filters);
}

static void
filters_may_be_one_json(void **state) // S18
{
    (void)state;
    struct filter_words filters = {0};
    struct problem problem;
    assert_int_equal(filter_words_add(&filters, "{}", &problem), ZKT_OK);
    assert_int_equal(filter_words_add(&filters, "type=a", &problem), ZKT_USAGE);
    assert_int_equal(filter_words_or(&filters, &problem), ZKT_USAGE);
    assert_string_equal(filter_words_end(&filters), "{}");
    filter_words_fini(&filters);
    assert_int_equal(filter_words_or(&filters, &problem), ZKT_USAGE);
    assert_int_equal(filter_words_add(&filters, "[}", &problem), ZKT_USAGE);
    filter_words_fini(&filters);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_json),
        cmocka_unit_test(what_is_no_word_is_refused),
        cmocka_unit_test(filters_are_words),
        cmocka_unit_test(filters_may_be_one_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
