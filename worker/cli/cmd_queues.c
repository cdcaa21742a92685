// `zkarton queues`: what waits at each priority, how many of these were given back for later, what
// runs, what crashed.
#include "base/clock.h"
#include "cli.h"
#include "list_options.h"
#include "output.h"
#include "rows.h"

static void
fill_queue(struct table *table, const zkt_value_t *row)
{
    static const char *const numbers[] = {"high", "normal", "low", "delayed", "running", "crashed"};
    char age[FORMAT_TEXT_SIZE];
    int64_t oldest_ms = row_int(row, "oldest_ms", -1); // a time of the wall clock
    int64_t age_ms = clock_wall_ms() - oldest_ms;
    table_cell(table, row_text(row, "identity", ""));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        table_cell_int(table, row_int(row, numbers[i], 0));
    }
    table_cell(table, oldest_ms >= 0 ? format_ms(age_ms > 0 ? age_ms : 0, age) : "-");
}

int
cmd_queues(struct cli *cli, int argc, char **argv)
{
    static const struct table_column columns[] = {
        {"identity", false}, {"high", true},    {"normal", true},  {"low", true},
        {"delayed", true},   {"running", true}, {"crashed", true}, {"oldest", true}};
    struct list_options list;
    int code = EXIT_YES;
    if (!list_options_parse(cli, "queues", argc, argv, false, &list, &code)) {
        return code;
    }
    struct bytes args = {0};
    row_arg(&args, "identity", list.identity);
    const struct row_view view = {
        .what = "queues",
        .args = bytes_text(&args),
        .after = list.after,
        .rows_max = list.rows_max,
        .name_key = "identity",
        .columns = columns,
        .columns_count = sizeof(columns) / sizeof(columns[0]),
        .fill = fill_queue,
    };
    code = rows_print(cli, &view, NULL);
    bytes_fini(&args);
    return code;
}
