// `zkarton watch`: events, one a line: topic and body. Topics are prefixes; none: everything but
// logs.
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli.h"
#include "command_line.h"
#include "follow.h"
#include "output.h"
#include "rows.h"

enum { WATCH_ROOT = 1 };

static int
print_event(void *arg, const char *topic, const zkt_value_t *body)
{
    const struct cli *cli = arg;
    struct bytes line = {0};
    char *json = zkt_value_json(body);
    if (cli->output == OUTPUT_JSON) {
        bytes_append_text(&line, "{\"topic\": ");
        json_quote(&line, topic);
        bytes_printf(&line, ", \"body\": %s}", json);
    } else if (cli->output == OUTPUT_NAME) {
        output_text(&line, topic);
    } else {
        output_text(&line, topic);
        bytes_append_byte(&line, ' ');
        output_text(&line, json);
    }
    output_line(bytes_text(&line), true);
    free(json);
    bytes_fini(&line);
    return EXIT_YES;
}

int
cmd_watch(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"root", 0, WATCH_ROOT, true}};
    static const char *const everything[] = {"analysis.", "worker.", "consumer.", "broker."};
    enum { EVERYTHING_COUNT = sizeof(everything) / sizeof(everything[0]) };
    struct option_parser parser = {
        .cli = cli,
        .command = "watch",
        .options = options,
        .options_count = 1,
        .argc = argc,
        .argv = argv,
    };
    const char **topics = xcalloc((size_t)argc + EVERYTHING_COUNT + 1, sizeof(char *));
    size_t topics_count = 0;
    char *root_topic = NULL;
    int code = EXIT_YES;
    int id;
    while (code == EXIT_YES && (id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            free(topics);
            free(root_topic);
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == OPTION_WORD) {
            topics[topics_count++] = parser.value;
        } else if (root_topic != NULL) {
            code = cli_usage("watch", "--root names one analysis.");
        } else if (option_root(&parser) == NULL) {
            code = EXIT_USAGE;
        } else {
            root_topic = xasprintf("analysis.%s.", row_uid(parser.value));
            topics[topics_count++] = root_topic;
        }
    }
    for (size_t i = 0; topics_count == 0 && i < EVERYTHING_COUNT; i++) {
        topics[i] = everything[i];
    }
    if (code == EXIT_YES) {
        code = follow(cli, topics, print_event, cli);
    }
    free(topics);
    free(root_topic);
    return code;
}
