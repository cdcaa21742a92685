#include "wire/match_jsonl.h"

#include "base/arena.h"
#include "model/filter.h"
#include "wire/json.h"

static enum zkt_err
check_line(const struct value *document, struct problem *problem)
{
    const struct value *headers = value_get(document, "headers");
    if (document->type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "the line: must be a map, not a %s",
                           value_type_name(document));
    }
    if (value_get(document, "filters") == NULL) {
        return problem_set(problem, ZKT_INVALID, "filters: missing");
    }
    if (headers == NULL || headers->type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "headers: must be a map, not %s",
                           headers == NULL ? "missing" : value_type_name(headers));
    }
    return ZKT_OK;
}

static enum zkt_err
match_line(struct span line, struct arena *arena, bool *matches, struct problem *problem)
{
    struct value document;
    struct filter *filter = NULL;
    enum zkt_err err = json_parse(line, arena, &document, problem);
    if (err == ZKT_OK) {
        err = check_line(&document, problem);
    }
    if (err == ZKT_OK) {
        err = filter_compile(value_get(&document, "filters"), &filter, problem);
    }
    if (err == ZKT_OK) {
        struct filter_outcome outcome = {0};
        *matches = filter_match(filter, value_get(&document, "headers"), &outcome);
    }
    filter_destroy(&filter);
    return err;
}

void
match_jsonl_line(struct span line, struct bytes *out)
{
    struct arena arena;
    arena_init(&arena);
    struct problem problem;
    bool matches = false;
    if (match_line(line, &arena, &matches, &problem) == ZKT_OK) {
        bytes_printf(out, "{\"match\": %s}\n", matches ? "true" : "false");
    } else {
        struct value text = value_text(&arena, problem.text);
        bytes_append_text(out, "{\"error\": ");
        json_write(&text, out, JSON_DEFAULT);
        bytes_append_text(out, "}\n");
    }
    arena_fini(&arena);
}
