// Pages of a query, and what finished and is still shown.
#include "seams/store_suite.h"

#include <string.h>

static size_t
page_all(struct bench *bench, struct store_page page)
{
    size_t rows_count = 0;
    char cursor[64] = "";
    do {
        size_t results_count = bench->results_count;
        page.cursor = span_of_text(cursor);
        store_page(bench->store, &page, 1);
        bench_run(bench);
        assert_int_equal(bench->results_count, results_count + 1);
        rows_count += bench->rows.len;
        memcpy(cursor, bench->next, sizeof cursor);
    } while (cursor[0] != '\0');
    return rows_count;
}

// I1, promise 9: pages show what exists exactly once; trees show finished ones too.
static void
pages_show_everything_once(void **state)
{
    struct bench *bench = *state;
    bench_close(bench);
    bench->options.finished_ttl_ms = 500 * 1000;
    bench->options.body_cache_bytes = 20000;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    uint32_t consumer = bench_consumer(bench, "a");
    struct task first = bench_task(bench, 0, 10);
    for (int64_t n = 0; n < 300; n++) {
        struct task task = bench_task(bench, n, 200);
        task.root = first.root;
        bench_submit(bench, &task, consumer);
    }
    store_want(bench->store, consumer, 3);
    bench_run(bench);
    bench_finish(bench, bench_take(bench));
    store_settle(bench->store, bench_take(bench), OUTCOME_CRASHED, span_of_text("sad"),
                 bench->now_ms);
    struct hold *held = bench_take(bench);
    struct uid started = held->uid;
    store_started(bench->store, held, bench->now_ms);
    bench_run(bench);
    struct store_page page = {.what = QUERY_TASKS, .rows_max = 37};
    assert_int_equal(page_all(bench, page), 299);
    page.has_state = true;
    page.state = TASK_CRASHED;
    assert_int_equal(page_all(bench, page), 1);
    page = (struct store_page){.what = QUERY_TREE, .root = first.root, .rows_max = 50};
    assert_int_equal(page_all(bench, page), 300);
    page = (struct store_page){.what = QUERY_TASK, .uid = started};
    assert_int_equal(page_all(bench, page), 1);
    assert_true(value_is_text(value_get(&bench->rows.items[0], "state"), "Started"));
    assert_non_null(value_get(&bench->rows.items[0], "payload"));
    bench_reopen(bench);
    page = (struct store_page){.what = QUERY_TREE, .root = first.root, .rows_max = 50};
    assert_int_equal(page_all(bench, page), 300);
    bench->now_ms += bench->options.finished_ttl_ms + 1;
    bench_run(bench);
    assert_int_equal(page_all(bench, page), 299);
}

static size_t
finished_of(struct bench *bench, const struct uid *root)
{
    struct store_page page = {.what = QUERY_TREE, .root = *root, .rows_max = 7};
    return page_all(bench, page);
}

// What finished stays for the tree as long as finished_ttl says, each analysis its own, over a
// restart, and is then gone from disk.
static void
finished_stays_for_its_time(void **state)
{
    enum { ROOTS_COUNT = 3, TASKS_COUNT = 60 };
    struct bench *bench = *state;
    bench_close(bench);
    bench->options.finished_ttl_ms = 500 * 1000;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    uint32_t consumer = bench_consumer(bench, "a");
    struct uid roots[ROOTS_COUNT];
    struct uid last = {0};
    for (int64_t n = 0; n < TASKS_COUNT; n++) {
        struct task task = bench_task(bench, n, 20);
        roots[n % ROOTS_COUNT] = n < ROOTS_COUNT ? task.root : roots[n % ROOTS_COUNT];
        task.root = roots[n % ROOTS_COUNT];
        bench_submit(bench, &task, consumer);
    }
    bench_run(bench);
    store_want(bench->store, consumer, TASKS_COUNT);
    bench_run(bench);
    for (int64_t n = 0; n < TASKS_COUNT; n++) {
        struct hold *hold = bench_take(bench);
        last = hold->uid;
        bench->now_ms += 1000;
        bench_finish(bench, hold);
    }
    bench_run(bench);
    bench->now_ms +=
        bench->options.finished_ttl_ms - TASKS_COUNT / 2 * 1000; // half of them are old
    bench_run(bench);
    for (int at = 0; at < ROOTS_COUNT; at++) {
        size_t expected = TASKS_COUNT / 2 / ROOTS_COUNT;
        size_t found = finished_of(bench, &roots[at]);
        assert_true(found == expected || found + 1 == expected);
    }
    struct store_page page = {.what = QUERY_TASK, .uid = last};
    assert_int_equal(page_all(bench, page), 1);
    bench_reopen(bench);
    assert_int_equal(page_all(bench, page), 1);
    assert_true(finished_of(bench, &roots[0]) > 0);
    bench->now_ms += TASKS_COUNT * 1000;
    bench_run(bench);
    for (int at = 0; at < ROOTS_COUNT; at++) {
        assert_int_equal(finished_of(bench, &roots[at]), 0);
    }
    assert_int_equal(page_all(bench, page), 0);
    if (bench->kind != BENCH_LMDB) {
        assert_int_equal(bench_records(bench, 'F'), 0);
    }
}

const struct store_case store_pages_cases[] = {
    STORE_CASE(pages_show_everything_once),
    STORE_CASE(finished_stays_for_its_time),
    {0},
};
