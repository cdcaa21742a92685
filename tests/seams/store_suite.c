// One suite over every store: the promises of store.h, over records in memory, over the same ones
// delayed and reordered as a remote store's would be, and over LMDB.
#include "seams/store_bench.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

static int
setup(void **state)
{
    *state = bench_new(*(enum bench_kind *)*state);
    return 0;
}

static int
teardown(void **state)
{
    bench_destroy((struct bench **)state);
    return 0;
}

static struct store_stats
stats_of(const struct bench *bench)
{
    struct store_stats stats;
    store_stats(bench->store, &stats);
    return stats;
}

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
    assert_int_equal(stats_of(bench).tasks_count, 0);
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
    assert_true(stats_of(bench).body_cache_bytes <= 200);
    takes_in_order(bench, consumer, 0, 3);
    takes_in_order(bench, consumer, 3, 400);
    bench_run(bench);
    bench_reopen(bench);
    takes_in_order(bench, consumer, 403, 297);
    bench_run(bench);
    assert_int_equal(stats_of(bench).tasks_count, 0);
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
    struct hold *again = bench_take(bench);
    assert_int_equal(bench_n(bench, again), 0);
    assert_int_equal(again->attempt, 1);
    assert_true(again->delivery > delivery);
    assert_int_equal(bench_n(bench, bench_take(bench)), 1);
    assert_int_equal(bench_n(bench, bench_take(bench)), 3);
    bench->now_ms += 500;
    store_want(bench->store, consumer, 1);
    bench_run(bench);
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

static struct hold *
parent_with_children(struct bench *bench, uint32_t consumer, int64_t children_count)
{
    struct task task = bench_task(bench, 1, 10);
    bench_submit(bench, &task, consumer);
    store_want(bench->store, consumer, 1);
    bench_run(bench);
    struct hold *hold = bench_take(bench);
    for (int64_t n = 0; n < children_count; n++) {
        struct task child = bench_task(bench, 100 + n, 10);
        child.root = task.root;
        child.parent = hold->uid;
        assert_int_equal(store_hold_child(bench->store, hold, &child, bench->now_ms), ZKT_OK);
    }
    bench_run(bench);
    return hold;
}

// Promise 3: held children are Declared and invisible until their parent is Finished.
static void
children_wait_for_their_parent(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    bench->release_to = bench_consumer(bench, "b");
    struct hold *hold = parent_with_children(bench, consumer, 2500);
    struct uid parent = hold->uid;
    store_want(bench->store, bench->release_to, 3000);
    bench_run(bench);
    assert_int_equal(bench->offers_len, 0);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 2500);
    bench_finish(bench, hold);
    bench_run(bench);
    assert_int_equal(bench->released_count, 2500);
    assert_int_equal(bench->offers_len, 2500);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(stats_of(bench).intents_count, 0);
    assert_int_equal(bench->done.len, 0);
    for (int64_t n = 0; n < 2500; n++) {
        struct hold *child = bench_take(bench);
        assert_int_equal(bench_n(bench, child), 100 + n);
        assert_true(uid_equal(&child->parent, &parent));
        bench_finish(bench, child);
    }
    bench_run(bench);
    assert_int_equal(bench->done.len, 1);
    assert_int_equal(bench->done.items[0].counts.finished_count, 2501);
}

static void
children_go_with_a_crash(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct hold *hold = parent_with_children(bench, consumer, 10);
    store_settle(bench->store, hold, OUTCOME_CRASHED, span_of_text("no"), bench->now_ms);
    bench_run(bench);
    assert_int_equal(bench->released_count, 0);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(bench->done.len, 1);
    assert_int_equal(bench->done.items[0].counts.crashed_count, 1);
    bench_reopen(bench);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(stats_of(bench).state_counts[TASK_CRASHED], 1);
}

static void
too_many_children_are_refused(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct hold *hold = parent_with_children(bench, consumer, LIMIT_HELD_CHILDREN);
    struct task child = bench_task(bench, 1, 1);
    assert_int_equal(store_hold_child(bench->store, hold, &child, bench->now_ms), ZKT_HELD_LIMIT);
}

// A release goes on after a loss of power: the intent is in the commit of the parent's end.
static void
release_survives_a_restart(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    uint32_t other = bench_consumer(bench, "b");
    bench->release_to = other;
    struct hold *hold = parent_with_children(bench, consumer, 20);
    bench_finish(bench, hold);
    store_commit(bench->store, bench->now_ms);
    while (store_is_committing(bench->store)) {
        store_poll(bench->store);
    }
    bench_crash(bench);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 20);
    store_want(bench->store, other, 100);
    bench_run(bench);
    assert_int_equal(bench->released_count, 20);
    assert_int_equal(bench->offers_len, 20);
    assert_int_equal(stats_of(bench).tasks_count, 20);
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
    assert_int_equal(stats_of(bench).tasks_count, 0);
    assert_int_equal(store_retry(bench->store, &fresh, 3, bench->now_ms), ZKT_NOT_FOUND);
}

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
    assert_int_equal(stats_of(bench).tasks_count, 1);
    assert_int_equal(stats_of(bench).analyses_count, 1);
    assert_int_equal(stats_of(bench).intents_count, 0);
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
    for (bool is_poll = false; bench->gone.len == 0; is_poll = !is_poll) {
        if (is_poll) {
            store_poll(bench->store);
        } else {
            store_turn(bench->store, bench->now_ms);
            if (!store_is_committing(bench->store)) {
                store_commit(bench->store, bench->now_ms);
            }
        }
        uint64_t now_count = stats_of(bench).deletes_count;
        assert_true(now_count <= deletes_count + LIMIT_INTENT_SLICE + OBJECTS_COUNT);
        deletes_count = now_count;
    }
    assert_int_equal(deletes_count, TASKS_COUNT * OBJECTS_COUNT);
}

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

