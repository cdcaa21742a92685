// `zkarton retry`: a task again, as a new one (I4).
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"

int
cmd_retry(struct cli *cli, int argc, char **argv)
{
    struct option_parser parser = {.cli = cli, .command = "retry", .argc = argc, .argv = argv};
    const char *uid = NULL;
    int code = EXIT_YES;
    int words_count = option_words(&parser, &uid, 1, &code);
    if (words_count != 1) {
        return words_count == 0 ? cli_usage("retry", "which task? Write its uid.") : code;
    }
    code = cli_connect(cli);
    if (code != EXIT_YES) {
        return code;
    }
    struct bytes args = {0};
    struct bytes json = {0};
    row_arg(&args, "uid", row_uid(uid));
    bytes_printf(&json, "{%s}", bytes_text(&args));
    zkt_value_t *answer = NULL;
    enum zkt_err err = zkt_client_control(cli->client, "retry", bytes_text(&json), &answer);
    code = err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
    const zkt_value_t *row = zkt_value_at(zkt_value_get(answer, "rows"), 0);
    if (code == EXIT_YES && cli->output == OUTPUT_JSON) {
        char *text = zkt_value_json(row);
        output_line(text != NULL ? text : "{}", false);
        free(text);
    } else if (code == EXIT_YES) {
        output_line(row_text(row, "uid", ""), false);
    }
    zkt_value_destroy(&answer);
    bytes_fini(&json);
    bytes_fini(&args);
    return code;
}
