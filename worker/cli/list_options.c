#include "list_options.h"

#include <string.h>

enum { LIST_COUNT = 1, LIST_AFTER, LIST_CONSUMER, LIST_STATE, LIST_ROOT };

static const struct option list_rows[] = {
    {"count", 'n', LIST_COUNT, true},     {"after", 0, LIST_AFTER, true},
    {"consumer", 0, LIST_CONSUMER, true}, {"state", 0, LIST_STATE, true},
    {"root", 0, LIST_ROOT, true},
};
enum { LIST_PLAIN_COUNT = 2, LIST_TASKS_COUNT = 5 };

static bool
is_state(const char *text)
{
    static const char *const names[] = {"Declared", "Spawned", "Started", "Finished", "Crashed"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int
take(struct list_options *list, struct option_parser *parser, int id, bool is_tasks)
{
    switch (id) {
    case OPTION_WORD:
        if (is_tasks || list->identity != NULL) {
            return cli_usage(parser->command, "\"%s\" is too much.", parser->value);
        }
        list->identity = parser->value;
        return EXIT_YES;
    case LIST_COUNT:
        if (!parse_count(parser->value, 1000000000, &list->rows_max) || list->rows_max == 0) {
            return cli_usage(parser->command, "\"-n %s\": write a number from 1.", parser->value);
        }
        return EXIT_YES;
    case LIST_AFTER:
        // All cursors of the broker are numbers; it takes what is none for the beginning.
        if (!parse_count(parser->value, INT64_MAX, &(uint64_t){0})) {
            return cli_usage(parser->command,
                             "\"--after %s\": write the cursor that the last page printed.",
                             parser->value);
        }
        list->after = parser->value;
        return EXIT_YES;
    case LIST_CONSUMER:
        list->identity = parser->value;
        return EXIT_YES;
    case LIST_STATE:
        if (!is_state(parser->value)) {
            return cli_usage(parser->command,
                             "\"--state %s\": write Declared, Spawned, Started, Finished or "
                             "Crashed.",
                             parser->value);
        }
        list->state = parser->value;
        return EXIT_YES;
    default:
        list->root = option_root(parser);
        return list->root != NULL ? EXIT_YES : EXIT_USAGE;
    }
}

bool
list_options_parse(struct cli *cli, const char *command, int argc, char **argv, bool is_tasks,
                   struct list_options *list, int *code)
{
    struct option_parser parser = {
        .cli = cli,
        .command = command,
        .options = list_rows,
        .options_count = is_tasks ? LIST_TASKS_COUNT : LIST_PLAIN_COUNT,
        .argc = argc,
        .argv = argv,
    };
    *list = (struct list_options){.rows_max = 100};
    *code = EXIT_YES;
    int id;
    while (*code == EXIT_YES && (id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP) {
            return false;
        }
        *code = id == OPTION_WRONG ? EXIT_USAGE : take(list, &parser, id, is_tasks);
    }
    if (*code == EXIT_YES && parser.at < argc) {
        *code = cli_usage(command, "\"%s\" is too much.", argv[parser.at]);
    }
    return *code == EXIT_YES;
}
