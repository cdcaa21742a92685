// `zkarton tasks`: tasks of a consumer, a state or an analysis, a page at a time.
#include "base/clock.h"
#include "cli.h"
#include "list_options.h"
#include "output.h"
#include "rows.h"

static void
fill_task(struct table *table, const zkt_value_t *row)
{
    struct bytes headers = {0};
    char age[FORMAT_TEXT_SIZE];
    int64_t changed_ms = row_int(row, "changed_ms", -1);
    int64_t age_ms = clock_wall_ms() - changed_ms;
    row_headers(zkt_value_get(row, "headers"), &headers);
    table_cell(table, row_text(row, "uid", ""));
    table_cell(table, row_text(row, "state", ""));
    table_cell(table, changed_ms >= 0 ? format_ms(age_ms > 0 ? age_ms : 0, age) : "-");
    table_cell(table, row_text(row, "identity", ""));
    table_cell(table, bytes_text(&headers));
    bytes_fini(&headers);
}

int
cmd_tasks(struct cli *cli, int argc, char **argv)
{
    static const struct table_column columns[] = {
        {"uid", false}, {"state", false}, {"age", true}, {"consumer", false}, {"headers", false}};
    struct list_options list;
    int code = EXIT_YES;
    if (!list_options_parse(cli, "tasks", argc, argv, true, &list, &code)) {
        return code;
    }
    struct bytes args = {0};
    row_arg(&args, "identity", list.identity);
    row_arg(&args, "state", list.state);
    row_arg(&args, "root", list.root);
    const struct row_view view = {
        .what = "tasks",
        .args = bytes_text(&args),
        .after = list.after,
        .rows_max = list.rows_max,
        .name_key = "uid",
        .columns = columns,
        .columns_count = sizeof(columns) / sizeof(columns[0]),
        .fill = fill_task,
    };
    code = rows_print(cli, &view, NULL);
    bytes_fini(&args);
    return code;
}
