// No damaged byte ever reaches a worker as a task: whatever bit of whatever record is flipped, what
// is offered is one of the tasks that were submitted, and every one that is not is accounted for.
#include "seams/store_bench.h"

#include <stdlib.h>
#include <string.h>

enum { TASKS_COUNT = 12, ROUNDS_COUNT = 400 };

static uint64_t
next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void
fill(struct bench *bench)
{
    uint32_t consumers[2] = {bench_consumer(bench, "a"), bench_consumer(bench, "b")};
    for (int64_t n = 0; n < TASKS_COUNT; n++) {
        struct task task = bench_task(bench, n, n % 4 == 0 ? 3000 : 50);
        store_submit(bench->store, &task, consumers, n % 4 == 0 ? 2 : 1, bench->now_ms);
    }
    bench_run(bench);
}

static size_t
take_all(struct bench *bench)
{
    size_t taken_count = 0;
    for (uint32_t consumer = 1; consumer <= 2; consumer++) {
        store_want(bench->store, consumer, 2 * TASKS_COUNT);
        bench_run(bench);
        while (bench->offers_len > 0) {
            struct hold *hold = bench_take(bench);
            struct task expected =
                bench_task(bench, bench_n(bench, hold), bench_n(bench, hold) % 4 == 0 ? 3000 : 50);
            struct bytes body = {0};
            bench->options.codec->pack(&expected, &body);
            assert_true(span_equal(bytes_span(&body), hold->body));
            bytes_fini(&body);
            bench_finish(bench, hold);
            taken_count++;
        }
    }
    bench_run(bench);
    return taken_count;
}

static void
damage_reaches_nobody(void **state)
{
    uint64_t seed = 77;
    size_t refused_count = 0;
    size_t crashed_count = 0;
    (void)state;
    for (int round = 0; round < ROUNDS_COUNT; round++) {
        struct bench *bench = bench_new(BENCH_MEM_DELAYED);
        struct problem problem = {.code = ZKT_OK};
        fill(bench);
        size_t total_count = TASKS_COUNT + TASKS_COUNT / 4;
        bench_close(bench);
        size_t record = next_random(&seed) % mem_disk_len(bench->disk);
        while (!mem_disk_flip(bench->disk, record, next_random(&seed) % 4000)) {
        }
        enum zkt_err err = bench_open(bench, &problem);
        if (err != ZKT_OK) {
            assert_true(err == ZKT_STORE_CORRUPT || err == ZKT_STORE_VERSION);
            assert_true(strlen(problem.text) > 20); // names the record
            refused_count++;
        } else {
            size_t taken_count = take_all(bench);
            struct store_stats stats;
            store_stats(bench->store, &stats);
            size_t lost_count = bench->ended.len + mem_disk_count(bench->disk, 'Q');
            assert_int_equal(taken_count + lost_count, total_count);
            assert_int_equal(stats.damaged_count > 0, lost_count > 0);
            crashed_count += bench->ended.len;
        }
        bench_destroy(&bench);
    }
    assert_in_range(refused_count, 1, ROUNDS_COUNT - 1);
    assert_true(crashed_count > 0);
}

// Promise 11, design §4: after a failed commit nothing is released any more.
static void
failed_commit_is_final(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_MEM);
    uint32_t consumer = bench_consumer(bench, "a");
    struct task durable = bench_task(bench, 1, 10);
    bench_submit(bench, &durable, consumer);
    bench_run(bench);
    uint64_t batch = bench->durable.items[0].number;
    records_mem_faults(bench->records)->fails_next_commit = true;
    struct task lost = bench_task(bench, 2, 10);
    bench_submit(bench, &lost, consumer);
    store_want(bench->store, consumer, 5);
    bench_run(bench);
    bench_turns(bench);
    assert_int_equal(bench->failed.len, 1);
    assert_string_equal(bench->failed.items[0].reason, "the disk refuses to write");
    assert_int_equal(bench->durable.items[0].number, batch);
    size_t offers_len = bench->offers_len;
    bench_turns(bench);
    assert_int_equal(bench->offers_len, offers_len);
    bench_crash(bench);
    store_want(bench->store, consumer, 5);
    bench->failed.len = 0;
    bench_run(bench);
    assert_int_equal(bench->offers_len, 1); // restart is the rollback
    assert_int_equal(bench_n(bench, bench_take(bench)), 1);
    bench_destroy(&bench);
}

static void
full_disk_is_told(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_MEM);
    assert_int_equal(store_pressure(bench->store), STORE_OK);
    records_mem_faults(bench->records)->is_full = true;
    assert_int_equal(store_pressure(bench->store), STORE_DISK);
    records_mem_faults(bench->records)->is_full = false;
    assert_int_equal(store_pressure(bench->store), STORE_OK);
    bench_destroy(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damage_reaches_nobody),
                                       cmocka_unit_test(failed_commit_is_final),
                                       cmocka_unit_test(full_disk_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
