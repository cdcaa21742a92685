// The index over equality terms: who matches is always a candidate; candidates come ascending, each
// once; and the cost of a task does not grow with the consumers that want other values.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "model/filter.h"

enum { ROUNDS = 300, FILTERS_MAX = 40, HEADERS_PER_ROUND = 30 };

static uint32_t
draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

// A value out of a few that are equal to one another across types.
static struct value
draw_scalar(uint64_t *seed, struct arena *arena)
{
    static const char *const texts[] = {
        "1", "1.0", "True", "x", "None", "[1]", "18446744073709551616", ""};
    struct value bigint;
    switch (draw(seed, 8)) {
    case 0:
        return value_int(draw(seed, 2));
    case 1:
        return value_double(draw(seed, 2));
    case 2:
        return value_bool(draw(seed, 2) == 1);
    case 3:
        return draw(seed, 2) == 0 ? value_null() : value_double(-0.0);
    case 4:
        assert_true(value_bigint(arena, "18446744073709551616", 20, &bigint));
        return draw(seed, 2) == 0 ? bigint : value_double(18446744073709551616.0);
    case 5:
        return value_double(draw(seed, 2) == 0 ? 0.5 : 0.0 / 0.0);
    default:
        return value_text(arena, texts[draw(seed, 8)]);
    }
}

static struct value
draw_header(uint64_t *seed, struct arena *arena)
{
    if (draw(seed, 4) != 0) {
        return draw_scalar(seed, arena);
    }
    struct value list = value_list();
    for (uint32_t items_count = draw(seed, 3); items_count > 0; items_count--) {
        value_append(arena, &list, draw_scalar(seed, arena));
    }
    return list;
}

static struct value
draw_condition(uint64_t *seed, struct arena *arena)
{
    static const char *const operators[] = {"$in", "$or", "$nin", "$not", "$ne", "$eq"};
    uint32_t kind = draw(seed, 10);
    if (kind >= 6) {
        return draw_scalar(seed, arena);
    }
    struct value operand = draw_scalar(seed, arena);
    if (kind <= 2) {
        operand = value_list();
        for (uint32_t items_count = draw(seed, 3); items_count > 0; items_count--) {
            value_append(arena, &operand, draw_scalar(seed, arena));
        }
    }
    struct value condition = value_map();
    value_put(arena, &condition, operators[kind], operand);
    return condition;
}

static const char *const names[] = {"a", "b", "c", "a.b"};

static struct filter *
draw_filter(uint64_t *seed, struct arena *arena)
{
    struct value filters = value_list();
    for (uint32_t rules_count = draw(seed, 3); rules_count > 0; rules_count--) {
        struct value rule = value_map();
        for (uint32_t clauses_count = draw(seed, 3); clauses_count > 0; clauses_count--) {
            value_put(arena, &rule, names[draw(seed, 4)], draw_condition(seed, arena));
        }
        value_append(arena, &filters, rule);
    }
    struct filter *filter;
    assert_int_equal(filter_compile(&filters, &filter, NULL), ZKT_OK);
    return filter;
}

struct found {
    uint32_t *consumers;
    size_t capacity;
    size_t count;
};

static bool
is_found(const struct found *found, uint32_t consumer)
{
    for (size_t index = 0; index < found->count; index++) {
        if (found->consumers[index] == consumer) {
            return true;
        }
    }
    return false;
}

static size_t
check_headers(struct filter_index *index, struct filter *const *filters,
              const struct value *headers, struct found *found)
{
    found->count = filter_index_candidates(index, headers, &found->consumers, &found->capacity);
    for (size_t place = 1; place < found->count; place++) {
        assert_true(found->consumers[place - 1] < found->consumers[place]);
    }
    size_t matches_count = 0;
    for (uint32_t consumer = 0; consumer < FILTERS_MAX; consumer++) {
        struct filter_outcome outcome = {0};
        bool candidate = is_found(found, consumer);
        if (filters[consumer] == NULL) {
            assert_false(candidate);
        } else if (filter_match(filters[consumer], headers, &outcome)) {
            matches_count++;
            assert_true(candidate);
        }
    }
    return matches_count;
}

