#include "command_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/problem.h"
#include "base/uid.h"
#include "base/zkarton_err.h"
#include "rows.h"

enum {
    GLOBAL_CONFIG = 10000,
    GLOBAL_BROKER,
    GLOBAL_OUTPUT,
    GLOBAL_TIMEOUT,
    GLOBAL_QUIET,
    GLOBAL_VERBOSE,
    GLOBAL_HELP,
    NAMES_MAX = 64
};

static const struct option global_options[] = {
    {"config", 'c', GLOBAL_CONFIG, true}, {"broker", 0, GLOBAL_BROKER, true},
    {"output", 'o', GLOBAL_OUTPUT, true}, {"timeout", 0, GLOBAL_TIMEOUT, true},
    {"quiet", 'q', GLOBAL_QUIET, false},  {"verbose", 'v', GLOBAL_VERBOSE, false},
    {"help", 'h', GLOBAL_HELP, false},
};
enum { GLOBAL_COUNT = sizeof(global_options) / sizeof(global_options[0]) };

static const struct option *
find_long(const struct option_parser *parser, const char *name, size_t name_len)
{
    for (size_t i = 0; i < parser->options_count + GLOBAL_COUNT; i++) {
        const struct option *option = i < parser->options_count
                                          ? &parser->options[i]
                                          : &global_options[i - parser->options_count];
        if (strlen(option->name) == name_len && memcmp(option->name, name, name_len) == 0) {
            return option;
        }
    }
    return NULL;
}

static const struct option *
find_letter(const struct option_parser *parser, char letter)
{
    for (size_t i = 0; i < parser->options_count + GLOBAL_COUNT; i++) {
        const struct option *option = i < parser->options_count
                                          ? &parser->options[i]
                                          : &global_options[i - parser->options_count];
        if (option->letter == letter) {
            return option;
        }
    }
    return NULL;
}

static int
unknown(const struct option_parser *parser, const char *text, size_t name_len)
{
    const char *names[NAMES_MAX];
    size_t names_count = 0;
    for (size_t i = 0; i < parser->options_count && names_count < NAMES_MAX; i++) {
        names[names_count++] = parser->options[i].name;
    }
    for (size_t i = 0; i < GLOBAL_COUNT && names_count < NAMES_MAX; i++) {
        names[names_count++] = global_options[i].name;
    }
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)name_len, text);
    const char *near = strncmp(text, "-", 1) == 0 ? NULL : nearest(name, names, names_count);
    if (near != NULL) {
        cli_usage(parser->command, "unknown option \"--%s\". Did you mean \"--%s\"?", name, near);
    } else {
        cli_usage(parser->command, "unknown option \"%s%s\".", name_len == 1 ? "-" : "--", name);
    }
    return OPTION_WRONG;
}

static bool
take_output(struct option_parser *parser)
{
    struct cli *cli = parser->cli;
    static const char *const forms[] = {"table", "json", "name"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(parser->value, forms[i]) == 0) {
            cli->output = (enum output_form)i;
            cli->has_output = true;
            return true;
        }
    }
    cli_usage(parser->command, "\"-o %s\": write table, json or name.", parser->value);
    return false;
}

static bool
take_timeout(struct option_parser *parser)
{
    int64_t timeout_ms = 0;
    if (!parse_duration(parser->value, &timeout_ms) || timeout_ms > INT32_MAX || timeout_ms == 0) {
        cli_usage(parser->command, "\"--timeout %s\" is no duration. Write 500ms, 5s or 2m.",
                  parser->value);
        return false;
    }
    parser->cli->timeout_ms = (int)timeout_ms;
    return true;
}

static void
print_help(const char *command)
{
    for (size_t i = 0; i < cli_commands_count; i++) {
        const struct cli_command *row = &cli_commands[i];
        if (command != NULL && strcmp(command, row->name) == 0) {
            printf("usage: zkarton %s\n\n%s\n", row->usage, row->about);
            return;
        }
    }
    printf("usage: zkarton [-c FILE] [--broker ADDR] [-o table|json|name] [--timeout 5s] [-q] [-v] "
           "COMMAND …\n\n");
    for (size_t i = 0; i < cli_commands_count; i++) {
        printf("  %-8s %s\n", cli_commands[i].name, cli_commands[i].about);
    }
    printf("\nzkarton COMMAND --help tells more. Exit: 0 yes, 1 no, 2 usage or configuration, "
           "3 unreachable,\n4 denied, 5 not found, 6 refused, 124 timeout, 130 Ctrl-C.\n");
}

