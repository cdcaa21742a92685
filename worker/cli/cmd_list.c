// `zkarton list`: consumers, in Karton's columns (L1) and how many workers serve each; with an
// identity its bind and its workers.
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "list_options.h"
#include "output.h"
#include "rows.h"

static void
fill_consumer(struct table *table, const zkt_value_t *row)
{
    table_cell(table, row_text(row, "identity", ""));
    table_cell(table, row_text(row, "service_version", ""));
    table_cell(table, row_text(row, "version", ""));
    table_cell_int(table, row_int(row, "workers", 0));
    table_cell(table, row_text(row, "unhealthy", ""));
}

static void
fill_worker(struct table *table, const zkt_value_t *row)
{
    struct bytes uids = {0};
    const zkt_value_t *tasks = zkt_value_get(row, "tasks");
    for (size_t i = 0; i < zkt_value_len(tasks); i++) {
        const zkt_value_t *task = zkt_value_at(tasks, i);
        const char *uid = zkt_value_string(task, NULL);
        bytes_printf(&uids, "%s%s", i > 0 ? " " : "",
                     uid != NULL ? uid : row_text(task, "uid", ""));
    }
    table_cell(table, row_text(row, "host", ""));
    table_cell_int(table, row_int(row, "pid", 0));
    table_cell(table, row_text(row, "language", ""));
    table_cell(table, bytes_text(&uids));
    bytes_fini(&uids);
}

static void
print_bind_member(struct bytes *out, const zkt_value_t *row, const char *key)
{
    const zkt_value_t *value = zkt_value_get(row, key);
    const char *text = zkt_value_string(value, NULL);
    if (value == NULL || zkt_value_type(value) == ZKT_NULL) {
        return;
    }
    bytes_printf(out, "%-16s ", key);
    if (text != NULL) {
        output_text(out, text);
    } else {
        char *json = zkt_value_json(value);
        output_text(out, json);
        free(json);
    }
    bytes_append_byte(out, '\n');
}

static int
list_one(struct cli *cli, const char *identity)
{
    static const char *const keys[] = {"identity", "filters",         "info",    "persistent",
                                       "is_async", "service_version", "version", "unhealthy"};
    static const struct table_column columns[] = {
        {"host", false}, {"pid", true}, {"language", false}, {"tasks", false}};
    struct bytes args = {0};
    row_arg(&args, "identity", identity);
    zkt_value_t *answer = NULL;
    const zkt_value_t *row = NULL;
    int code = rows_one(cli, "consumer", "identity", identity, &answer, &row);
    if (code == EXIT_YES && cli->output == OUTPUT_TABLE) {
        struct bytes text = {0};
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            print_bind_member(&text, row, keys[i]);
        }
        fputs(bytes_text(&text), stdout);
        bytes_fini(&text);
        const struct row_view workers = {
            .what = "workers",
            .args = bytes_text(&args),
            .columns = columns,
            .columns_count = sizeof(columns) / sizeof(columns[0]),
            .fill = fill_worker,
        };
        fputc('\n', stdout);
        size_t workers_count = 0;
        code = rows_print(cli, &workers, &workers_count);
        if (code == EXIT_YES && workers_count == 0) {
            puts("no worker");
        }
    } else if (code == EXIT_YES) {
        char *json = cli->output == OUTPUT_JSON ? zkt_value_json(row) : NULL;
        output_line(json != NULL ? json : row_text(row, "identity", ""), false);
        free(json);
    }
    zkt_value_destroy(&answer);
    bytes_fini(&args);
    return code;
}

int
cmd_list(struct cli *cli, int argc, char **argv)
{
    static const struct table_column columns[] = {{"identity", false},
                                                  {"version", false},
                                                  {"karton", false},
                                                  {"workers", true},
                                                  {"health", false}};
    struct list_options list;
    int code = EXIT_YES;
    if (!list_options_parse(cli, "list", argc, argv, false, &list, &code)) {
        return code;
    }
    if (list.identity != NULL) {
        return list_one(cli, list.identity);
    }
    const struct row_view view = {
        .what = "consumers",
        .args = "",
        .after = list.after,
        .rows_max = list.rows_max,
        .name_key = "identity",
        .columns = columns,
        .columns_count = sizeof(columns) / sizeof(columns[0]),
        .fill = fill_consumer,
    };
    return rows_print(cli, &view, NULL);
}
