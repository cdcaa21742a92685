#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/problem.h"
#include "output.h"
#include "words.h"

enum { PAGE_ROWS = 500, CONSUMERS_SEEN_MAX = 10000 };

const char *
row_text(const zkt_value_t *row, const char *key, const char *fallback)
{
    return zkt_value_string(zkt_value_get(row, key), fallback);
}

int64_t
row_int(const zkt_value_t *row, const char *key, int64_t fallback)
{
    return zkt_value_int(zkt_value_get(row, key), fallback);
}

void
row_headers(const zkt_value_t *headers, struct bytes *out)
{
    bool is_first = true;
    for (size_t i = 0; i < zkt_value_len(headers); i++) {
        const char *key = zkt_value_key(headers, i);
        if (strcmp(key, "origin") == 0 || strcmp(key, "receiver") == 0) {
            continue;
        }
        bytes_append_text(out, is_first ? "" : " ");
        is_first = false;
        const zkt_value_t *value = zkt_value_at(headers, i);
        if (zkt_value_type(value) == ZKT_STRING) {
            bytes_printf(out, "%s=%s", key, zkt_value_string(value, ""));
        } else {
            char *json = zkt_value_json(value);
            bytes_printf(out, "%s:=%s", key, json);
            free(json);
        }
    }
}

void
row_arg(struct bytes *args, const char *key, const char *text)
{
    if (text != NULL) {
        bytes_append_text(args, args->len > 0 ? ", " : "");
        json_quote(args, key);
        bytes_append_text(args, ": ");
        json_quote(args, text);
    }
}

const char *
row_uid(const char *text)
{
    const char *colon = strrchr(text, ':');
    return colon != NULL ? colon + 1 : text;
}

static int
ask(struct cli *cli, const struct row_view *view, const char *after, uint64_t limit,
    zkt_value_t **answer)
{
    struct bytes json = {0};
    bytes_printf(&json, "{\"limit\": %" PRIu64, limit);
    if (view->args != NULL && view->args[0] != '\0') {
        bytes_printf(&json, ", %s", view->args);
    }
    if (after != NULL) {
        bytes_append_text(&json, ", \"after\": ");
        json_quote(&json, after);
    }
    bytes_append_text(&json, "}");
    enum zkt_err err = zkt_client_query(cli->client, view->what, bytes_text(&json), answer);
    bytes_fini(&json);
    return err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
}

int
rows_each(struct cli *cli, const struct row_view *view,
          int (*visit)(void *arg, const zkt_value_t *row), void *arg)
{
    int code = cli_connect(cli);
    struct bytes cursor = {0};
    const char *after = view->after;
    uint64_t seen_count = 0;
    while (code == EXIT_YES) {
        uint64_t left = view->rows_max == 0 ? PAGE_ROWS : view->rows_max - seen_count;
        zkt_value_t *answer = NULL;
        code = ask(cli, view, after, left < PAGE_ROWS ? left : PAGE_ROWS, &answer);
        const zkt_value_t *rows = zkt_value_get(answer, "rows");
        for (size_t i = 0; code == EXIT_YES && i < zkt_value_len(rows); i++) {
            code = visit(arg, zkt_value_at(rows, i));
            seen_count++;
        }
        const char *next = row_text(answer, "next", NULL);
        bytes_clear(&cursor);
        bytes_append_text(&cursor, next != NULL ? next : "");
        bool is_last = next == NULL || next[0] == '\0';
        zkt_value_destroy(&answer);
        if (is_last || code != EXIT_YES) {
            break;
        }
        after = bytes_text(&cursor);
        if (view->rows_max != 0 && seen_count >= view->rows_max) {
            cli_note(cli, "more: --after %s", after);
            break;
        }
    }
    bytes_fini(&cursor);
    return code;
}

struct printing {
    const struct cli *cli;
    const struct row_view *view;
    struct table *table;
    size_t rows_count;
};

static int
print_row(void *arg, const zkt_value_t *row)
{
    struct printing *printing = arg;
    printing->rows_count++;
    if (printing->cli->output == OUTPUT_JSON) {
        char *json = zkt_value_json(row);
        output_line(json, false);
        free(json);
    } else if (printing->cli->output == OUTPUT_NAME) {
        output_line(row_text(row, printing->view->name_key, ""), false);
    } else {
        printing->view->fill(printing->table, row);
    }
    return EXIT_YES;
}

int
rows_print(struct cli *cli, const struct row_view *view, size_t *rows_count)
{
    struct printing printing = {
        .cli = cli,
        .view = view,
        .table = table_new(view->columns, view->columns_count),
    };
    int code = rows_each(cli, view, print_row, &printing);
    if (code == EXIT_YES && cli->output == OUTPUT_TABLE && printing.rows_count > 0) {
        struct bytes text = {0};
        table_render(printing.table, &text);
        fputs(bytes_text(&text), stdout);
        bytes_fini(&text);
    }
    table_destroy(&printing.table);
    if (rows_count != NULL) {
        *rows_count = printing.rows_count;
    }
    return code;
}

struct names {
    char **texts; // owned
    size_t count;
};

static int
collect_name(void *arg, const zkt_value_t *row)
{
    struct names *names = arg;
    names->texts = xrealloc(names->texts, (names->count + 1) * sizeof(char *));
    names->texts[names->count++] = xstrdup(row_text(row, "identity", ""));
    return EXIT_YES;
}

// NOT_FOUND with the nearest of the consumers that there are.
static int
no_consumer(struct cli *cli, const char *identity)
{
    const struct row_view view = {.what = "consumers", .args = "", .rows_max = CONSUMERS_SEEN_MAX};
    struct cli quiet = *cli;
    struct names names = {0};
    quiet.is_quiet = true;
    int code = rows_each(&quiet, &view, collect_name, &names);
    const char *near =
        code == EXIT_YES ? nearest(identity, (const char *const *)names.texts, names.count) : NULL;
    if (near != NULL) {
        code = cli_fail(ZKT_NOT_FOUND, "no consumer \"%s\". Did you mean \"%s\"?", identity, near);
    } else {
        code = cli_fail(ZKT_NOT_FOUND, "no consumer \"%s\"", identity);
    }
    for (size_t i = 0; i < names.count; i++) {
        free(names.texts[i]);
    }
    free(names.texts);
    return code;
}

int
rows_one(struct cli *cli, const char *what, const char *key, const char *name, zkt_value_t **answer,
         const zkt_value_t **row)
{
    *answer = NULL;
    *row = NULL;
    int code = cli_connect(cli);
    if (code != EXIT_YES) {
        return code;
    }
    struct bytes json = {0};
    if (key != NULL) {
        row_arg(&json, key, name);
    }
    char *args = xasprintf("{%s}", bytes_text(&json));
    enum zkt_err err = zkt_client_query(cli->client, what, args, answer);
    *row = zkt_value_at(zkt_value_get(*answer, "rows"), 0);
    if (err != ZKT_OK && err != ZKT_NOT_FOUND) {
        code = cli_client_fail(cli, err);
    } else if (*row == NULL) {
        code = strcmp(what, "consumer") == 0 ? no_consumer(cli, name)
                                             : cli_fail(ZKT_NOT_FOUND, "no %s %s", what, name);
    }
    free(args);
    bytes_fini(&json);
    return code;
}