// Stores a global option; OPTION_END: go on.
static int
take_global(struct option_parser *parser, int id)
{
    struct cli *cli = parser->cli;
    switch (id) {
    case GLOBAL_CONFIG:
        cli->config_path = parser->value;
        return OPTION_END;
    case GLOBAL_BROKER:
        cli->broker = parser->value;
        return OPTION_END;
    case GLOBAL_OUTPUT:
        return take_output(parser) ? OPTION_END : OPTION_WRONG;
    case GLOBAL_TIMEOUT:
        return take_timeout(parser) ? OPTION_END : OPTION_WRONG;
    case GLOBAL_QUIET:
        cli->is_quiet = true;
        return OPTION_END;
    case GLOBAL_VERBOSE:
        cli->is_verbose = true;
        return OPTION_END;
    default:
        print_help(parser->command);
        return OPTION_HELP;
    }
}

// The value of an option: what is attached to it, else the next word.
static bool
take_value(struct option_parser *parser, const struct option *option, const char *attached,
           bool is_letter)
{
    parser->value = attached;
    if (attached == NULL && parser->at < parser->argc) {
        parser->value = parser->argv[parser->at++];
    }
    if (parser->value == NULL) {
        if (is_letter) {
            cli_usage(parser->command, "option \"-%c\" needs a value.", option->letter);
        } else {
            cli_usage(parser->command, "option \"--%s\" needs a value.", option->name);
        }
        return false;
    }
    return true;
}

static int
next_long(struct option_parser *parser, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t name_len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const struct option *option = find_long(parser, text, name_len);
    if (option == NULL) {
        return unknown(parser, text, name_len);
    }
    if (!option->has_value && equals != NULL) {
        cli_usage(parser->command, "option \"--%s\" takes no value.", option->name);
        return OPTION_WRONG;
    }
    if (option->has_value &&
        !take_value(parser, option, equals != NULL ? equals + 1 : NULL, false)) {
        return OPTION_WRONG;
    }
    return option->id;
}

static int
next_letter(struct option_parser *parser)
{
    char letter = *parser->cluster++;
    const struct option *option = find_letter(parser, letter);
    if (option == NULL) {
        return unknown(parser, &letter, 1);
    }
    const char *rest = *parser->cluster != '\0' ? parser->cluster : NULL;
    if (option->has_value) {
        parser->cluster = NULL;
        if (!take_value(parser, option, rest, true)) {
            return OPTION_WRONG;
        }
    } else {
        parser->cluster = rest;
    }
    return option->id;
}

int
option_next(struct option_parser *parser)
{
    for (;;) {
        int id = OPTION_END;
        if (parser->cluster != NULL) {
            id = next_letter(parser);
        } else if (parser->at >= parser->argc) {
            return OPTION_END;
        } else {
            const char *text = parser->argv[parser->at++];
            if (strcmp(text, "--") == 0) {
                parser->has_rest = true;
                return OPTION_END;
            }
            if (strncmp(text, "--", 2) == 0) {
                id = next_long(parser, text + 2);
            } else if (text[0] == '-' && text[1] != '\0') {
                parser->cluster = text + 1;
                id = next_letter(parser);
            } else {
                parser->value = text;
                return OPTION_WORD;
            }
        }
        if (id < GLOBAL_CONFIG) {
            return id;
        }
        id = take_global(parser, id);
        if (id != OPTION_END) {
            return id;
        }
    }
}

int
option_words(struct option_parser *parser, const char **words, size_t words_max, int *code)
{
    size_t words_count = 0;
    int id = option_next(parser);
    while (id == OPTION_WORD && words_count < words_max) {
        words[words_count++] = parser->value;
        id = option_next(parser);
    }
    if (id == OPTION_END && parser->at == parser->argc) {
        return (int)words_count;
    }
    if (id == OPTION_HELP) {
        *code = EXIT_YES;
    } else if (id == OPTION_WRONG) {
        *code = EXIT_USAGE;
    } else {
        *code = cli_usage(parser->command, "\"%s\" is too much.",
                          id == OPTION_WORD ? parser->value : parser->argv[parser->at]);
    }
    return -1;
}

const char *
option_root(const struct option_parser *parser)
{
    struct uid uid;
    if (!uid_parse(parser->value, strlen(parser->value), &uid)) {
        cli_usage(parser->command, "\"--root %s\" is no uid. Write what zkarton send printed.",
                  parser->value);
        return NULL;
    }
    return row_uid(parser->value);
}

bool
parse_duration(const char *text, int64_t *duration_ms)
{
    static const struct {
        const char *unit;
        double factor_ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end = NULL;
    double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        double product = number * units[i].factor_ms;
        if (strcmp(end, units[i].unit) == 0 && product < 1e15) {
            *duration_ms = (int64_t)product;
            return true;
        }
    }
    return false;
}

bool
parse_count(const char *text, uint64_t max, uint64_t *count)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > max) {
        return false;
    }
    *count = number;
    return true;
}
