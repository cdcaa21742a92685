// Filters: every example of parity F1-F10 and S28-S33 and Karton's own tests, refusals that name
// the clause, limits, explanations.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "filter_cases.h"
#include "model/filter.h"
#include "wire/json.h"

struct asked {
    struct arena arena;
    struct filter *filter;
    struct problem problem;
    struct value headers;
};

static enum zkt_err
ask(struct asked *asked, const char *filters, const char *headers)
{
    *asked = (struct asked){0};
    arena_init(&asked->arena);
    struct value value;
    struct problem problem;
    assert_int_equal(json_parse(span_of_text(filters), &asked->arena, &value, &problem), ZKT_OK);
    assert_int_equal(json_parse(span_of_text(headers), &asked->arena, &asked->headers, &problem),
                     ZKT_OK);
    return filter_compile(&value, &asked->filter, &asked->problem);
}

static void
done(struct asked *asked)
{
    filter_destroy(&asked->filter);
    arena_fini(&asked->arena);
}

static void
test_cases(void **state)
{
    (void)state;
    for (size_t index = 0; index < sizeof filter_cases / sizeof *filter_cases; index++) {
        const struct filter_case *row = &filter_cases[index];
        struct asked asked;
        struct filter_outcome outcome = {0};
        enum zkt_err err = ask(&asked, row->filters, row->headers);
        char answer = err != ZKT_OK                                          ? 'E'
                      : filter_match(asked.filter, &asked.headers, &outcome) ? 'T'
                                                                             : 'F';
        if (answer != row->expected) {
            fail_msg("%s: %s on %s gives %c, not %c", row->id, row->filters, row->headers, answer,
                     row->expected);
        }
        done(&asked);
    }
}

static void
assert_refused(const char *filters, const char *text)
{
    struct asked asked;
    assert_int_equal(ask(&asked, filters, "{}"), ZKT_FILTER_INVALID);
    assert_int_equal(asked.problem.code, ZKT_FILTER_INVALID);
    if (strstr(asked.problem.text, text) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", filters, asked.problem.text, text);
    }
    assert_null(asked.filter);
    done(&asked);
}

static void
test_refusals_name_the_clause(void **state) // F8
{
    (void)state;
    assert_refused("[{\"platform\":{\"$nto\":\"linux\"}}]",
                   "filters[0].platform: unknown operator \"$nto\". Did you mean \"$not\"?");
    assert_refused("[{},{\"a\":{\"$or\":[1,{\"$regex\":\"[\"}]}}]", "filters[1].a.$or[1].$regex: ");
    assert_refused("[{\"a\":{\"$type\":\"strng\"}}]", "Did you mean \"string\"?");
    assert_refused("[{\"a\":{\"$mod\":[0,1]}}]", "filters[0].a.$mod: ");
    assert_refused("[{\"a\":{\"$in\":\"x\"}}]", "filters[0].a.$in: must be a list");
    assert_refused("{\"a\":1}", "filters: must be a list");
    assert_refused("[[]]", "filters[0]: must be a map");
}

static void
test_runtime_errors_are_counted(void **state) // F8
{
    (void)state;
    struct asked asked;
    struct filter_outcome outcome = {0};
    assert_int_equal(ask(&asked, "[{\"v\":{\"$mod\":[2,0]}},{}]", "{}"), ZKT_OK);
    assert_false(filter_match(asked.filter, &asked.headers, &outcome));
    assert_int_equal(outcome.errors_count, 1);
    assert_int_equal(outcome.limits_count, 0);
    done(&asked);
}

