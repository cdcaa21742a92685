// Command lines: options and words in any order, values attached or apart, mistakes named.
#include "unit/testing.h"

#include "command_line.h"

enum { OPTION_FLAG = 1, OPTION_TEXT };

static const struct option options[] = {{"flag", 'f', OPTION_FLAG, false},
                                        {"text", 't', OPTION_TEXT, true}};

static struct option_parser
parser_of(struct cli *cli, int argc, char **argv)
{
    return (struct option_parser){
        .cli = cli,
        .command = "list",
        .options = options,
        .options_count = 2,
        .argc = argc,
        .argv = argv,
    };
}

static void
options_and_words_mix(void **state)
{
    (void)state;
    struct cli cli = {0};
    char *argv[] = {"a=b",      "-ft",       "x",         "--text=y", "-tz", "-",  "-qojson",
                    "--broker", "tcp://h:1", "--timeout", "500ms",    "--",  "-f", NULL};
    struct option_parser parser = parser_of(&cli, 13, argv);
    assert_int_equal(option_next(&parser), OPTION_WORD);
    assert_string_equal(parser.value, "a=b");
    assert_int_equal(option_next(&parser), OPTION_FLAG);
    assert_int_equal(option_next(&parser), OPTION_TEXT);
    assert_string_equal(parser.value, "x");
    assert_int_equal(option_next(&parser), OPTION_TEXT);
    assert_string_equal(parser.value, "y");
    assert_int_equal(option_next(&parser), OPTION_TEXT);
    assert_string_equal(parser.value, "z");
    assert_int_equal(option_next(&parser), OPTION_WORD);
    assert_string_equal(parser.value, "-");
    assert_int_equal(option_next(&parser), OPTION_END);
    assert_true(parser.has_rest);
    assert_string_equal(argv[parser.at], "-f");
    assert_true(cli.is_quiet);
    assert_int_equal(cli.output, OUTPUT_JSON);
    assert_string_equal(cli.broker, "tcp://h:1");
    assert_int_equal(cli.timeout_ms, 500);
}

static void
check_wrong(char *first, char *second)
{
    struct cli cli = {0};
    char *argv[] = {first, second, NULL};
    struct option_parser parser = parser_of(&cli, second != NULL ? 2 : 1, argv);
    assert_int_equal(option_next(&parser), OPTION_WRONG);
}

static void
mistakes_are_refused(void **state)
{
    (void)state;
    check_wrong("--flga", NULL);
    check_wrong("-x", NULL);
    check_wrong("--text", NULL);
    check_wrong("--flag=1", NULL);
    check_wrong("-o", "xml");
    check_wrong("--timeout", "soon");
    check_wrong("--timeout", "0");
}

static void
durations_have_units(void **state)
{
    (void)state;
    int64_t ms = 0;
    assert_true(parse_duration("5", &ms));
    assert_int_equal(ms, 5000);
    assert_true(parse_duration("1.5s", &ms));
    assert_int_equal(ms, 1500);
    assert_true(parse_duration("250ms", &ms));
    assert_int_equal(ms, 250);
    assert_true(parse_duration("2h", &ms));
    assert_int_equal(ms, 7200000);
    assert_false(parse_duration("-1", &ms));
    assert_false(parse_duration("5 s", &ms));
    assert_false(parse_duration("inf", &ms));
    assert_false(parse_duration("1e300", &ms));
    assert_false(parse_duration("", &ms));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_mix),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(durations_have_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
