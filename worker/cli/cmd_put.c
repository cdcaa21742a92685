// `zkarton put`: uploads a file ahead of its task, and prints the token with which one
// `zkarton send --object` may take it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli.h"
#include "command_line.h"
#include "files.h"
#include "output.h"
#include "words.h"

enum { PUT_AS = 1 };

struct put_words {
    const char *path;
    const char *name; // NULL: the last part of path
};

static int
parse(struct cli *cli, int argc, char **argv, struct put_words *put, bool *is_done)
{
    static const struct option options[] = {{"as", 0, PUT_AS, true}};
    struct option_parser parser = {
        .cli = cli,
        .command = "put",
        .options = options,
        .options_count = 1,
        .argc = argc,
        .argv = argv,
    };
    int id;
    *is_done = true;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == PUT_AS) {
            put->name = parser.value;
        } else if (put->path != NULL) {
            return cli_usage("put", "\"%s\" is too much.", parser.value);
        } else {
            put->path = parser.value;
        }
    }
    if (put->path == NULL) {
        return cli_usage("put", "which file? Write its path, or - for stdin.");
    }
    *is_done = false;
    return EXIT_YES;
}

static void
print_token(const struct cli *cli, const char *token)
{
    struct bytes line = {0};
    if (cli->output == OUTPUT_JSON) {
        bytes_append_text(&line, "{\"token\": ");
        json_quote(&line, token);
        bytes_append_text(&line, "}");
    } else {
        bytes_append_text(&line, token);
    }
    output_line(bytes_text(&line), true);
    bytes_fini(&line);
}

static void
on_notice(void *arg, const char *text)
{
    cli_note(arg, "zkarton: %s", text);
}

int
cmd_put(struct cli *cli, int argc, char **argv)
{
    struct put_words put = {0};
    bool is_done = false;
    int code = parse(cli, argc, argv, &put, &is_done);
    if (is_done) {
        return code;
    }
    zkt_client_options_t options = {
        .identity = "",
        .on_progress = output_progress,
        .arg = cli,
        .on_notice = on_notice,
    };
    code = cli_connect_as(cli, &options);
    int spool = -1;
    char *spool_path = NULL;
    if (code == EXIT_YES && strcmp(put.path, "-") == 0) {
        spool = file_spool(STDIN_FILENO);
        spool_path = xasprintf("/proc/self/fd/%d", spool);
        put = (struct put_words){.path = spool_path, .name = put.name != NULL ? put.name : "stdin"};
        code = spool == -1 ? cli_fail(ZKT_IO, "stdin: %s", strerror(errno)) : EXIT_YES;
    }
    char *token = NULL;
    if (code == EXIT_YES) {
        enum zkt_err err = zkt_client_put(cli->client, put.path, put.name, &token);
        output_end_progress(cli);
        code = err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
    }
    if (code == EXIT_YES) {
        print_token(cli, token);
    }
    if (spool != -1) {
        close(spool);
    }
    free(spool_path);
    free(token);
    return code;
}
