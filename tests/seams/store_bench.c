#include "seams/store_bench.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/local/store_check.h"
#include "wire/task_body.h"

static struct bench_event *
event(struct bench_events *events)
{
    assert_true(events->len < EVENTS_MAX);
    struct bench_event *item = &events->items[events->len++];
    *item = (struct bench_event){0};
    return item;
}

static void
on_offer(void *arg, struct hold *hold)
{
    struct bench *bench = arg;
    assert_true(bench->offers_len < OFFERS_MAX);
    bench->offers[bench->offers_len++] = hold;
}

static void
on_hold_dropped(void *arg, struct hold *hold)
{
    struct bench *bench = arg;
    event(&bench->dropped)->uid = hold->uid;
}

static void
on_release(void *arg, const struct task *task, uint64_t release)
{
    struct bench *bench = arg;
    bench->released_count++;
    store_release_matched(bench->store, release, task, &bench->release_to, bench->release_to != 0,
                          bench->now_ms);
}

static void
on_analysis_done(void *arg, const struct uid *root, const struct analysis_counts *counts)
{
    struct bench *bench = arg;
    struct bench_event *done = event(&bench->done);
    done->uid = *root;
    done->counts = *counts;
}

static void
on_object_unreferenced(void *arg, const struct uid *object)
{
    struct bench *bench = arg;
    event(&bench->unreferenced)->uid = *object;
}

static void
on_task_ended(void *arg, uint32_t consumer, const struct uid *uid, const struct uid *root,
              enum outcome outcome, const char *reason)
{
    struct bench *bench = arg;
    struct bench_event *ended = event(&bench->ended);
    (void)root;
    (void)outcome;
    ended->uid = *uid;
    ended->number = consumer;
    snprintf(ended->reason, sizeof ended->reason, "%s", reason);
}

static void
on_consumer_gone(void *arg, uint32_t consumer)
{
    struct bench *bench = arg;
    event(&bench->gone)->number = consumer;
}

static void
on_result(void *arg, uint64_t request, enum zkt_err code, const struct value *rows,
          struct span next)
{
    struct bench *bench = arg;
    (void)request;
    assert_int_equal(code, ZKT_OK);
    bench->results_count++;
    bench->rows = value_copy(&bench->arena, rows);
    assert_true(next.len < sizeof bench->next);
    memcpy(bench->next, next.data, next.len);
    bench->next[next.len] = '\0';
}

static void
on_resumed(void *arg, uint64_t request, struct hold *hold, bool taken)
{
    struct bench *bench = arg;
    (void)request;
    bench->resumed = hold;
    bench->is_taken = taken;
    bench->resumed_count++;
}

static void
on_retried(void *arg, uint64_t request, const struct uid *retried)
{
    struct bench *bench = arg;
    (void)request;
    bench->retried = retried != NULL ? *retried : (struct uid){0};
    bench->retried_count++;
}

static void
on_durable(void *arg, uint64_t batch)
{
    struct bench *bench = arg;
    bench->durable.len = 0; // only the last one matters
    event(&bench->durable)->number = batch;
}

static void
on_failed(void *arg, uint64_t batch, const char *reason)
{
    struct bench *bench = arg;
    struct bench_event *failed = event(&bench->failed);
    failed->number = batch;
    snprintf(failed->reason, sizeof failed->reason, "%s", reason);
}

struct bench *
bench_new(enum bench_kind kind)
{
    struct bench *bench = xcalloc(1, sizeof *bench);
    bench->kind = kind;
    bench->now_ms = 1700000000000;
    arena_init(&bench->arena);
    bench->options =
        (struct store_options){.codec = &wire_task_codec,
                               .callbacks = {.arg = bench,
                                             .on_offer = on_offer,
                                             .on_hold_dropped = on_hold_dropped,
                                             .on_release = on_release,
                                             .on_analysis_done = on_analysis_done,
                                             .on_object_unreferenced = on_object_unreferenced,
                                             .on_task_ended = on_task_ended,
                                             .on_consumer_gone = on_consumer_gone,
                                             .on_result = on_result,
                                             .on_resumed = on_resumed,
                                             .on_retried = on_retried,
                                             .on_durable = on_durable,
                                             .on_failed = on_failed},
                               .crashed_ttl_ms = 1000 * 1000,
                               .upload_grace_ms = 100 * 1000};
    bench_uid(&bench->options.store_id, 4711);
    if (kind == BENCH_LMDB) {
        snprintf(bench->path, sizeof bench->path, "/tmp/zkt-store-XXXXXX");
        assert_non_null(mkdtemp(bench->path));
    } else {
        bench->disk = mem_disk_new();
    }
    struct problem problem = {.code = ZKT_OK};
    if (bench_open(bench, &problem) != ZKT_OK) {
        fail_msg("%s", problem.text);
    }
    return bench;
}

static void
remove_files(const char *path)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
    char name[128];
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        snprintf(name, sizeof name, "%s/%s", path, names[index]);
        unlink(name);
    }
    rmdir(path);
}

void
bench_destroy(struct bench **bench_p)
{
    struct bench *bench = *bench_p;
    bench_close(bench);
    if (bench->kind == BENCH_LMDB) {
        uint64_t damages_count = 0;
        struct problem problem = {.code = ZKT_OK};
        assert_int_equal(store_check(bench->path, stderr, &damages_count, &problem), ZKT_OK);
        assert_int_equal(damages_count, 0); // whatever was done to it
        remove_files(bench->path);
    }
    mem_disk_destroy(&bench->disk);
    arena_fini(&bench->arena);
    free(bench);
    *bench_p = NULL;
}

