// `zkarton task`: one task as Karton's JSON; for people with line breaks.
#include <stdio.h>

#include "cli.h"
#include "command_line.h"
#include "document.h"
#include "output.h"
#include "rows.h"

int
cmd_task(struct cli *cli, int argc, char **argv)
{
    struct option_parser parser = {.cli = cli, .command = "task", .argc = argc, .argv = argv};
    const char *uid = NULL;
    int code = EXIT_YES;
    int words_count = option_words(&parser, &uid, 1, &code);
    if (words_count != 1) {
        return words_count == 0 ? cli_usage("task", "which task? Write its uid.") : code;
    }
    zkt_value_t *answer = NULL;
    const zkt_value_t *row = NULL;
    code = rows_one(cli, "task", "uid", row_uid(uid), &answer, &row);
    if (code == EXIT_YES && cli->output == OUTPUT_NAME) {
        output_line(row_text(row, "uid", ""), false);
    } else if (code == EXIT_YES) {
        struct bytes json = {0};
        struct bytes text = {0};
        document_write(row, &json);
        if (cli->output == OUTPUT_TABLE) {
            json_indent(&text, bytes_text(&json));
        }
        output_line(cli->output == OUTPUT_TABLE ? bytes_text(&text) : bytes_text(&json), false);
        bytes_fini(&text);
        bytes_fini(&json);
    }
    zkt_value_destroy(&answer);
    return code;
}
