#include "unit/testing.h"

#include <stdlib.h>
#include <zmq.h>

#include "base/log.h"
#include "io/janitor.h"

// A store of its own: object_mem is for one thread.
struct recorder {
    struct object_store store;
    unsigned failures_left;
    unsigned calls_count;
};

static enum zkt_err
recorder_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                size_t *deleted_count, struct problem *problem)
{
    struct recorder *recorder = (struct recorder *)store;
    (void)uids;
    recorder->calls_count++;
    *deleted_count = 0;
    if (recorder->failures_left > 0) {
        recorder->failures_left--;
        return problem_set(problem, ZKT_IO, "away");
    }
    *deleted_count = uids_count;
    return ZKT_OK;
}

static const struct object_store_ops recorder_ops = {.delete = recorder_delete};

static void
receive(struct janitor *janitor, struct uid *uid)
{
    while (!janitor_receive(janitor, uid)) {
        zmq_pollitem_t item = {.socket = janitor_socket(janitor), .events = ZMQ_POLLIN};
        assert_int_not_equal(zmq_poll(&item, 1, 20000), 0);
    }
}

static void
every_object_comes_back_once(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static struct uid uids[COUNT];
    struct recorder recorder = {.store = {&recorder_ops, "test"}};
    struct janitor *janitor;
    struct problem problem;
    struct uid uid;
    void *context = zmq_ctx_new();
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    assert_false(janitor_receive(janitor, &uid));
    for (int number = 0; number < COUNT; number++) {
        uid_random(&uids[number]);
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
    assert_int_equal(recorder.calls_count, COUNT);
    zmq_ctx_term(context);
}

static void
what_fails_is_tried_again(void **state)
{
    (void)state;
    struct recorder recorder = {.store = {&recorder_ops, "test"}, .failures_left = 2};
    struct janitor *janitor;
    struct problem problem;
    struct uid uids[3];
    struct uid uid;
    unsigned seen = 0;
    void *context = zmq_ctx_new();
    log_set_level(LOG_ERROR);
    for (int number = 0; number < 3; number++) {
        uid_random(&uids[number]);
    }
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    janitor_delete(janitor, uids, 3);
    for (int number = 0; number < 3; number++) {
        receive(janitor, &uid);
        for (unsigned known = 0; known < 3; known++) {
            seen |= uid_equal(&uid, &uids[known]) ? 1u << known : 0;
        }
    }
    assert_int_equal(seen, 7);
    janitor_stop(&janitor);
    assert_int_equal(recorder.calls_count, 5);
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
    assert_int_equal(janitor_start(context, &recorder.store, &janitor, &problem), ZKT_OK);
    janitor_delete(janitor, &uid, 1);
    assert_false(janitor_receive(janitor, &uid));
    janitor_stop(&janitor);
    janitor_stop(&janitor);
    zmq_ctx_term(context);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_object_comes_back_once),
        cmocka_unit_test(what_fails_is_tried_again),
        cmocka_unit_test(stopping_does_not_wait_for_a_dead_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
