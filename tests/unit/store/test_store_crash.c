// The store on a real disk: killed at random, full, locked, foreign.
#include "base/clock.h"
#include "seams/store_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS_COUNT = 12, TASKS_PER_BATCH = 20 };

// What the child had been told is durable, in memory that outlives it.
struct told {
    volatile uint64_t submitted_count; // tasks 0 … submitted_count - 1 are durable
    volatile uint64_t finished_count;  // and the first so many of them ended
};

static void
wait_durable(struct bench *bench)
{
    store_commit(bench->store, bench->now_ms);
    while (store_is_committing(bench->store)) {
        struct pollfd fd = {.fd = store_fd(bench->store), .events = POLLIN};
        poll(&fd, 1, 1000);
        store_poll(bench->store);
    }
}

// Submits and finishes in turns for ever; ended by SIGKILL.
static void
work(struct bench *bench, struct told *told, int ready_fd)
{
    uint32_t consumer = bench_consumer(bench, "a");
    int64_t next = (int64_t)told->submitted_count;
    uint64_t finished_count = told->finished_count;
    for (;;) {
        int64_t end = next + TASKS_PER_BATCH;
        for (; next < end; next++) {
            struct task task = bench_task(bench, next, (size_t)(next % 500));
            bench_submit(bench, &task, consumer);
        }
        store_want(bench->store, consumer, TASKS_PER_BATCH / 2);
        store_turn(bench->store, bench->now_ms);
        while (bench->offers_len > 0) {
            bench_finish(bench, bench_take(bench));
            finished_count++;
        }
        wait_durable(bench);
        told->submitted_count = (uint64_t)next;
        told->finished_count = finished_count;
        arena_clear(&bench->arena);
        if (next > 200 && ready_fd != -1) {
            close(ready_fd);
            ready_fd = -1;
        }
    }
}

static void
killed_at_random_loses_nothing(void **state)
{
    (void)state;
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < ROUNDS_COUNT; round++) {
        struct bench *bench = bench_new(BENCH_LMDB);
        bench_close(bench);
        *told = (struct told){0};
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct problem problem = {.code = ZKT_OK};
            close(ready[0]);
            if (bench_open(bench, &problem) != ZKT_OK) {
                _exit(1);
            }
            work(bench, told, ready[1]);
        }
        close(ready[1]);
        struct pollfd fd = {.fd = ready[0], .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 20000), 1); // it is under way
        uint64_t seen = told->submitted_count;
        while (told->submitted_count < seen + (uint64_t)round * 13) {
            assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        }
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        close(ready[0]);

        uint64_t submitted_count = told->submitted_count;
        uint64_t finished_count = told->finished_count;
        struct problem problem = {.code = ZKT_OK};
        assert_int_equal(bench_open(bench, &problem), ZKT_OK);
        // The batch under way may have become durable without a word of it.
        struct store_stats stats;
        store_stats(bench->store, &stats);
        uint32_t consumer;
        assert_true(store_find_consumer(bench->store, span_of_text("a"), &consumer));
        store_want(bench->store, consumer, OFFERS_MAX);
        int64_t end_ms = clock_monotonic_ms() + 20000; // bodies come from the fetcher's thread
        do {
            bench_run(bench);
        } while (bench->offers_len < stats.tasks_count && clock_monotonic_ms() < end_ms);
        assert_in_range(stats.tasks_count, 1, OFFERS_MAX);
        assert_int_equal(bench->offers_len, stats.tasks_count);
        int64_t first = bench_n(bench, bench->offers[0]);
        int64_t last = bench_n(bench, bench->offers[bench->offers_len - 1]);
        assert_in_range(first, finished_count, finished_count + TASKS_PER_BATCH / 2);
        assert_in_range(last, submitted_count - 1, submitted_count - 1 + TASKS_PER_BATCH);
        assert_int_equal((size_t)(last - first + 1), bench->offers_len); // none twice, none missing
        bench_destroy(&bench);
    }
    munmap(told, sizeof *told);
}

static void
two_brokers_are_one_too_many(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_LMDB);
    struct store *second = NULL;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(store_open(&bench->options, &second, &problem), ZKT_STORE_LOCKED);
    assert_non_null(strstr(problem.text, bench->path));
    bench_destroy(&bench);
}

static void
garbage_is_refused(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_LMDB);
    char file_path[128];
    bench_close(bench);
    snprintf(file_path, sizeof file_path, "%s/data.mdb", bench->path);
    assert_int_equal(truncate(file_path, 0), 0);
    int fd = open(file_path, O_WRONLY);
    static const char garbage[8192] = "this is no store";
    assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
    close(fd);
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(bench_open(bench, &problem), ZKT_STORE_CORRUPT);
    unlink(file_path);
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    bench_run(bench);
    bench_destroy(&bench);
}

// Promise 11: no room: intake closes, what is there can end, and it opens again by itself.
static void
full_disk_closes_intake(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_LMDB);
    struct problem problem = {.code = ZKT_OK};
    bench_close(bench);
    if (mount("none", bench->path, "tmpfs", 0, "size=64m") != 0) {
        assert_int_equal(bench_open(bench, &problem), ZKT_OK);
        bench_destroy(&bench);
        skip(); // only root may mount
    }
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    uint32_t consumer = bench_consumer(bench, "a");
    int64_t submitted_count = 0;
    while (store_pressure(bench->store) == STORE_OK && submitted_count < 4000) {
        for (int count = 0; count < 20; count++) {
            struct task task = bench_task(bench, submitted_count++, 60000);
            bench_submit(bench, &task, consumer);
        }
        wait_durable(bench);
        arena_clear(&bench->arena);
    }
    assert_int_equal(store_pressure(bench->store), STORE_DISK);
    assert_int_equal(bench->failed.len, 0);
    for (int64_t n = 0; n < submitted_count;) {
        store_want(bench->store, consumer, 40);
        bench_run(bench);
        for (; bench->offers_len > 0; n++) {
            struct hold *hold = bench_take(bench);
            assert_int_equal(bench_n(bench, hold), n);
            bench_finish(bench, hold);
        }
        arena_clear(&bench->arena);
    }
    bench_run(bench);
    assert_int_equal(bench->failed.len, 0);
    assert_int_equal(store_pressure(bench->store), STORE_OK); // there is room in the file again
    struct store_stats stats;
    store_stats(bench->store, &stats);
    assert_int_equal(stats.tasks_count, 0);
    bench_close(bench);
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    bench_close(bench);
    assert_int_equal(umount(bench->path), 0);
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
    bench_run(bench);
    bench_destroy(&bench);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_random_loses_nothing),
                                       cmocka_unit_test(two_brokers_are_one_too_many),
                                       cmocka_unit_test(garbage_is_refused),
                                       cmocka_unit_test(full_disk_closes_intake)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
