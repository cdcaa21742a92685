// `zkarton match`: asks the broker who would take a task with these headers; with --jsonl it
// answers by itself, without a broker, one line for each line of stdin.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"
#include "wire/match_jsonl.h"
#include "words.h"

enum { MATCH_CONSUMER = 1, MATCH_JSONL };

static int
match_lines(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    struct bytes out = {0};
    while ((len = getline(&line, &capacity, stdin)) != -1) {
        bytes_clear(&out);
        match_jsonl_line(span_of(line, (size_t)len), &out);
        while (out.len > 0 && out.data[out.len - 1] == '\n') {
            out.len--;
        }
        output_line(bytes_text(&out), false);
    }
    bytes_fini(&out);
    free(line);
    return EXIT_YES;
}

struct matching {
    struct cli *cli;
    struct table *table;
    size_t takers_count;
};

// One line for each rule becomes one cell.
static void
put_reasons(struct table *table, const char *why)
{
    struct bytes text = {0};
    while (*why != '\0') {
        size_t len = strcspn(why, "\n");
        if (len > 0) {
            bytes_append_text(&text, text.len > 0 ? "; " : "");
            bytes_append(&text, why, len);
        }
        why += len + (why[len] == '\n');
    }
    table_cell(table, bytes_text(&text));
    bytes_fini(&text);
}

static int
visit(void *arg, const zkt_value_t *row)
{
    struct matching *matching = arg;
    bool is_match = zkt_value_bool(zkt_value_get(row, "match"), false);
    matching->takers_count += is_match;
    if (matching->cli->output == OUTPUT_JSON) {
        char *json = zkt_value_json(row);
        output_line(json, false);
        free(json);
    } else if (matching->cli->output == OUTPUT_NAME) {
        if (is_match) {
            output_line(row_text(row, "identity", ""), false);
        }
    } else {
        table_cell(matching->table, row_text(row, "identity", ""));
        table_cell(matching->table, is_match ? "yes" : "no");
        put_reasons(matching->table, row_text(row, "why", ""));
    }
    return EXIT_YES;
}

static int
ask(struct cli *cli, const char *headers, const char *consumer)
{
    static const struct table_column columns[] = {
        {"identity", false}, {"takes", false}, {"why not", false}};
    struct bytes args = {0};
    row_arg(&args, "identity", consumer);
    bytes_printf(&args, "%s\"headers\": {%s}", args.len > 0 ? ", " : "", headers);
    struct matching matching = {.cli = cli, .table = table_new(columns, 3)};
    const struct row_view view = {.what = "match", .args = bytes_text(&args)};
    int code = rows_each(cli, &view, visit, &matching);
    if (code == EXIT_YES && cli->output == OUTPUT_TABLE) {
        struct bytes text = {0};
        table_render(matching.table, &text);
        fputs(bytes_text(&text), stdout);
        bytes_fini(&text);
    }
    if (code == EXIT_YES && matching.takers_count == 0) {
        code = EXIT_NO;
    }
    table_destroy(&matching.table);
    bytes_fini(&args);
    return code;
}

static int
add_header(struct bytes *headers, const char *text)
{
    struct word word;
    struct problem problem;
    if (word_parse(text, &word, &problem) != ZKT_OK) {
        return cli_usage("match", "%s", problem.text);
    }
    bytes_append_text(headers, headers->len > 0 ? ", " : "");
    word_append_json(&word, headers);
    word_fini(&word);
    return EXIT_YES;
}

int
cmd_match(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"consumer", 0, MATCH_CONSUMER, true},
                                            {"jsonl", 0, MATCH_JSONL, false}};
    struct option_parser parser = {
        .cli = cli,
        .command = "match",
        .options = options,
        .options_count = 2,
        .argc = argc,
        .argv = argv,
    };
    struct bytes headers = {0};
    const char *consumer = NULL;
    bool is_jsonl = false;
    int code = EXIT_YES;
    int id = OPTION_END;
    while (code == EXIT_YES && (id = option_next(&parser)) > OPTION_WRONG && id != OPTION_END) {
        if (id == MATCH_CONSUMER) {
            consumer = parser.value;
        } else if (id == MATCH_JSONL) {
            is_jsonl = true;
        } else {
            code = add_header(&headers, parser.value);
        }
    }
    if (id == OPTION_HELP || id == OPTION_WRONG) {
        code = id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
    } else if (code == EXIT_YES && is_jsonl && (headers.len > 0 || consumer != NULL)) {
        code = cli_usage("match", "--jsonl takes filters and headers from stdin.");
    } else if (code == EXIT_YES && is_jsonl) {
        code = match_lines();
    } else if (code == EXIT_YES && headers.len == 0) {
        code = cli_usage("match", "which headers? Write type=sample.");
    } else if (code == EXIT_YES) {
        code = ask(cli, bytes_text(&headers), consumer);
    }
    bytes_fini(&headers);
    return code;
}
