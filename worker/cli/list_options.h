// list_options.h: the command line of `list`, `queues` and `tasks`.
#pragma once
#include "command_line.h"

struct list_options {
    const char *identity; // word, or --consumer
    const char *state;
    const char *root;
    const char *after;
    uint64_t rows_max;
};

// list_options_parse: false: leave with *code. is_tasks: --consumer, --state and --root instead of
// a word.
bool
list_options_parse(struct cli *cli, const char *command, int argc, char **argv, bool is_tasks,
                   struct list_options *list, int *code);
