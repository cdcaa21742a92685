#include "unit/testing.h"

#include <stdlib.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/janitor.h"
#include "object/object_mem.h"

// A store of its own: object_mem is for one thread. bad fails failures_left times.
struct recorder {
    struct object_store store;
    struct uid bad;
    unsigned failures_left;
    unsigned failures_count;
    unsigned calls_count;
};

static enum zkt_err
recorder_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                size_t *deleted_count, struct problem *problem)
{
    struct recorder *recorder = (struct recorder *)store;
    recorder->calls_count++;
    for (*deleted_count = 0; *deleted_count < uids_count; (*deleted_count)++) {
        if (recorder->failures_left > 0 && uid_equal(&uids[*deleted_count], &recorder->bad)) {
            recorder->failures_left--;
            recorder->failures_count++;
            return problem_set(problem, ZKT_IO, "away");
        }
    }
    return ZKT_OK;
}

static const struct object_store_ops recorder_ops = {.delete = recorder_delete};

static void
await(struct janitor *janitor, enum janitor_word word, struct uid *uid)
{
    enum janitor_word said;
    while ((said = janitor_receive(janitor, uid)) == JANITOR_NOTHING) {
        zmq_pollitem_t item = {.socket = janitor_socket(janitor), .events = ZMQ_POLLIN};
        assert_int_not_equal(zmq_poll(&item, 1, 20000), 0);
    }
    assert_int_equal(said, word);
}

static void
receive(struct janitor *janitor, struct uid *uid)
{
    await(janitor, JANITOR_DELETED, uid);
}

// So many that moving all of them for each one would take minutes.
static void
every_object_comes_back_once(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct uid *uids = xcalloc(COUNT, sizeof *uids);
    struct recorder recorder = {.store = {&recorder_ops, "test"}};
    struct janitor *janitor;
    struct problem problem;
    struct uid uid;
    void *context = zmq_ctx_new();
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    assert_int_equal(janitor_receive(janitor, &uid), JANITOR_NOTHING);
    for (int number = 0; number < COUNT; number++) {
        put_u64(uids[number].bytes, (uint64_t)number + 1);
    }
    janitor_delete(janitor, uids, COUNT / 2);
    janitor_delete(janitor, uids + COUNT / 2, COUNT / 2);
    assert_int_equal(janitor_waiting_count(janitor), COUNT);
    for (int number = 0; number < COUNT; number++) {
        receive(janitor, &uid);
        assert_true(uid_equal(&uid, &uids[number]));
    }
    assert_int_equal(janitor_waiting_count(janitor), 0);
    janitor_stop(&janitor);
    assert_null(janitor);
    zmq_ctx_term(context);
    free(uids);
}

static void
what_fails_is_tried_again_behind_the_others(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    struct recorder recorder = {.store = {&recorder_ops, "test"}, .failures_left = 2};
    struct janitor *janitor;
    struct problem problem;
    struct uid uids[COUNT];
    struct uid uid;
    unsigned seen = 0;
    void *context = zmq_ctx_new();
    log_set_level(LOG_ERROR);
    for (int number = 0; number < COUNT; number++) {
        uid_random(&uids[number]);
    }
    recorder.bad = uids[1];
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    janitor_delete(janitor, uids, COUNT);
    for (int number = 0; number < COUNT; number++) {
        receive(janitor, &uid);
        for (unsigned known = 0; known < COUNT; known++) {
            seen |= uid_equal(&uid, &uids[known]) ? 1u << known : 0;
        }
    }
    assert_int_equal(seen, (1u << COUNT) - 1);
    assert_true(uid_equal(&uid, &recorder.bad));
    janitor_stop(&janitor);
    assert_int_equal(recorder.failures_count, 2);
    zmq_ctx_term(context);
}

// R3: what is older than the grace is told, once a walk; the rest is not.
static void
a_walk_tells_old_objects(void **state)
{
    (void)state;
    enum { OLD_COUNT = 1200, NOW_COUNT = 30 };
    struct object_store *store = object_mem_new();
    struct janitor *janitor;
    struct problem problem;
    struct uid uid = {{0}};
    void *context = zmq_ctx_new();
    for (unsigned number = 1; number <= OLD_COUNT + NOW_COUNT; number++) {
        put_u64(uid.bytes, number);
        object_mem_put(store, &uid, "x", 1,
                       number <= OLD_COUNT ? 1000 : clock_wall_ms() + 3600 * 1000);
    }
    assert_int_equal(janitor_start(context, store, &janitor, &problem), ZKT_OK);
    janitor_sweep(janitor, 60000, false);
    for (unsigned number = 1; number <= OLD_COUNT; number++) {
        await(janitor, JANITOR_FOUND, &uid);
        assert_int_equal(get_u64(uid.bytes), number);
    }
    struct object_pending pending = {.started_ms = 0};
    await(janitor, JANITOR_WALKED, &pending.uid);
    struct janitor_walk walk = janitor_walk(janitor);
    assert_int_equal(walk.listed_count, OLD_COUNT + NOW_COUNT);
    assert_int_equal(walk.old_count, OLD_COUNT);
    assert_false(walk.has_failed);
    put_u64(uid.bytes, OLD_COUNT + 1);
    janitor_delete(janitor, &uid, 1);
    struct uid deleted;
    await(janitor, JANITOR_DELETED, &deleted);
    assert_true(uid_equal(&uid, &deleted));
    janitor_stop(&janitor);
    object_store_destroy(&store);
    zmq_ctx_term(context);
}

