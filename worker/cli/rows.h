// rows.h: answers of the broker as rows: asked for page by page, printed as a table, JSON lines or
// names.
#pragma once
#include "cli.h"
#include "table.h"

struct row_view {
    const char *what; // of the query
    const char *args; // members of its JSON object, "\"root\": \"…\"", or ""
    const char *after;
    uint64_t rows_max;    // 0: all
    const char *name_key; // -o name prints this member
    const struct table_column *columns;
    size_t columns_count;
    void (*fill)(struct table *table, const zkt_value_t *row); // one cell for each column
};

// rows_print asks and prints. More than rows_max: the cursor goes to stderr. Returns an exit code;
// *rows_count, if not NULL, tells how many there were.
int
rows_print(struct cli *cli, const struct row_view *view, size_t *rows_count);
// rows_each calls visit for every row (row is borrowed for the call); visit returns an exit code,
// EXIT_YES to go on.
int
rows_each(struct cli *cli, const struct row_view *view,
          int (*visit)(void *arg, const zkt_value_t *row), void *arg);
// rows_one asks for the one row that this member of the arguments names: "uid" of a task,
// "identity" of a consumer. The row is borrowed from *answer, which the caller destroys. None:
// NOT_FOUND is reported, for a consumer with the nearest name that there is.
int
rows_one(struct cli *cli, const char *what, const char *key, const char *name, zkt_value_t **answer,
         const zkt_value_t **row);

// row_text, row_int: a member, or the fallback.
const char *
row_text(const zkt_value_t *row, const char *key, const char *fallback);
int64_t
row_int(const zkt_value_t *row, const char *key, int64_t fallback);
// row_headers appends "type=sample kind=raw", as the words that would make them, without origin and
// receiver.
void
row_headers(const zkt_value_t *headers, struct bytes *out);
// row_arg appends `"key": "text"` to the members of a query's arguments; NULL text: nothing.
void
row_arg(struct bytes *args, const char *key, const char *text);
// row_uid answers the part of UID or {root}:UID behind the last ':'.
const char *
row_uid(const char *text);
