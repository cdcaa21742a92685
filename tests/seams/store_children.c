// Held children: what a parent that is still running has sent.
#include "seams/store_suite.h"

#include "base/limits.h"

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
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 2500);
    bench_finish(bench, hold);
    bench_run(bench);
    assert_int_equal(bench->released_count, 2500);
    assert_int_equal(bench->offers_len, 2500);
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(bench_stats(bench).intents_count, 0);
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
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(bench->done.len, 1);
    assert_int_equal(bench->done.items[0].counts.crashed_count, 1);
    bench_reopen(bench);
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 0);
    assert_int_equal(bench_stats(bench).state_counts[TASK_CRASHED], 1);
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
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 20);
    store_want(bench->store, other, 100);
    bench_run(bench);
    assert_int_equal(bench->released_count, 20);
    assert_int_equal(bench->offers_len, 20);
    assert_int_equal(bench_stats(bench).tasks_count, 20);
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
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 5);
    store_end_grace(bench->store, 0, bench->now_ms);
    bench_run(bench);
    assert_int_equal(bench_stats(bench).state_counts[TASK_DECLARED], 0);
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

const struct store_case store_children_cases[] = {
    STORE_CASE(children_wait_for_their_parent),    STORE_CASE(children_go_with_a_crash),
    STORE_CASE(too_many_children_are_refused),     STORE_CASE(release_survives_a_restart),
    STORE_CASE(children_resume_with_their_parent), {0},
};
