// Objects: how long they live.
#include "base/limits.h"
#include "seams/store_suite.h"

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
    assert_int_equal(bench_stats(bench).uploads_count, 0);
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

// After a restart, too, uploads that nobody used end in order of their age, some in a turn.
static void
old_uploads_end_in_slices(void **state)
{
    enum { UPLOADS_COUNT = 700 };
    struct bench *bench = *state;
    struct uid instance;
    uint8_t sha256[32] = {1};
    bench_uid(&instance, 5);
    for (uint64_t n = 0; n < UPLOADS_COUNT; n++) {
        struct uid object;
        bench_uid(&object, 1000 + n * 37 % UPLOADS_COUNT); // not in the order of their uids
        store_upload(bench->store, &object, &instance, 10, sha256, bench->now_ms);
        bench->now_ms++;
    }
    bench_run(bench);
    bench_reopen(bench);
    bench_run(bench);
    int64_t first_ms = bench->now_ms - UPLOADS_COUNT;
    bench->now_ms = first_ms + bench->options.upload_grace_ms + UPLOADS_COUNT / 2;
    uint64_t before_count = 0;
    for (bool has_more = true; has_more;) {
        has_more = store_turn(bench->store, bench->now_ms);
        uint64_t now_count = bench_stats(bench).deletes_count;
        assert_true(now_count <= before_count + LIMIT_INTENT_SLICE);
        before_count = now_count;
    }
    assert_int_equal(before_count, UPLOADS_COUNT / 2 + 1);
    bench_run(bench);
    assert_int_equal(bench->unreferenced.len, UPLOADS_COUNT / 2 + 1);
    for (size_t n = 0; n < bench->unreferenced.len; n++) {
        struct uid object;
        bench_uid(&object, 1000 + n * 37 % UPLOADS_COUNT);
        assert_true(uid_equal(&bench->unreferenced.items[n].uid, &object));
    }
}

const struct store_case store_objects_cases[] = {
    STORE_CASE(objects_are_counted),
    STORE_CASE(old_uploads_end_in_slices),
    {0},
};
