// `zkarton wait`: until analyses are done, in the order they were named.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"

static int
wait_one(struct cli *cli, const char *root_uid)
{
    zkt_summary_t summary = {0};
    int timeout_ms = cli->timeout_ms != 0 ? cli->timeout_ms : -1;
    enum zkt_err err = zkt_client_wait(cli->client, root_uid, timeout_ms, &summary);
    if (err != ZKT_OK) {
        return cli_client_fail(cli, err);
    }
    struct bytes line = {0};
    if (cli->output == OUTPUT_JSON) {
        bytes_printf(&line,
                     "{\"root\": \"%s\", \"finished\": %" PRIu64 ", \"crashed\": %" PRIu64
                     ", \"elapsed_ms\": ",
                     root_uid, summary.finished_count, summary.crashed_count);
        bytes_printf(&line, summary.elapsed_ms >= 0 ? "%" PRId64 "}" : "null}", summary.elapsed_ms);
    } else if (cli->output == OUTPUT_NAME) {
        bytes_append_text(&line, root_uid);
    } else {
        char elapsed[FORMAT_TEXT_SIZE];
        bytes_printf(&line, "%s  %" PRIu64 " finished  %" PRIu64 " crashed", root_uid,
                     summary.finished_count, summary.crashed_count);
        if (summary.elapsed_ms >= 0) {
            bytes_printf(&line, "  %s", format_ms(summary.elapsed_ms, elapsed));
        }
    }
    output_line(bytes_text(&line), true);
    bytes_fini(&line);
    return summary.crashed_count > 0 ? EXIT_NO : EXIT_YES;
}

int
cmd_wait(struct cli *cli, int argc, char **argv)
{
    struct option_parser parser = {.cli = cli, .command = "wait", .argc = argc, .argv = argv};
    const char **roots = xcalloc((size_t)argc + 1, sizeof(char *));
    int code = EXIT_YES;
    int roots_count = option_words(&parser, roots, (size_t)argc, &code);
    if (roots_count == 0) {
        code = cli_usage("wait", "which analysis? Write root uids.");
    }
    if (roots_count > 0) {
        code = cli_connect(cli);
    }
    int worst = code;
    for (int i = 0; i < roots_count && (code == EXIT_YES || code == EXIT_NO); i++) {
        code = wait_one(cli, row_uid(roots[i]));
        worst = code != EXIT_YES ? code : worst;
    }
    free(roots);
    return worst;
}