static void
test_who_matches_is_a_candidate(void **state) // F4, F5
{
    (void)state;
    size_t matches_count = 0;
    struct found found = {0};
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t seed = round;
        struct arena arena;
        arena_init(&arena);
        struct filter *filters[FILTERS_MAX] = {0};
        struct filter_index *index = filter_index_new();
        for (int turn = 0; turn < HEADERS_PER_ROUND; turn++) {
            for (int changes = 0; changes < 4; changes++) { // binds come, are replaced, and go
                uint32_t consumer = draw(&seed, FILTERS_MAX);
                struct filter *old = filters[consumer];
                filters[consumer] = draw(&seed, 5) != 0 ? draw_filter(&seed, &arena) : NULL;
                if (filters[consumer] != NULL) {
                    filter_index_add(index, consumer, filters[consumer]);
                } else {
                    filter_index_remove(index, consumer);
                }
                filter_destroy(&old);
            }
            struct value headers = value_map();
            for (uint32_t headers_count = draw(&seed, 4); headers_count > 0; headers_count--) {
                value_put(&arena, &headers, names[draw(&seed, 3)], draw_header(&seed, &arena));
            }
            matches_count += check_headers(index, filters, &headers, &found);
        }
        filter_index_destroy(&index);
        for (uint32_t consumer = 0; consumer < FILTERS_MAX; consumer++) {
            filter_destroy(&filters[consumer]);
        }
        arena_fini(&arena);
    }
    free(found.consumers);
    assert_true(matches_count > 10000); // the test would show nothing if little matched
}

// Nanoseconds of a task among binds that each want a kind of their own.
static int64_t
cost_ns(uint32_t binds_count, size_t *candidates_max)
{
    struct arena arena;
    arena_init(&arena);
    struct filter **filters = xcalloc(binds_count, sizeof *filters);
    struct filter_index *index = filter_index_new();
    for (uint32_t consumer = 0; consumer < binds_count; consumer++) {
        struct value rules = value_list();
        struct value rule = value_map();
        char kind[24];
        snprintf(kind, sizeof kind, "kind-%u", consumer);
        value_put(&arena, &rule, "type", value_text(&arena, "sample"));
        value_put(&arena, &rule, "kind", value_text(&arena, kind));
        value_append(&arena, &rules, rule);
        assert_int_equal(filter_compile(&rules, &filters[consumer], NULL), ZKT_OK);
        filter_index_add(index, consumer, filters[consumer]);
    }
    struct value headers = value_map();
    value_put(&arena, &headers, "type", value_text(&arena, "sample"));
    value_put(&arena, &headers, "kind", value_text(&arena, "kind-7"));
    uint32_t *found = NULL;
    size_t capacity = 0;
    enum { TASKS = 20000 };
    int64_t start_ns = clock_monotonic_ns();
    for (int task = 0; task < TASKS; task++) {
        size_t count = filter_index_candidates(index, &headers, &found, &capacity);
        *candidates_max = count > *candidates_max ? count : *candidates_max;
        size_t matches_count = 0;
        for (size_t place = 0; place < count; place++) {
            struct filter_outcome outcome = {0};
            matches_count += filter_match(filters[found[place]], &headers, &outcome);
        }
        assert_int_equal(matches_count, 1);
    }
    int64_t took_ns = (clock_monotonic_ns() - start_ns) / TASKS;
    filter_index_destroy(&index);
    for (uint32_t consumer = 0; consumer < binds_count; consumer++) {
        filter_destroy(&filters[consumer]);
    }
    free(filters);
    free(found);
    arena_fini(&arena);
    return took_ns;
}

static void
test_cost_of_many_binds(void **state)
{
    (void)state;
    static const uint32_t counts[] = {10, 1000, 10000};
    for (size_t index = 0; index < 3; index++) {
        size_t candidates_max = 0;
        int64_t took_ns = cost_ns(counts[index], &candidates_max);
        print_message("%5u binds: %lld ns a task\n", counts[index], (long long)took_ns);
        assert_true(candidates_max <=
                    2); // what is counted, not timed: no machine is too slow for it
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_matches_is_a_candidate),
        cmocka_unit_test(test_cost_of_many_binds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
