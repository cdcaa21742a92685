// Queues: what is offered, in which order, and what settling a task does.
#include "seams/store_suite.h"

// S7, S8, promise 7: offered, finished, gone at once; the analysis ends once, with its counts.
static void
finished_goes_at_once(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct task task = bench_task(bench, 1, 10);
    bench_submit(bench, &task, consumer);
    store_want(bench->store, consumer, 5);
    bench_run(bench);
    assert_int_equal(bench->offers_len, 1);
    struct hold *hold = bench_take(bench);
    assert_int_equal(bench_n(bench, hold), 1);
    assert_true(uid_equal(&hold->orig, &task.uid)); // S6
    assert_true(uid_equal(&hold->root, &task.root));
    assert_false(uid_equal(&hold->uid, &task.uid));
    assert_true(store_analysis_is_live(bench->store, &task.root));
    bench_finish(bench, hold);
    assert_int_equal(bench->done.len, 0);
    bench_run(bench);
    assert_int_equal(bench->done.len, 1);
    assert_true(uid_equal(&bench->done.items[0].uid, &task.root));
    assert_int_equal(bench->done.items[0].counts.finished_count, 1);
    struct analysis_counts counts;
    assert_true(store_analysis_done(bench->store, &task.root, &counts));
    assert_false(store_analysis_is_live(bench->store, &task.root));
    bench_reopen(bench);
    assert_int_equal(bench_stats(bench).tasks_count, 0);
}

// Only what is durable is offered.
static void
offers_wait_for_durability(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    bench_run(bench);
    struct task task = bench_task(bench, 1, 10);
    bench_submit(bench, &task, consumer);
    store_want(bench->store, consumer, 1);
    bench_turns(bench);
    assert_int_equal(bench->offers_len, 0);
    bench_run(bench);
    assert_int_equal(bench->offers_len, 1);
}

static void
takes_in_order(struct bench *bench, uint32_t consumer, int64_t first, int64_t count)
{
    store_want(bench->store, consumer, (uint32_t)count);
    bench_run(bench);
    assert_int_equal(bench->offers_len, count);
    for (int64_t n = first; n < first + count; n++) {
        struct hold *hold = bench_take(bench);
        assert_int_equal(bench_n(bench, hold), n);
        bench_finish(bench, hold);
    }
}

// S20, S21, P3, promise 6: strict priority, first in first out inside, want is kept.
static void
priority_then_order(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    static const enum priority priorities[] = {PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH};
    for (int64_t n = 0; n < 30; n++) {
        struct task task = bench_task(bench, n, 10);
        task.priority = priorities[n / 10];
        bench_submit(bench, &task, consumer);
    }
    bench_run(bench);
    takes_in_order(bench, consumer, 20, 4);
    takes_in_order(bench, consumer, 24, 6);
    takes_in_order(bench, consumer, 10, 10);
    takes_in_order(bench, consumer, 0, 10);
    bench_run(bench);
    assert_int_equal(bench->done.len, 30);
}

// Order holds when bodies must be read, whatever order they come in; nothing is read twice by need.
static void
order_holds_without_cache(void **state)
{
    struct bench *bench = *state;
    bench_close(bench);
    bench->options.body_cache_bytes = 1;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    uint32_t consumer = bench_consumer(bench, "a");
    for (int64_t n = 0; n < 700; n++) {
        struct task task = bench_task(bench, n, 100);
        bench_submit(bench, &task, consumer);
    }
    bench_run(bench);
    assert_true(bench_stats(bench).body_cache_bytes <= 200);
    takes_in_order(bench, consumer, 0, 3);
    takes_in_order(bench, consumer, 3, 400);
    bench_run(bench);
    bench_reopen(bench);
    takes_in_order(bench, consumer, 403, 297);
    bench_run(bench);
    assert_int_equal(bench_stats(bench).tasks_count, 0);
}

// Returned tasks go first; a lost attempt is durable; a delay is kept (promise 2, 6).
static void
returned_goes_first(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    for (int64_t n = 0; n < 6; n++) {
        struct task task = bench_task(bench, n, 10);
        bench_submit(bench, &task, consumer);
    }
    store_want(bench->store, consumer, 3);
    bench_run(bench);
    struct hold *first = bench_take(bench);
    struct hold *second = bench_take(bench);
    struct hold *third = bench_take(bench);
    uint64_t delivery = first->delivery;
    store_return(bench->store, second, false, 0, bench->now_ms);
    store_return(bench->store, first, true, 0, bench->now_ms);
    store_return(bench->store, third, false, bench->now_ms + 500, bench->now_ms);
    store_want(bench->store, consumer, 3);
    bench_run(bench);
    assert_int_equal(bench->offers_len, 3);
    struct consumer_record record;
    assert_true(store_consumer(bench->store, consumer, &record));
    assert_int_equal(record.delayed_count, 1);
    assert_int_equal(record.waiting_counts[PRIORITY_NORMAL], 3); // the delayed one waits, too
    struct hold *again = bench_take(bench);
    assert_int_equal(bench_n(bench, again), 0);
    assert_int_equal(again->attempt, 1);
    assert_true(again->delivery > delivery);
    assert_int_equal(bench_n(bench, bench_take(bench)), 1);
    assert_int_equal(bench_n(bench, bench_take(bench)), 3);
    bench->now_ms += 500;
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    assert_true(store_consumer(bench->store, consumer, &record));
    assert_int_equal(record.delayed_count, 0);
    assert_int_equal(record.waiting_counts[PRIORITY_NORMAL], 2);
    assert_int_equal(bench_n(bench, bench_take(bench)), 2);
    bench_crash(bench);
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    assert_int_equal(bench_take(bench)->attempt, 1);
}

