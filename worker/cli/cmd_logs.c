// `zkarton logs`: log lines as they come (L2). --level is the least level shown.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"
#include "command_line.h"
#include "follow.h"
#include "output.h"
#include "rows.h"

enum { LOGS_FILTER = 1, LOGS_LEVEL, LOGS_ROOT };

struct logs {
    struct cli *cli;
    const char *identity;
    const char *filter; // as Karton's --filter: the name of the logger, exactly
    const char *root_uid;
    int64_t level_min;
};

static const struct {
    const char *name;
    int64_t level;
} level_rows[] = {
    {"DEBUG", ZKT_DEBUG}, {"INFO", ZKT_INFO}, {"WARNING", ZKT_WARNING}, {"ERROR", ZKT_ERROR}};
enum { LEVELS_COUNT = sizeof(level_rows) / sizeof(level_rows[0]) };

// The record holds its task as JSON text.
static bool
is_of_root(const zkt_value_t *record, const char *root_uid)
{
    const zkt_value_t *task = zkt_value_get(record, "task");
    const char *text = zkt_value_string(task, NULL);
    zkt_value_t *parsed = text != NULL ? zkt_value_from_json(text) : NULL;
    const char *root = row_text(parsed != NULL ? parsed : task, "root_uid", "");
    bool is_same = strcmp(row_uid(root), root_uid) == 0;
    zkt_value_destroy(&parsed);
    return is_same;
}

static int
print_record(void *arg, const char *topic, const zkt_value_t *record)
{
    const struct logs *logs = arg;
    const char *name = row_text(record, "name", "");
    if (strncmp(topic, "log.", 4) != 0 || row_int(record, "levelno", ZKT_INFO) < logs->level_min ||
        (logs->identity != NULL && strcmp(name, logs->identity) != 0) ||
        (logs->filter != NULL && strcmp(name, logs->filter) != 0) ||
        (logs->root_uid != NULL && !is_of_root(record, logs->root_uid))) {
        return EXIT_YES;
    }
    if (logs->cli->output == OUTPUT_JSON) {
        char *json = zkt_value_json(record);
        output_line(json, true);
        free(json);
        return EXIT_YES;
    }
    struct bytes line = {0};
    bytes_printf(&line, "[%s] ", row_text(record, "levelname", "INFO"));
    output_text(&line, name);
    bytes_append_text(&line, ": ");
    // Line breaks stay: a message may hold a traceback.
    const char *message = row_text(record, "message", "");
    while (*message != '\0') {
        size_t len = strcspn(message, "\n");
        char *part = strndup(message, len);
        output_text(&line, part != NULL ? part : "");
        free(part);
        message += len;
        if (*message == '\n') {
            bytes_append_byte(&line, '\n');
            message++;
        }
    }
    output_line(bytes_text(&line), true);
    bytes_fini(&line);
    return EXIT_YES;
}

static bool
take_level(struct logs *logs, const char *text)
{
    for (size_t i = 0; i < LEVELS_COUNT; i++) {
        if (strcasecmp(text, level_rows[i].name) == 0) {
            logs->level_min = level_rows[i].level;
            return true;
        }
    }
    cli_usage("logs", "\"--level %s\": write DEBUG, INFO, WARNING or ERROR.", text);
    return false;
}

int
cmd_logs(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"filter", 0, LOGS_FILTER, true},
                                            {"level", 0, LOGS_LEVEL, true},
                                            {"root", 0, LOGS_ROOT, true}};
    struct option_parser parser = {
        .cli = cli,
        .command = "logs",
        .options = options,
        .options_count = sizeof(options) / sizeof(options[0]),
        .argc = argc,
        .argv = argv,
    };
    struct logs logs = {.cli = cli};
    int id;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == LOGS_FILTER) {
            logs.filter = parser.value;
        } else if (id == LOGS_ROOT) {
            logs.root_uid = option_root(&parser);
            if (logs.root_uid == NULL) {
                return EXIT_USAGE;
            }
        } else if (id == LOGS_LEVEL) {
            if (!take_level(&logs, parser.value)) {
                return EXIT_USAGE;
            }
        } else if (logs.identity != NULL) {
            return cli_usage("logs", "\"%s\" is too much.", parser.value);
        } else {
            logs.identity = parser.value;
        }
    }
    static const char *const topics[] = {"log.", NULL};
    return follow(cli, topics, print_record, &logs);
}
