// HELLO, resuming, replacing, expiry, BYE (design §5).
#include "unit/testing.h"

#include "unit/core/fixture.h"

static int
setup(void **state)
{
    *state = fixture_new(1000);
    return 0;
}

static enum zkt_err
error_of(const struct fixture *fixture, uint64_t id)
{
    const struct command *answer = fixture_answer(fixture, id);
    assert_non_null(answer);
    assert_int_equal(answer->verb, VERB_ERROR);
    return answer->error.code;
}

static void
test_hello_first(void **state)
{
    struct fixture *fixture = *state;
    struct task task = task_of(fixture, 1, "a");
    uint64_t id = fixture_say(fixture, 1, submit_of(1, 0, &task, 1));
    assert_int_equal(error_of(fixture, id), ZKT_HELLO_REQUIRED);
    id = fixture_say(fixture, 1, hello_of(1, ROLE_PRODUCER, ""));
    const struct command *welcome = fixture_answer(fixture, id);
    assert_int_equal(welcome->verb, VERB_WELCOME);
    assert_int_equal(welcome->welcome.last_number, 0);
    assert_int_equal(welcome->welcome.interval_ms, 2000);
    assert_int_equal(welcome->welcome.time_ms / 1000, fixture->wall_ms / 1000);
}

// P13: the identity; F9: the filters; who brings a bind.
static void
test_hello_refusals(void **state)
{
    struct fixture *fixture = *state;
    struct command command = hello_of(1, ROLE_PRODUCER, "");
    command.hello.version = 2;
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_VERSION_UNSUPPORTED);
    command = worker_hello(fixture, 1, "my service", "a");
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_IDENTITY_INVALID);
    command = worker_hello(fixture, 1, "", "a");
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_IDENTITY_INVALID);
    command = hello_of(1, ROLE_WORKER, "w");
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_INVALID);
    command = worker_hello(fixture, 1, "w", "a");
    command.hello.role = ROLE_PRODUCER;
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_INVALID);
    command = hello_of(1, ROLE_WORKER, "w");
    command.hello.join = true;
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_NO_SUCH_CONSUMER);
    command = worker_hello(fixture, 1, "w", "a");
    struct value wrong = value_map();
    value_put(&fixture->arena, &wrong, "$nto", value_int(1));
    value_put(&fixture->arena, &command.hello.bind.filters.items[0], "platform", wrong);
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, command)), ZKT_FILTER_INVALID);
    assert_int_equal(fixture->engine->consumers.len, 0);
    assert_int_equal(fixture->engine->sessions.len, 0);
}

static void
test_roles(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, 1, hello_of(1, ROLE_PRODUCER, "p"));
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, credit_of(3))), ZKT_VERB_ILLEGAL);
    struct uid uid = test_uid(1);
    struct command report = report_of(1, &uid, REPORT_FINISHED, 0);
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, report)), ZKT_VERB_ILLEGAL);
    struct command welcome = {.verb = VERB_WELCOME};
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, welcome)), ZKT_VERB_ILLEGAL);
    struct command control = {.verb = VERB_CONTROL};
    control.request = (struct request){.what = span_of_text("retry"), .args = value_map()};
    assert_int_equal(error_of(fixture, fixture_say(fixture, 1, control)), ZKT_DENIED);
}

// The newest HELLO of an instance wins, and keeps the leases it names.
static void
test_replaced_and_resumed(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "w", "a");
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    struct task tasks[2] = {task_of(fixture, 1, "a"), task_of(fixture, 2, "a")};
    (void)fixture_say(fixture, 9, submit_of(1, 0, tasks, 2));
    const struct command *deliver = fixture_last(fixture, 1, VERB_DELIVER);
    assert_non_null(deliver);
    assert_int_equal(deliver->deliver.items_count, 2);
    uint64_t kept = deliver->deliver.items[0].delivery;
    struct held held[2] = {
        {.delivery = kept, .uid = deliver->deliver.items[0].task.uid, .started = true},
        {.delivery = 4711, .uid = test_uid(3)}};
    struct command hello = worker_hello(fixture, 1, "w", "a");
    hello.hello.bind_generation = 1;
    hello.hello.held = held;
    hello.hello.held_count = 2;
    (void)fixture_say(fixture, 2, hello);
    const struct command *error = fixture_last(fixture, 1, VERB_ERROR);
    assert_non_null(error);
    assert_int_equal(error->error.code, ZKT_SESSION_REPLACED);
    assert_int_equal(fixture->engine->leases.len, 1);
    assert_non_null(number_map_get(&fixture->engine->leases, kept));
    // What it does not hold is revoked, what it did not name goes on under a new delivery.
    const struct command *revoke = fixture_last(fixture, 2, VERB_REVOKE);
    assert_non_null(revoke);
    assert_int_equal(revoke->revoke.deliveries[0], 4711);
    (void)fixture_say(fixture, 2, credit_of(8));
    deliver = fixture_last(fixture, 2, VERB_DELIVER);
    assert_non_null(deliver);
    assert_int_equal(deliver->deliver.items[0].attempt, 1);
    struct uid uid = held[0].uid;
    uint64_t id = fixture_say(fixture, 2, report_of(kept, &uid, REPORT_FINISHED, 0));
    assert_int_equal(fixture_answer(fixture, id)->reported.items[0].code, ZKT_OK);
    id = fixture_say(fixture, 2, report_of(kept, &uid, REPORT_FINISHED, 0));
    assert_true(fixture_answer(fixture, id)->reported.items[0].gone);
    // The old peer has no session any more.
    id = fixture_say(fixture, 1, credit_of(1));
    assert_int_equal(error_of(fixture, id), ZKT_HELLO_REQUIRED);
}