// Patterns that take a backtracking matcher for ever, on text of the given letters and length.
static void
test_hostile_patterns_are_stopped(void **state) // F10
{
    (void)state;
    static const struct {
        const char *pattern;
        char letter;
        size_t len;
    } rows[] = {
        {"^(a+)+$", 'a', 40},
        {"(a|aa)+$", 'a', 1000},
        {"(?:a|b|c)*d", 'a', 100000},
        {"(.*)(.*)(.*)(.*)[xy]$", 'a', 500},
        {"a*a*a*a*a*b", 'a', 3000},
        {"(x+x+)+y", 'x', 60},
        {"(?=(a+))a*b\\\\1", 'a', 20000},
        {".*.*=.*", 'z', 50000},
        {"(a?){60}a{60}b", 'a', 60},
        {"([a-z]+)*\\\\d", 'q', 200000},
    };
    for (size_t index = 0; index < sizeof rows / sizeof *rows; index++) {
        struct bytes filters = {0};
        struct bytes headers = {0};
        bytes_printf(&filters, "[{\"v\":{\"$regex\":\"%s\"}}]", rows[index].pattern);
        bytes_append_text(&headers, "{\"v\":\"");
        memset(bytes_reserve(&headers, rows[index].len), rows[index].letter, rows[index].len);
        headers.len += rows[index].len;
        bytes_append_text(&headers, "!\"}");
        struct asked asked;
        assert_int_equal(ask(&asked, bytes_text(&filters), bytes_text(&headers)), ZKT_OK);
        struct filter_outcome outcome = {0};
        int64_t start_ns = clock_monotonic_ns();
        assert_false(filter_match(asked.filter, &asked.headers, &outcome));
        int64_t took_us = (clock_monotonic_ns() - start_ns) / 1000;
        if (took_us > 50000) { // 5 ms on a machine of its own, and not sanitized
            fail_msg("%s took %lld us", rows[index].pattern, (long long)took_us);
        }
        print_message("%-24s %6lld us, %s\n", rows[index].pattern, (long long)took_us,
                      outcome.limits_count > 0 ? "stopped" : "no match");
        done(&asked);
        bytes_fini(&filters);
        bytes_fini(&headers);
    }
}

static void
assert_explains(const char *filters, const char *headers, const char *text)
{
    struct asked asked;
    struct bytes out = {0};
    assert_int_equal(ask(&asked, filters, headers), ZKT_OK);
    filter_explain(asked.filter, &asked.headers, &out);
    assert_string_equal(bytes_text(&out), text);
    bytes_fini(&out);
    done(&asked);
}

static void
test_explanations(void **state)
{
    (void)state;
    assert_explains("[{\"type\":\"sample\"},{\"kind\":\"x\"}]", "{\"type\":\"other\"}",
                    "filters[0].type: wants \"sample\", the task has \"other\"\n"
                    "filters[1].kind: wants \"x\", the task has no such header\n");
    assert_explains("[]", "{}", "filters: no rule, matches nothing\n");
    assert_explains(
        "[{\"p\":\"!linux\"},{}]", "{\"p\":\"linux\"}",
        "filters[0].p: refuses the task whatever other rules say: not \"linux\", the task has \"linux\"\n");
}

static void
test_limits_of_size(void **state)
{
    (void)state;
    struct bytes filters = {0};
    bytes_append_text(&filters, "[{}");
    for (int index = 0; index < LIMIT_FILTER_RULES; index++) {
        bytes_append_text(&filters, ",{}");
    }
    bytes_append_text(&filters, "]");
    assert_refused(bytes_text(&filters), "filters: at most 256 rules");
    bytes_fini(&filters);
    struct filter *filter;
    struct arena arena;
    arena_init(&arena);
    struct value rules = value_list();
    struct value rule = value_map();
    char *pattern = xmalloc(LIMIT_REGEX_BYTES + 2);
    memset(pattern, 'a', LIMIT_REGEX_BYTES + 1);
    pattern[LIMIT_REGEX_BYTES + 1] = '\0';
    struct value condition = value_map();
    value_put(&arena, &condition, "$regex", value_text(&arena, pattern));
    value_put(&arena, &rule, "v", condition);
    value_append(&arena, &rules, rule);
    assert_int_equal(filter_compile(&rules, &filter, NULL), ZKT_FILTER_INVALID);
    free(pattern);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refusals_name_the_clause),
        cmocka_unit_test(test_runtime_errors_are_counted),
        cmocka_unit_test(test_hostile_patterns_are_stopped),
        cmocka_unit_test(test_explanations),
        cmocka_unit_test(test_limits_of_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
