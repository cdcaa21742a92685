#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "output.h"

struct table {
    const struct table_column *columns; // borrowed
    size_t columns_count;
    char **cells; // row by row, owned
    size_t cells_count;
    size_t cells_capacity;
};

struct table *
table_new(const struct table_column *columns, size_t columns_count)
{
    zkt_assert(columns_count > 0);
    zkt_assert(columns_count <= TABLE_COLUMNS_MAX);
    struct table *table = xcalloc(1, sizeof(*table));
    table->columns = columns;
    table->columns_count = columns_count;
    return table;
}

void
table_destroy(struct table **table_p)
{
    struct table *table = *table_p;
    *table_p = NULL;
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->cells_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void
table_cell(struct table *table, const char *text)
{
    if (table->cells_count == table->cells_capacity) {
        table->cells_capacity = table->cells_capacity == 0 ? 64 : table->cells_capacity * 2;
        table->cells = xrealloc(table->cells, table->cells_capacity * sizeof(char *));
    }
    struct bytes safe = {0};
    output_text(&safe, text);
    table->cells[table->cells_count++] = xstrdup(bytes_text(&safe));
    bytes_fini(&safe);
}

void
table_cell_int(struct table *table, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    table_cell(table, text);
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
static size_t
text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += (*text & 0xc0) != 0x80;
    }
    return width;
}

static void
pad(struct bytes *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes_append_byte(out, ' ');
    }
}

static void
render_row(const struct table *table, const char *const *cells, const size_t *widths,
           struct bytes *out)
{
    for (size_t i = 0; i < table->columns_count; i++) {
        size_t room = widths[i] - text_width(cells[i]);
        bool is_last = i + 1 == table->columns_count;
        if (i > 0) {
            bytes_append_text(out, "  ");
        }
        if (table->columns[i].is_number) {
            pad(out, room);
        }
        bytes_append_text(out, cells[i]);
        if (!table->columns[i].is_number && !is_last) {
            pad(out, room);
        }
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ') {
        out->len--;
    }
    bytes_append_byte(out, '\n');
}

void
table_render(const struct table *table, struct bytes *out)
{
    zkt_assert(table->cells_count % table->columns_count == 0);
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    const char *titles[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->columns_count; i++) {
        titles[i] = table->columns[i].title;
        widths[i] = text_width(titles[i]);
    }
    for (size_t i = 0; i < table->cells_count; i++) {
        size_t width = text_width(table->cells[i]);
        size_t column = i % table->columns_count;
        widths[column] = width > widths[column] ? width : widths[column];
    }
    render_row(table, titles, widths, out);
    for (size_t i = 0; i < table->cells_count; i += table->columns_count) {
        render_row(table, (const char *const *)&table->cells[i], widths, out);
    }
}
