// `zkarton tree`: an analysis as a tree, or its tasks as JSON lines.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"
#include "tree.h"

enum { TREE_LOGS = 1 };

struct tree_visit {
    const struct cli *cli;
    struct tree *tree;
    bool is_done;
};

static int
visit(void *arg, const zkt_value_t *row)
{
    struct tree_visit *visiting = arg;
    const char *state = row_text(row, "state", "");
    tree_add(visiting->tree, row);
    if (strcmp(state, "Finished") != 0 && strcmp(state, "Crashed") != 0) {
        visiting->is_done = false;
    }
    if (visiting->cli->output == OUTPUT_JSON) {
        char *json = zkt_value_json(row);
        output_line(json, false);
        free(json);
    } else if (visiting->cli->output == OUTPUT_NAME) {
        output_line(row_text(row, "uid", ""), false);
    }
    return EXIT_YES;
}

// Lines of `zkarton logs -o json`: the last message of a task stands beside it.
static int
read_logs(struct tree *tree, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return cli_fail(ZKT_IO, "%s: %s", path, strerror(errno));
    }
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) != -1) {
        zkt_value_t *record = zkt_value_from_json(line);
        const char *uid = row_text(record, "task_id", NULL);
        const char *message = row_text(record, "message", NULL);
        if (uid != NULL && message != NULL) {
            tree_note(tree, uid, message);
        }
        zkt_value_destroy(&record);
    }
    free(line);
    fclose(file);
    return EXIT_YES;
}

static int
draw(struct cli *cli, const char *root_uid, const char *logs)
{
    struct tree_visit visiting = {.cli = cli, .tree = tree_new(), .is_done = true};
    struct bytes args = {0};
    row_arg(&args, "root", root_uid);
    const struct row_view view = {.what = "tree", .args = bytes_text(&args)};
    int code = rows_each(cli, &view, visit, &visiting);
    if (code == EXIT_YES && tree_len(visiting.tree) == 0) {
        code = cli_fail(ZKT_NOT_FOUND,
                        "no task of analysis %s: it is finished, or there never was one. "
                        "zkarton wait tells which",
                        root_uid);
    }
    if (code == EXIT_YES && logs != NULL) {
        code = read_logs(visiting.tree, logs);
    }
    if (code == EXIT_YES && cli->output == OUTPUT_TABLE) {
        struct bytes text = {0};
        tree_render(visiting.tree, root_uid, visiting.is_done, &text);
        fputs(bytes_text(&text), stdout);
        bytes_fini(&text);
    }
    tree_destroy(&visiting.tree);
    bytes_fini(&args);
    return code;
}

int
cmd_tree(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"logs", 0, TREE_LOGS, true}};
    struct option_parser parser = {
        .cli = cli,
        .command = "tree",
        .options = options,
        .options_count = 1,
        .argc = argc,
        .argv = argv,
    };
    const char *root_uid = NULL;
    const char *logs = NULL;
    int id;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == TREE_LOGS) {
            logs = parser.value;
        } else if (root_uid != NULL) {
            return cli_usage("tree", "\"%s\" is too much.", parser.value);
        } else {
            root_uid = row_uid(parser.value);
        }
    }
    if (root_uid == NULL) {
        return cli_usage("tree", "which analysis? Write its root uid.");
    }
    return draw(cli, root_uid, logs);
}
