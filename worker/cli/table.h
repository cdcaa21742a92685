// table.h: rows of text in columns, for people.
#pragma once
#include "base/bytes.h"

enum { TABLE_COLUMNS_MAX = 12 };

struct table_column {
    const char *title;
    bool is_number; // aligned to the right
};

struct table;

struct table *
table_new(const struct table_column *columns, size_t columns_count);
void
table_destroy(struct table **table_p);
// table_cell adds the next cell of the row under way; text is copied, control characters escaped.
void
table_cell(struct table *table, const char *text);
void
table_cell_int(struct table *table, int64_t number);
// table_render appends the titles and all rows. Columns are as wide as their widest cell; nothing
// is cut.
void
table_render(const struct table *table, struct bytes *out);