// S4, S6: one routed task for each consumer; nobody: the analysis ends at once. Shared bodies go
// with their last copy.
static void
forks_share_a_large_body(void **state)
{
    struct bench *bench = *state;
    uint32_t consumers[3] = {bench_consumer(bench, "a"), bench_consumer(bench, "b"),
                             bench_consumer(bench, "c")};
    struct task task = bench_task(bench, 7, 3000);
    store_submit(bench->store, &task, consumers, 3, bench->now_ms);
    struct task alone = bench_task(bench, 8, 10);
    store_submit(bench->store, &alone, NULL, 0, bench->now_ms);
    bench_run(bench);
    assert_int_equal(bench->done.len, 1);
    assert_true(uid_equal(&bench->done.items[0].uid, &alone.root));
    if (bench->disk != NULL) {
        assert_int_equal(bench_records(bench, 'B'), 1);
    }
    bench_reopen(bench);
    for (int index = 0; index < 3; index++) {
        store_want(bench->store, consumers[index], 1);
        bench_run(bench);
        struct hold *hold = bench_take(bench);
        assert_int_equal(hold->consumer, consumers[index]);
        assert_int_equal(bench_n(bench, hold), 7);
        bench_finish(bench, hold);
    }
    bench_run(bench);
    assert_int_equal(bench->done.len, 2);
    assert_int_equal(bench->done.items[1].counts.finished_count, 3);
    if (bench->disk != NULL) {
        assert_int_equal(bench_records(bench, 'B'), 0);
        assert_int_equal(bench_records(bench, 'T'), 0);
    }
}

// S8, S12, I4: crashed tasks are kept, retried as new ones, and go after their time.
static void
crashed_is_kept_and_retried(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct task task = bench_task(bench, 5, 10);
    bench_submit(bench, &task, consumer);
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    struct hold *hold = bench_take(bench);
    struct uid old = hold->uid;
    assert_int_equal(store_retry(bench->store, &old, 1, bench->now_ms), ZKT_IN_USE);
    store_settle(bench->store, hold, OUTCOME_CRASHED, span_of_text("why"), bench->now_ms);
    bench_run(bench);
    assert_int_equal(bench->done.len, 1);
    bench_reopen(bench);
    uint32_t of;
    uint64_t delivery;
    assert_int_equal(store_find_task(bench->store, &old, &of, &delivery), PLACE_CRASHED);
    assert_int_equal(store_retry(bench->store, &old, 1, bench->now_ms), ZKT_OK);
    assert_int_equal(store_retry(bench->store, &old, 2, bench->now_ms), ZKT_NOT_FOUND); // once
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    assert_int_equal(bench->retried_count, 1);
    struct uid fresh = bench->retried;
    assert_int_equal(store_find_task(bench->store, &old, &of, &delivery), PLACE_UNKNOWN);
    hold = bench_take(bench);
    assert_true(uid_equal(&hold->uid, &fresh));
    assert_true(uid_equal(&hold->retry_of, &old));
    assert_true(uid_equal(&hold->orig, &task.uid));
    store_settle(bench->store, hold, OUTCOME_CRASHED, span_of_text("again"), bench->now_ms);
    bench_run(bench);
    assert_int_equal(bench->done.len, 2); // again after a retry
    bench->now_ms += bench->options.crashed_ttl_ms + 1000;
    bench_run(bench);
    bench_reopen(bench);
    assert_int_equal(bench_stats(bench).tasks_count, 0);
    assert_int_equal(store_retry(bench->store, &fresh, 3, bench->now_ms), ZKT_NOT_FOUND);
}

// Soft and hard limits by tasks.
static void
pressure_follows_tasks(void **state)
{
    struct bench *bench = *state;
    bench_close(bench);
    bench->options.tasks_max = 8;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    uint32_t consumer = bench_consumer(bench, "a");
    enum store_pressure seen[11];
    for (int64_t n = 0; n <= 10; n++) {
        seen[n] = store_pressure(bench->store);
        struct task task = bench_task(bench, n, 10);
        bench_submit(bench, &task, consumer);
    }
    assert_int_equal(seen[7], STORE_OK);
    assert_int_equal(seen[8], STORE_SOFT);
    assert_int_equal(seen[9], STORE_SOFT);
    assert_int_equal(seen[10], STORE_HARD);
}

const struct store_case store_queues_cases[] = {
    STORE_CASE(finished_goes_at_once),
    STORE_CASE(offers_wait_for_durability),
    STORE_CASE(priority_then_order),
    STORE_CASE(order_holds_without_cache),
    STORE_CASE(returned_goes_first),
    STORE_CASE(forks_share_a_large_body),
    STORE_CASE(crashed_is_kept_and_retried),
    STORE_CASE(pressure_follows_tasks),
    {0},
};
