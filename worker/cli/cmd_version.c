// `zkarton version`: of this client, and whether a broker answers.
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"

int
cmd_version(struct cli *cli, int argc, char **argv)
{
    struct option_parser parser = {.cli = cli, .command = "version", .argc = argc, .argv = argv};
    const char *word = NULL;
    int code = EXIT_YES;
    if (option_words(&parser, &word, 0, &code) != 0) {
        return code;
    }
    if (cli->output != OUTPUT_JSON) {
        printf("zkarton %s\n", ZKT_VERSION);
    }
    output_flush();
    zkt_value_t *answer = NULL;
    const zkt_value_t *row = NULL;
    code = rows_one(cli, "broker", NULL, "", &answer, &row);
    struct bytes line = {0};
    if (cli->output == OUTPUT_JSON) {
        bytes_append_text(&line, "{\"client\": ");
        json_quote(&line, ZKT_VERSION);
        bytes_append_text(&line, ", \"broker\": ");
        if (code == EXIT_YES) {
            json_quote(&line, row_text(row, "version", ""));
        } else {
            bytes_append_text(&line, "null");
        }
        bytes_append_text(&line, "}");
        output_line(bytes_text(&line), false);
    } else if (code == EXIT_YES) {
        bytes_printf(&line, "zkarton-broker %s", row_text(row, "version", ""));
        output_line(bytes_text(&line), false);
    }
    bytes_fini(&line);
    zkt_value_destroy(&answer);
    return code;
}