// Held children come back with their resumed parent; nobody resumes it: they go.
static void
children_resume_with_their_parent(void **state)
{
    struct bench *bench = *state;
    uint32_t consumer = bench_consumer(bench, "a");
    struct uid instance;
    bench_uid(&instance, 99);
    store_put_instance(bench->store, &instance, consumer, bench->now_ms);
    bench->release_to = bench_consumer(bench, "b");
    struct hold *hold = parent_with_children(bench, consumer, 5);
    struct uid uid = hold->uid;
    uint64_t delivery = hold->delivery;
    bench_crash(bench);
    store_resume(bench->store, consumer, &uid, delivery, true, 1, bench->now_ms);
    bench_run(bench);
    assert_non_null(bench->resumed);
    bench_finish(bench, bench->resumed);
    bench_run(bench);
    assert_int_equal(bench->released_count, 5);

    hold = parent_with_children(bench, consumer, 5);
    bench_crash(bench);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 5);
    store_end_grace(bench->store, 0, bench->now_ms);
    bench_run(bench);
    assert_int_equal(stats_of(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(bench->released_count, 5);

    hold = parent_with_children(bench, consumer, 3);
    uid = hold->uid;
    bench_crash(bench);
    if (store_suspect_count(bench->store, consumer) > 0) {
        store_settle_suspect(bench->store, &uid, OUTCOME_FINISHED, (struct span){0}, bench->now_ms);
        bench_run(bench);
        assert_int_equal(bench->released_count, 8); // reported before anybody resumed
    }
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

// Promise 8: an object lives exactly as long as a body refers to it.
static void
objects_are_counted(void **state)
{
    struct bench *bench = *state;
    uint32_t consumers[2] = {bench_consumer(bench, "a"), bench_consumer(bench, "b")};
    struct uid object;
    struct uid instance;
    struct uid stranger;
    uint8_t sha256[32] = {1};
    bench_uid(&object, 500);
    bench_uid(&instance, 5);
    bench_uid(&stranger, 6);
    store_upload(bench->store, &object, &instance, 10, sha256, bench->now_ms);
    bench_run(bench);
    bench_crash(bench);
    assert_true(store_object_may_use(bench->store, &object, &instance, NULL));
    assert_false(store_object_may_use(bench->store, &object, &stranger, NULL));
    struct resource resource = {.uid = object, .name = span_of_text("f"), .size = 10};
    struct task task = bench_task(bench, 1, 10);
    task.resources = &resource;
    task.resources_count = 1;
    store_submit(bench->store, &task, consumers, 2, bench->now_ms);
    assert_int_equal(stats_of(bench).uploads_count, 0);
    bench_run(bench);
    bench_crash(bench);
    assert_true(store_object_is_referenced(bench->store, &object));
    for (int index = 0; index < 2; index++) {
        assert_int_equal(bench->unreferenced.len, 0);
        store_want(bench->store, consumers[index], 1);
        bench_run(bench);
        struct hold *hold = bench_take(bench);
        assert_true(store_object_may_use(bench->store, &object, &stranger, hold));
        bench_finish(bench, hold);
        bench_run(bench);
    }
    assert_int_equal(bench->unreferenced.len, 1);
    bench_crash(bench); // before the janitor was done: told again
    bench_run(bench);
    assert_int_equal(bench->unreferenced.len, 2);
    store_object_deleted(bench->store, &object);
    bench_run(bench);
    bench_reopen(bench);
    bench_run(bench);
    assert_int_equal(bench->unreferenced.len, 2);
    assert_false(store_object_is_referenced(bench->store, &object));

    store_upload(bench->store, &object, &instance, 10, sha256, bench->now_ms);
    bench_run(bench);
    bench->now_ms += bench->options.upload_grace_ms + 1;
    bench_run(bench);
    assert_int_equal(bench->unreferenced.len, 3); // nobody used it in time
}

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

int
main(void)
{
    static enum bench_kind kinds[] = {BENCH_MEM, BENCH_MEM_DELAYED, BENCH_LMDB};
    static const char *const names[] = {"store on memory", "store on delayed memory",
                                        "store on LMDB"};
    int failed_count = 0;
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
#define CASE(function)                                                                             \
    {                                                                                              \
#function, function, setup, teardown, &kinds[index]                                        \
    }
        const struct CMUnitTest tests[] = {CASE(finished_goes_at_once),
                                           CASE(offers_wait_for_durability),
                                           CASE(priority_then_order),
                                           CASE(order_holds_without_cache),
                                           CASE(returned_goes_first),
                                           CASE(forks_share_a_large_body),
                                           CASE(children_wait_for_their_parent),
                                           CASE(children_go_with_a_crash),
                                           CASE(too_many_children_are_refused),
                                           CASE(release_survives_a_restart),
                                           CASE(crashed_is_kept_and_retried),
                                           CASE(drop_takes_everything),
                                           CASE(drops_count_objects),
                                           CASE(doubt_ends_at_the_mark),
                                           CASE(children_resume_with_their_parent),
                                           CASE(instances_are_remembered),
                                           CASE(objects_are_counted),
                                           CASE(pages_show_everything_once),
                                           CASE(finished_stays_for_its_time),
                                           CASE(long_backlog_survives_a_restart),
                                           CASE(pressure_follows_tasks)};
#undef CASE
        failed_count += cmocka_run_group_tests_name(names[index], tests, NULL, NULL);
    }
    return failed_count;
}