enum zkt_err
bench_open(struct bench *bench, struct problem *problem)
{
    bench->options.now_ms = bench->now_ms;
    bench->options.path = bench->kind == BENCH_LMDB ? bench->path : NULL;
    if (bench->kind != BENCH_LMDB) {
        bench->records = mem_disk_open(bench->disk);
        if (bench->kind == BENCH_MEM_DELAYED) {
            struct mem_faults *faults = records_mem_faults(bench->records);
            faults->seed = 88172645463325252;
            faults->commit_polls_max = 3;
            faults->fetch_polls_max = 7;
        }
        bench->options.records = bench->records;
    }
    bench->offers_len = 0;
    return store_open(&bench->options, &bench->store, problem);
}

void
bench_close(struct bench *bench)
{
    store_close(&bench->store);
}

void
bench_reopen(struct bench *bench)
{
    struct problem problem = {.code = ZKT_OK};
    bench_close(bench);
    assert_int_equal(bench_open(bench, &problem), ZKT_OK);
}

void
bench_crash(struct bench *bench)
{
    if (bench->kind != BENCH_LMDB) {
        records_mem_faults(bench->records)->is_crashing = true;
    }
    bench_reopen(bench);
}

static void
turn(struct bench *bench)
{
    store_turn(bench->store, bench->now_ms);
    int fd = store_fd(bench->store);
    if (fd != -1) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        poll(&poll_fd, 1, store_is_committing(bench->store) ? 5000 : 20);
    }
    store_poll(bench->store);
}

void
bench_turns(struct bench *bench)
{
    int count = bench->kind == BENCH_LMDB ? 3 : 60;
    for (int index = 0; index < count; index++) {
        turn(bench);
    }
}

void
bench_run(struct bench *bench)
{
    int idle_count = bench->kind == BENCH_LMDB ? 8 : 30;
    for (int idle = 0; idle < idle_count && bench->failed.len == 0; idle++) {
        bool has_more = store_turn(bench->store, bench->now_ms);
        struct store_stats stats;
        store_stats(bench->store, &stats);
        bool is_busy = has_more || stats.fetches_count > 0 || store_is_committing(bench->store);
        if (!store_is_committing(bench->store) && !store_batch_is_empty(bench->store)) {
            store_commit(bench->store, bench->now_ms);
            is_busy = true;
        }
        turn(bench);
        idle = is_busy ? -1 : idle;
    }
}

uint32_t
bench_consumer(struct bench *bench, const char *identity)
{
    struct bind bind = {
        .identity = span_of_text(identity), .filters = value_list(), .persistent = true};
    bind.info = bind.version = bind.service_version = value_null();
    uint32_t number;
    uint64_t generation;
    store_put_consumer(bench->store, &bind, bench->now_ms, &number, &generation);
    return number;
}

void
bench_uid(struct uid *uid, uint64_t number)
{
    put_u64(uid->bytes, number * 0x9e3779b97f4a7c15);
    put_u64(uid->bytes + 8, number);
    uid->bytes[6] = (uint8_t)((uid->bytes[6] & 0x0f) | 0x40);
    uid->bytes[8] = (uint8_t)((uid->bytes[8] & 0x3f) | 0x80);
}

struct task
bench_task(struct bench *bench, int64_t n, size_t payload_bytes)
{
    struct task task = {.priority = PRIORITY_NORMAL, .headers = value_map()};
    bench_uid(&task.uid, (uint64_t)n + 1000000);
    task.root = task.uid;
    task.header_keys = value_list();
    value_put(&bench->arena, &task.headers, "n", value_int(n));
    struct bytes payload = {0};
    static const uint8_t head[] = {0x81, 0xa1, 'p', 0xc6}; // a map of one bin of 32-bit length
    bytes_append(&payload, head, sizeof head);
    put_u32(bytes_reserve(&payload, 4), (uint32_t)payload_bytes);
    payload.len += 4;
    memset(bytes_reserve(&payload, payload_bytes), 'x', payload_bytes);
    payload.len += payload_bytes;
    task.payload = span_of(arena_copy(&bench->arena, payload.data, payload.len), payload.len);
    bytes_fini(&payload);
    task.payload_persistent = span_of("\x80", 1);
    return task;
}

void
bench_submit(struct bench *bench, const struct task *task, uint32_t consumer)
{
    store_submit(bench->store, task, &consumer, 1, bench->now_ms);
}

int64_t
bench_n(struct bench *bench, const struct hold *hold)
{
    struct task task = {0};
    assert_true(wire_task_codec.unpack(hold->body, &bench->arena, &task));
    const struct value *n = value_get(&task.headers, "n");
    assert_non_null(n);
    return n->integer;
}

struct hold *
bench_take(struct bench *bench)
{
    assert_true(bench->offers_len > 0);
    struct hold *hold = bench->offers[0];
    bench->offers_len--;
    memmove(bench->offers, bench->offers + 1, bench->offers_len * sizeof *bench->offers);
    return hold;
}

void
bench_finish(struct bench *bench, struct hold *hold)
{
    store_settle(bench->store, hold, OUTCOME_FINISHED, (struct span){0}, bench->now_ms);
}

struct store_stats
bench_stats(const struct bench *bench)
{
    struct store_stats stats;
    store_stats(bench->store, &stats);
    return stats;
}

size_t
bench_records(struct bench *bench, uint8_t kind)
{
    return mem_disk_count(bench->disk, kind);
}