static void
a_walk_that_fails_ends(void **state)
{
    (void)state;
    struct object_store *store = object_mem_new();
    struct janitor *janitor;
    struct problem problem;
    struct uid uid;
    void *context = zmq_ctx_new();
    log_set_level(LOG_ERROR);
    uid_random(&uid);
    object_mem_put(store, &uid, "x", 1, 1000);
    object_mem_fail(store, 1);
    assert_int_equal(janitor_start(context, store, &janitor, &problem), ZKT_OK);
    janitor_sweep(janitor, 60000, false);
    struct uid found;
    unsigned failed_count = 0;
    bool has_found = false;
    // Asked for until the failed walk is over: during a walk nothing happens.
    do {
        janitor_sweep(janitor, 60000, false);
        zmq_pollitem_t item = {.socket = janitor_socket(janitor), .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, 10);
        enum janitor_word word;
        while ((word = janitor_receive(janitor, &found)) == JANITOR_WALKED) {
            failed_count += janitor_walk(janitor).has_failed;
        }
        has_found = word == JANITOR_FOUND;
    } while (!has_found);
    assert_int_equal(failed_count, 1);
    assert_true(uid_equal(&uid, &found));
    janitor_stop(&janitor);
    object_store_destroy(&store);
    zmq_ctx_term(context);
}

// An upload in parts that began long ago is told; all of its uid are ended on request, and none of
// others.
static void
a_walk_tells_old_uploads_in_parts(void **state)
{
    (void)state;
    struct object_store *store = object_mem_new();
    struct object_info first = {.uid = {{1}}, .size = 1};
    struct object_info second = {.uid = {{2}}, .size = 1};
    const uint8_t sha256[32] = {0};
    struct bytes upload = {0};
    struct janitor *janitor;
    struct problem problem;
    struct uid uid;
    struct object_pending rest[2];
    size_t count;
    void *context = zmq_ctx_new();
    for (int i = 0; i < 3; i++) { // two of the first
        assert_int_equal(object_store_multipart_begin(store, i < 2 ? &first : &second, sha256,
                                                      &upload, &problem),
                         ZKT_OK);
    }
    assert_int_equal(janitor_start(context, store, &janitor, &problem), ZKT_OK);
    janitor_sweep(janitor, -1000, false);
    for (int i = 0; i < 3; i++) {
        await(janitor, JANITOR_PENDING, &uid);
        assert_true(uid_equal(&uid, i < 2 ? &first.uid : &second.uid));
    }
    await(janitor, JANITOR_WALKED, &uid);
    assert_int_equal(janitor_walk(janitor).pending_count, 3);
    janitor_abort(janitor, &first.uid);
    janitor_delete(janitor, &first.uid, 1);
    await(janitor, JANITOR_DELETED, &uid); // behind it
    janitor_stop(&janitor);
    assert_int_equal(object_store_list_pending(store, NULL, rest, 2, &count, &problem), ZKT_OK);
    assert_int_equal(count, 1);
    assert_true(uid_equal(&rest[0].uid, &second.uid));
    bytes_fini(&upload);
    object_store_destroy(&store);
    zmq_ctx_term(context);
}

static void
stopping_does_not_wait_for_a_dead_store(void **state)
{
    (void)state;
    struct recorder recorder = {.store = {&recorder_ops, "test"}, .failures_left = 1000000};
    struct janitor *janitor;
    struct problem problem;
    struct uid uid;
    void *context = zmq_ctx_new();
    uid_random(&uid);
    recorder.bad = uid;
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    janitor_delete(janitor, &uid, 1);
    assert_int_equal(janitor_receive(janitor, &uid), JANITOR_NOTHING);
    janitor_stop(&janitor);
    janitor_stop(&janitor);
    zmq_ctx_term(context);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_object_comes_back_once),
        cmocka_unit_test(what_fails_is_tried_again_behind_the_others),
        cmocka_unit_test(a_walk_tells_old_objects),
        cmocka_unit_test(a_walk_that_fails_ends),
        cmocka_unit_test(a_walk_tells_old_uploads_in_parts),
        cmocka_unit_test(stopping_does_not_wait_for_a_dead_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
