// Consumers that are dropped, with everything that waits for them.
#include "seams/store_suite.h"

#include "base/limits.h"

// Promise 4, G4: a dropped consumer goes with everything, whatever its state, and analyses end.
static void
drop_takes_everything(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    uint32_t other = bench_consumer(bench, "b");
    for (int64_t n = 0; n < 3000; n++) {
        struct task task = bench_task(bench, n, 10);
        bench_submit(bench, &task, n == 10 ? other : consumer);
    }
    store_want(bench->store, consumer, 3);
    bench_run(bench);
    store_settle(bench->store, bench_take(bench), OUTCOME_CRASHED, span_of_text("e"),
                 bench->now_ms);
    store_return(bench->store, bench_take(bench), false, bench->now_ms + 1000000, bench->now_ms);
    bench_run(bench);
    store_drop_consumer(bench->store, consumer, bench->now_ms);
    store_turn(bench->store, bench->now_ms); // one slice
    store_commit(bench->store, bench->now_ms);
    while (store_is_committing(bench->store)) {
        store_poll(bench->store);
    }
    assert_int_equal(bench->dropped.len, 1);
    assert_int_equal(bench->gone.len, 0);
    bench_crash(bench);
    uint32_t found;
    assert_false(store_find_consumer(bench->store, span_of_text("a"), &found));
    store_want(bench->store, consumer, 10);
    bench_run(bench);
    assert_int_equal(bench->offers_len, 0);
    assert_int_equal(bench->gone.len, 1);
    assert_int_equal(bench->gone.items[0].number, consumer);
    assert_int_equal(bench_stats(bench).tasks_count, 1);
    assert_int_equal(bench_stats(bench).analyses_count, 1);
    assert_int_equal(bench_stats(bench).intents_count, 0);
    assert_true(bench_consumer(bench, "a") > other); // numbers are never used again
}

// A task of many objects is many records: a slice counts them, whether the task is in memory or
// read.
static void
drops_count_objects(void **state)
{
    enum { TASKS_COUNT = 10, OBJECTS_COUNT = 400 }; // together below EVENTS_MAX
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    static struct resource resources[OBJECTS_COUNT];
    for (int64_t n = 0; n < TASKS_COUNT; n++) {
        struct task task = bench_task(bench, n, 10);
        for (uint64_t at = 0; at < OBJECTS_COUNT; at++) {
            resources[at] = (struct resource){.name = span_of_text("f"), .size = 1};
            bench_uid(&resources[at].uid, 100000 + (uint64_t)n * OBJECTS_COUNT + at);
        }
        task.resources = resources;
        task.resources_count = OBJECTS_COUNT;
        bench_submit(bench, &task, consumer);
        bench_run(bench);
        if (n == TASKS_COUNT / 2) {
            bench_reopen(bench);
        }
    }
    store_drop_consumer(bench->store, consumer, bench->now_ms);
    uint64_t deletes_count = 0;
    size_t told_count = 0;
    bool is_poll = false;
    for (; bench->gone.len == 0 || told_count < TASKS_COUNT * OBJECTS_COUNT; is_poll = !is_poll) {
        if (is_poll) {
            store_poll(bench->store);
        } else {
            store_turn(bench->store, bench->now_ms);
            if (!store_is_committing(bench->store)) {
                store_commit(bench->store, bench->now_ms);
            }
        }
        uint64_t now_count = bench_stats(bench).deletes_count;
        assert_true(now_count <= deletes_count + LIMIT_INTENT_SLICE + OBJECTS_COUNT);
        deletes_count = now_count;
        assert_true(bench->unreferenced.len <= told_count + LIMIT_INTENT_SLICE);
        told_count = bench->unreferenced.len;
    }
    assert_int_equal(deletes_count, TASKS_COUNT * OBJECTS_COUNT);
}

const struct store_case store_drops_cases[] = {
    STORE_CASE(drop_takes_everything),
    STORE_CASE(drops_count_objects),
    {0},
};
