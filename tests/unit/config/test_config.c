#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/option_table.h"

struct place {
    char directory[64];
    char before[512];
    char path[96]; // x.ini
};

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int
enter(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    strncpy(place->directory, "/tmp/zkt-config-XXXXXX", sizeof place->directory - 1);
    assert_non_null(mkdtemp(place->directory));
    assert_non_null(getcwd(place->before, sizeof place->before));
    assert_int_equal(chdir(place->directory), 0);
    snprintf(place->path, sizeof place->path, "%s/x.ini", place->directory);
    setenv("HOME", place->directory, 1);
    unsetenv("KARTON_CONFIG_FILE");
    unsetenv("KARTON_BROKER_ADDRESS");
    *state = place;
    return 0;
}

static int
leave(void **state)
{
    struct place *place = *state;
    assert_int_equal(chdir(place->before), 0);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", place->directory);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static struct config *
load(const char *path)
{
    struct problem problem = {.text = ""};
    struct config *config = config_new();
    if (config_load(config, path, &problem) != ZKT_OK) {
        print_message("%s\n", problem.text);
        fail();
    }
    return config;
}

static void
check_refused(const char *text, const char *expected)
{
    struct problem problem;
    struct config *config = config_new();
    write_file("karton.ini", text);
    assert_int_equal(config_load(config, NULL, &problem), ZKT_CONFIG_INVALID);
    assert_string_equal(problem.text, expected);
    config_destroy(&config);
    assert_null(config);
}

static void
defaults_come_from_the_table(void **state)
{
    (void)state;
    struct config *config = load(NULL);
    assert_string_equal(config_text(config, "broker", "address", NULL), "tcp://127.0.0.1:5570");
    assert_int_equal(config_duration_ms(config, "broker", "expiry", -1), 10000);
    assert_int_equal(config_duration_ms(config, "store", "crashed_ttl", -1), 3 * 86400000);
    assert_int_equal(config_size(config, "store", "min_free", -1), 1 << 30);
    assert_int_equal(config_int(config, "broker", "max_deliveries", -1), 3);
    assert_true(config_bool(config, "karton", "persistent", false));
    assert_string_equal(config_origin(config, "broker", "address"), "default");
    assert_null(config_text(config, "karton", "identity", NULL));
    assert_null(config_origin(config, "karton", "identity"));
    assert_string_equal(config_text(config, "nobody", "knows", "fallback"), "fallback");
    assert_int_equal(config_size(config, "store", "max_bytes", -1), -1);
    assert_false(config_has_section(config, "broker"));
    config_destroy(&config);
}

static void
every_default_is_of_its_type(void **state)
{
    (void)state;
    struct problem problem;
    struct config *config = config_new();
    for (size_t row_index = 0; row_index < option_table_len; row_index++) {
        const struct option_row *row = &option_table[row_index];
        if (row->default_text != NULL) {
            config_set(config, row->section, row->name, row->default_text, "default");
        }
        assert_non_null(section_row_find(row->section));
    }
    if (config_check(config, &problem) != ZKT_OK) {
        print_message("%s\n", problem.text);
        fail();
    }
    config_destroy(&config);
}

static void
later_layers_go_over_earlier_ones(void **state)
{
    const struct place *place = *state; // E1, E2
    mkdir(".config", 0755);
    mkdir(".config/karton", 0755);
    write_file(".config/karton/karton.ini",
               "[broker]\naddress = tcp://home:1\nexpiry = 1s\n[own]\na = 1\n");
    write_file("karton.ini", "[broker]\naddress = tcp://here:2\nheartbeat=1s\n");
    write_file("named.ini", "[broker]\naddress = tcp://named:3\n");
    struct config *config = load(NULL);
    assert_string_equal(config_text(config, "broker", "address", NULL), "tcp://here:2");
    assert_string_equal(config_origin(config, "broker", "address"), "./karton.ini:2");
    assert_int_equal(config_duration_ms(config, "broker", "expiry", 0), 1000);
    config_destroy(&config);

    setenv("KARTON_CONFIG_FILE", "named.ini", 1);
    config = load(NULL);
    assert_string_equal(config_origin(config, "broker", "address"), "named.ini:2");
    config_destroy(&config);

    write_file(place->path, "\n[broker]\n\naddress: tcp://given:4\n");
    config = load(place->path);
    assert_string_equal(config_text(config, "broker", "address", NULL), "tcp://given:4");
    config_destroy(&config);

    setenv("KARTON_BROKER_ADDRESS", "tcp://env:5", 1);
    setenv("KARTON_MY.SER-VICE_SOME_KEY", "v%", 1);
    setenv("KARTON_lower_KEY", "v", 1);
    config = load(place->path);
    assert_string_equal(config_text(config, "broker", "address", NULL), "tcp://env:5");
    assert_string_equal(config_origin(config, "broker", "address"),
                        "environment KARTON_BROKER_ADDRESS");
    assert_string_equal(config_text(config, "my.ser-vice", "some_key", NULL), "v%");
    assert_false(config_has_section(config, "lower"));
    assert_true(config_has_section(config, "own"));
    config_set(config, "broker", "address", "tcp://flag:6", "--broker");
    assert_string_equal(config_text(config, "broker", "address", NULL), "tcp://flag:6");
    assert_string_equal(config_origin(config, "broker", "address"), "--broker");
    config_destroy(&config);
    unsetenv("KARTON_MY.SER-VICE_SOME_KEY");
    unsetenv("KARTON_lower_KEY");
}

static void
a_named_file_must_exist(void **state)
{
    (void)state; // E1
    struct problem problem;
    struct config *config = config_new();
    assert_int_equal(config_load(config, "missing.ini", &problem), ZKT_CONFIG_INVALID);
    assert_string_equal(problem.text, "configuration file missing.ini: No such file or directory");
    config_destroy(&config);
    setenv("KARTON_CONFIG_FILE", "gone.ini", 1);
    config = config_new();
    assert_int_equal(config_load(config, NULL, &problem), ZKT_CONFIG_INVALID);
    assert_non_null(strstr(problem.text, "gone.ini"));
    config_destroy(&config);
}

static void
mistakes_name_file_line_section_and_option(void **state)
{
    (void)state;
    check_refused("[broker]\n\nadress = x\n",
                  "./karton.ini:3: [broker] adress: unknown. Did you mean \"address\"?");
    check_refused("[broker]\nfrobnicate = x\n", "./karton.ini:2: [broker] frobnicate: unknown");
    check_refused("[broker]\nexpiry = soon\n", "./karton.ini:2: [broker] expiry: \"soon\" is not a "
                                               "duration like 500ms, 2s, 10m, 1h or 3d");
    check_refused("[broker]\nheartbeat = 1ms\n",
                  "./karton.ini:2: [broker] heartbeat: \"1ms\" is below 50 ms");
    check_refused("[worker]\nconcurrency = 0\n",
                  "./karton.ini:2: [worker] concurrency: \"0\" is below 1");
    check_refused("[worker]\nconcurrency = 1.5\n",
                  "./karton.ini:2: [worker] concurrency: \"1.5\" is not an integer");
    check_refused("[worker]\nprefetch = much\n",
                  "./karton.ini:2: [worker] prefetch: \"much\" is not an integer or auto");
    check_refused("[karton]\ndebug = maybe\n",
                  "./karton.ini:2: [karton] debug: \"maybe\" is not yes or no");
    check_refused("[store]\nmin_free = lots\n",
                  "./karton.ini:2: [store] min_free: \"lots\" is not a size like 64KiB or 1GiB");
    check_refused("[object]\nkind = tape\n",
                  "./karton.ini:2: [object] kind: \"tape\" is not dir|s3");
    check_refused("[logging]\nlevel = LOUD\n",
                  "./karton.ini:2: [logging] level: \"LOUD\" is not DEBUG, INFO, WARNING, ERROR, "
                  "CRITICAL or a number");
    check_refused(
        "[broker]\nlisten = tcp://h:65536\n",
        "./karton.ini:2: [broker] listen: \"tcp://h:65536\" is not tcp://HOST:PORT with a "
        "port up to 65535");
    check_refused("[broker]\naddress = a\naddress = b\n",
                  "./karton.ini:3: [broker] address: twice in this file");
    check_refused("[broker]\n[broker]\n", "./karton.ini:2: [broker]: twice in this file");
    check_refused("address = a\n", "./karton.ini:1: an option before the first [SECTION]");
    check_refused("[broker]\nnothing\n", "./karton.ini:2: expected [SECTION] or OPTION = VALUE");
    check_refused("[a]\nb = 5%\n", "./karton.ini:2: [a] b: \"%\" must be written twice");
    check_refused("[a]\nb = %(b)s\n", "./karton.ini:2: [a] b: %(…)s is nested too deep");
    check_refused("[a]\nb = %(c)s\n",
                  "./karton.ini:2: [a] b: %(…)s names an option that is not there");
    check_refused("[a]\n\n0123456789012345678901234567890123456789012345678 9 = x\n",
                  "./karton.ini:3: the name of the option is too long");
    check_refused("[0123456789012345678901234567890123456789012345678 9]\nx = x\n",
                  "./karton.ini:2: the name of the section is too long");
}

static void
warnings_do_not_stop(void **state)
{
    (void)state;
    write_file("karton.ini",
               "[karton]\nidentitty = x\n[s3]\naddress = http://x\n[DEFAULT]\nadress = y\n");
    setenv("KARTON_BROKER_PORT", "tcp://10.0.0.1:5570", 1);
    setenv("KARTON_BROKER_SERVICE_HOST", "10.0.0.1", 1);
    struct config *config = load(NULL);
    assert_string_equal(config_warning(config, 0),
                        "./karton.ini:2: [karton] identitty: unknown. Did you mean \"identity\"?");
    assert_null(config_warning(config, 1));
    struct problem problem;
    assert_int_equal(config_check(config, &problem), ZKT_OK);
    assert_null(config_warning(config, 1));
    unsetenv("KARTON_BROKER_PORT");
    unsetenv("KARTON_BROKER_SERVICE_HOST");
    config_set(config, "worker", "concurency", "1", "--set");
    assert_int_equal(config_check(config, &problem), ZKT_CONFIG_INVALID);
    assert_string_equal(problem.text,
                        "--set: [worker] concurency: unknown. Did you mean \"concurrency\"?");
    config_destroy(&config);
}

static void
long_values_and_values_of_many_lines(void **state)
{
    (void)state; // E3
    char text[6000] = "[a]\nlong = ";
    size_t start = strlen(text);
    memset(text + start, 'x', 5000);
    memcpy(text + start + 5000, "\nlist = one\n  two ; no comment\n\n  # comment\n  three\n\n", 54);
    write_file("karton.ini", text);
    struct config *config = load(NULL);
    assert_int_equal(strlen(config_text(config, "a", "long", "")), 5000);
    assert_string_equal(config_text(config, "a", "list", ""), "one\ntwo ; no comment\n\nthree");
    config_destroy(&config);
}

static void
words_of_a_command_line(void **state)
{
    (void)state; // E4
    int64_t number;
    bool is_on;
    assert_true(duration_parse("60s", &number));
    assert_int_equal(number, 60000);
    assert_true(duration_parse("5", &number));
    assert_int_equal(number, 5000);
    assert_true(duration_parse("1500 ms", &number));
    assert_int_equal(number, 1500);
    assert_true(duration_parse("3D", &number));
    assert_int_equal(number, 3 * 86400000);
    const char *const no_durations[] = {
        "", "s", "-1s", "5x", "1.5s", "99999999999999999999", "9223372036854775807d"};
    for (size_t index = 0; index < sizeof no_durations / sizeof *no_durations; index++) {
        assert_false(duration_parse(no_durations[index], &number));
    }
    assert_true(size_parse("64KiB", &number));
    assert_int_equal(number, 65536);
    assert_true(size_parse("2G", &number));
    assert_true(number == (int64_t)2 << 30);
    assert_true(size_parse("10MB", &number));
    assert_int_equal(number, 10000000);
    assert_false(size_parse("1Q", &number));
    assert_true(bool_parse("YES", &is_on) && is_on);
    assert_true(bool_parse("off", &is_on) && !is_on);
    assert_false(bool_parse("y", &is_on));
    assert_false(bool_parse("", &is_on));
    assert_true(int_parse(" -5 ", &number));
    assert_int_equal(number, -5);
    assert_false(int_parse("5x", &number));
    assert_false(int_parse("", &number));
}

int
main(void)
{
#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, enter, leave)
    const struct CMUnitTest tests[] = {
        IN_A_PLACE(defaults_come_from_the_table),
        IN_A_PLACE(every_default_is_of_its_type),
        IN_A_PLACE(later_layers_go_over_earlier_ones),
        IN_A_PLACE(a_named_file_must_exist),
        IN_A_PLACE(mistakes_name_file_line_section_and_option),
        IN_A_PLACE(warnings_do_not_stop),
        IN_A_PLACE(long_values_and_values_of_many_lines),
        cmocka_unit_test(words_of_a_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
