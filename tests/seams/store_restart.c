// What a restart remembers, and what it leaves in doubt.
#include "seams/store_suite.h"

// Dispatch marks: only what may have been offered is in doubt after a restart.
static void
doubt_ends_at_the_mark(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct uid instance;
    bench_uid(&instance, 99);
    store_put_instance(bench->store, &instance, consumer, bench->now_ms);
    for (int64_t n = 0; n < 2000; n++) {
        struct task task = bench_task(bench, n, 10);
        bench_submit(bench, &task, consumer);
    }
    store_want(bench->store, consumer, 10);
    bench_run(bench);
    struct hold *held = bench_take(bench);
    struct uid uid = held->uid;
    uint64_t delivery = held->delivery;
    struct uid settled = bench_take(bench)->uid;
    bench_crash(bench);
    assert_int_equal(store_missing_instances(bench->store, consumer), 1);
    size_t suspect_count = store_suspect_count(bench->store, consumer);
    assert_in_range(suspect_count, 10, 600);
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    assert_int_equal(bench_n(bench, bench_take(bench)), (int64_t)suspect_count); // above the mark
    store_resume(bench->store, consumer, &uid, delivery, true, 1, bench->now_ms);
    bench_run(bench);
    assert_non_null(bench->resumed);
    assert_int_equal(bench->resumed->delivery, delivery);
    assert_int_equal(bench_n(bench, bench->resumed), 0);
    bench_finish(bench, bench->resumed);
    store_resume(bench->store, consumer, &uid, delivery, true, 2, bench->now_ms);
    bench_run(bench);
    assert_null(bench->resumed);
    assert_false(bench->is_taken); // gone
    store_settle_suspect(bench->store, &settled, OUTCOME_FINISHED, (struct span){0}, bench->now_ms);
    uint32_t of;
    assert_int_equal(store_find_task(bench->store, &settled, &of, &delivery), PLACE_UNKNOWN);
    store_put_instance(bench->store, &instance, consumer, bench->now_ms);
    assert_int_equal(store_missing_instances(bench->store, consumer), 0);
    store_end_grace(bench->store, consumer, bench->now_ms);
    assert_int_equal(store_suspect_count(bench->store, consumer), 0);
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    struct hold *next = bench_take(bench);
    assert_int_equal(bench_n(bench, next), 2);
    assert_int_equal(next->attempt, 0); // uncounted
}

// SUBMIT in order and once: numbers and refusals are remembered over a restart.
static void
instances_are_remembered(void **state)
{
    struct bench *bench = *state;
    struct uid instance;
    bench_uid(&instance, 5);
    struct instance_record record;
    assert_false(store_instance(bench->store, &instance, &record));
    store_note_error(bench->store, &instance, 41, 3, ZKT_TOO_LARGE);
    store_note_number(bench->store, &instance, 41, bench->now_ms);
    bench_run(bench);
    bench_crash(bench);
    assert_true(store_instance(bench->store, &instance, &record));
    assert_int_equal(record.last_number, 41);
    enum zkt_err code;
    assert_true(store_remembered_error(bench->store, &instance, 41, 3, &code));
    assert_int_equal(code, ZKT_TOO_LARGE);
    assert_false(store_remembered_error(bench->store, &instance, 41, 2, &code));
    bench->now_ms += (int64_t)25 * 3600 * 1000;
    bench_run(bench);
    assert_false(store_instance(bench->store, &instance, &record)); // after 24 h
}

// More records than a restart reads ahead at once: none is lost, doubled or out of order.
static void
long_backlog_survives_a_restart(void **state)
{
    enum { TASKS_COUNT = 3000 };
    struct bench *bench = *state;
    uint32_t consumers[] = {bench_consumer(bench, "a"), bench_consumer(bench, "b")};
    for (int64_t n = 0; n < TASKS_COUNT; n++) {
        struct task task = bench_task(bench, n, 20);
        task.priority = (enum priority)(n % PRIORITIES_COUNT);
        store_submit(bench->store, &task, consumers, 1 + (n % 2 == 0), bench->now_ms);
    }
    bench_run(bench);
    bench_reopen(bench);
    struct store_stats stats;
    store_stats(bench->store, &stats);
    assert_int_equal(stats.tasks_count, TASKS_COUNT + TASKS_COUNT / 2);
    assert_int_equal(stats.analyses_count, TASKS_COUNT);
    store_want(bench->store, consumers[0], TASKS_COUNT);
    bench_run(bench);
    assert_int_equal(bench->offers_len, TASKS_COUNT);
    int64_t expected = 0;
    for (size_t index = 0; index < bench->offers_len; index++) {
        assert_int_equal(bench_n(bench, bench->offers[index]), expected);
        expected += PRIORITIES_COUNT;
        expected = expected < TASKS_COUNT ? expected : expected % PRIORITIES_COUNT + 1;
    }
    while (bench->offers_len > 0) {
        bench_finish(bench, bench_take(bench));
    }
    bench_run(bench);
    bench_reopen(bench);
    store_stats(bench->store, &stats);
    assert_int_equal(stats.tasks_count, TASKS_COUNT / 2);
}

const struct store_case store_restart_cases[] = {
    STORE_CASE(doubt_ends_at_the_mark),
    STORE_CASE(instances_are_remembered),
    STORE_CASE(long_backlog_survives_a_restart),
    {0},
};