// Promise 2: requeued, counted, and Crashed after max_deliveries.
static void
test_lost_workers(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    join_worker(fixture, 1, 1, "w", "a");
    struct task task = task_of(fixture, 1, "a");
    (void)fixture_say(fixture, 9, submit_of(1, 0, &task, 1));
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        const struct command *deliver = fixture_last(fixture, attempt, VERB_DELIVER);
        assert_non_null(deliver);
        assert_int_equal(deliver->deliver.items[0].attempt, attempt);
        join_worker(fixture, attempt + 1, attempt + 1, "w", "a");
        for (int i = 0; i < 14; i++) {
            struct command beat = {.verb = VERB_HEARTBEAT};
            (void)fixture_say(fixture, attempt + 1, beat);
            fixture_turns(fixture, 1, 900);
        }
    }
    assert_null(fixture_last(fixture, 4, VERB_DELIVER));
    char topic[64] = "analysis.";
    uid_format(&task.uid, topic + 9);
    struct bytes text = {0};
    bytes_printf(&text, "%s.finished", topic);
    const struct published *event = fixture_event(fixture, bytes_text(&text));
    assert_non_null(event);
    assert_int_equal(value_get(&event->body, "crashed")->integer, 1);
    assert_int_equal(value_get(&event->body, "finished")->integer, 0);
    bytes_fini(&text);
    assert_non_null(fixture_event(fixture, "worker.w.lost"));
}

// A leave in good order counts nothing, and answers BYE.
static void
test_bye(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    join_worker(fixture, 1, 1, "w", "a");
    struct task task = task_of(fixture, 1, "a");
    (void)fixture_say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_non_null(fixture_last(fixture, 1, VERB_DELIVER));
    struct command bye = {.verb = VERB_BYE};
    uint64_t id = fixture_say(fixture, 1, bye);
    assert_int_equal(fixture_answer(fixture, id)->verb, VERB_BYE);
    assert_non_null(fixture_event(fixture, "worker.w.left"));
    join_worker(fixture, 2, 2, "w", "a");
    const struct command *deliver = fixture_last(fixture, 2, VERB_DELIVER);
    assert_non_null(deliver);
    assert_int_equal(deliver->deliver.items[0].attempt, 1);
}

// S17: a temporary consumer goes with its last worker, its tasks with it.
static void
test_temporary(void **state)
{
    struct fixture *fixture = *state;
    fixture_turns(fixture, 30, 1000); // the grace after the start is over
    struct command hello = worker_hello(fixture, 1, "t", "a");
    hello.hello.bind.persistent = false;
    (void)fixture_say(fixture, 1, hello);
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    struct task task = task_of(fixture, 1, "a");
    uint64_t id = fixture_say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(fixture_answer(fixture, id)->submitted.results[0].taken_count, 1);
    struct command bye = {.verb = VERB_BYE};
    (void)fixture_say(fixture, 1, bye);
    fixture_turns(fixture, 5, 1);
    assert_non_null(fixture_event(fixture, "consumer.t.gone"));
    assert_int_equal(fixture->engine->consumers.len, 0);
    task = task_of(fixture, 2, "a");
    id = fixture_say(fixture, 9, submit_of(2, 0, &task, 1));
    assert_int_equal(fixture_answer(fixture, id)->submitted.results[0].taken_count, 0);
}

// A peer whose socket is full or gone keeps its leases until its expiry.
static void
test_deaf_peer(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    join_worker(fixture, 1, 1, "w", "a");
    fixture->deaf_peer = 1;
    struct task task = task_of(fixture, 1, "a");
    (void)fixture_say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(fixture->engine->leases.len, 1);
    assert_int_equal(fixture->engine->sessions.len, 2);
    struct command hello = worker_hello(fixture, 1, "w", "a");
    (void)fixture_say(fixture, 2, hello);
    (void)fixture_say(fixture, 2, credit_of(1));
    assert_non_null(fixture_last(fixture, 2, VERB_DELIVER));
    assert_int_equal(fixture_last(fixture, 2, VERB_DELIVER)->deliver.items[0].attempt, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hello_first, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_hello_refusals, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_roles, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_replaced_and_resumed, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lost_workers, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_bye, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_temporary, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_deaf_peer, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
