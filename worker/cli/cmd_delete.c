// `zkarton delete`: a consumer with its queue and tasks (L3). The broker refuses while it has
// workers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "command_line.h"
#include "rows.h"

enum { DELETE_YES = 1 };

static bool
is_confirmed(const char *identity)
{
    char *line = NULL;
    size_t capacity = 0;
    fprintf(stderr,
            "This removes the queue of %s and all tasks in it. Type the name to go on: ", identity);
    ssize_t len = getline(&line, &capacity, stdin);
    if (len > 0 && line[len - 1] == '\n') {
        line[len - 1] = '\0';
    }
    bool is_same = len > 0 && strcmp(line, identity) == 0;
    free(line);
    return is_same;
}

int
cmd_delete(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"yes", 'y', DELETE_YES, false}};
    struct option_parser parser = {
        .cli = cli,
        .command = "delete",
        .options = options,
        .options_count = 1,
        .argc = argc,
        .argv = argv,
    };
    const char *identity = NULL;
    bool has_yes = false;
    int id;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == DELETE_YES) {
            has_yes = true;
        } else if (identity != NULL) {
            return cli_usage("delete", "\"%s\" is too much.", parser.value);
        } else {
            identity = parser.value;
        }
    }
    if (identity == NULL) {
        return cli_usage("delete", "which consumer? Write its identity.");
    }
    struct bytes args = {0};
    row_arg(&args, "identity", identity);
    zkt_value_t *answer = NULL;
    const zkt_value_t *row = NULL;
    int code = rows_one(cli, "consumer", "identity", identity, &answer, &row);
    zkt_value_destroy(&answer);
    if (code == EXIT_YES && !has_yes && !is_confirmed(identity)) {
        cli_note(cli, "zkarton: not deleted");
        code = EXIT_NO;
    }
    if (code == EXIT_YES) {
        struct bytes json = {0};
        bytes_printf(&json, "{%s}", bytes_text(&args));
        enum zkt_err err =
            zkt_client_control(cli->client, "delete_consumer", bytes_text(&json), &answer);
        code = err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
        zkt_value_destroy(&answer);
        bytes_fini(&json);
    }
    bytes_fini(&args);
    return code;
}
