// SUBMIT, REPORT and what a child inherits (A3, A4, S4-S6, S21; design §5).
#include "unit/testing.h"

#include "base/limits.h"
#include "unit/core/fixture.h"

static int
setup(void **state)
{
    struct fixture *fixture = fixture_new(10);
    *state = fixture;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    return 0;
}

static const struct command *
say(struct fixture *fixture, uint64_t peer, struct command command)
{
    const struct command *answer = fixture_answer(fixture, fixture_say(fixture, peer, command));
    assert_non_null(answer);
    return answer;
}

static struct deliver_item
only_item(const struct fixture *fixture, uint64_t peer)
{
    const struct command *deliver = fixture_last(fixture, peer, VERB_DELIVER);
    assert_non_null(deliver);
    assert_int_equal(deliver->deliver.items_count, 1);
    return deliver->deliver.items[0];
}

// S4, S5, S6, A4.
static void
test_fork(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    join_worker(fixture, 2, 2, "two", "a");
    join_worker(fixture, 3, 3, "three", "b");
    struct task task = task_of(fixture, 1, "a");
    value_put(&fixture->arena, &task.headers, "origin", value_text(&fixture->arena, "forged"));
    task.parent = test_uid(5);
    const struct command *answer = say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->verb, VERB_SUBMITTED);
    assert_int_equal(answer->submitted.results[0].taken_count, 2);
    struct deliver_item one = only_item(fixture, 1);
    struct deliver_item two = only_item(fixture, 2);
    assert_null(fixture_last(fixture, 3, VERB_DELIVER));
    assert_false(uid_equal(&one.task.uid, &two.task.uid));
    assert_true(uid_equal(&one.task.orig, &task.uid));
    assert_true(uid_equal(&one.task.root, &task.root));
    assert_true(uid_is_none(&one.task.parent));
    assert_true(value_is_text(value_get(&one.task.headers, "origin"), "p"));
    assert_true(value_is_text(value_get(&two.task.headers, "receiver"), "two"));
    // Nobody takes it: not an error, and the analysis is done.
    task = task_of(fixture, 2, "z");
    answer = say(fixture, 9, submit_of(2, 0, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OK);
    assert_int_equal(answer->submitted.results[0].taken_count, 0);
}

static void
test_numbers(void **state)
{
    struct fixture *fixture = *state;
    struct task task = task_of(fixture, 1, "z");
    const struct command *answer = say(fixture, 9, submit_of(0, 0, &task, 1));
    assert_int_equal(answer->error.code, ZKT_INVALID);
    answer = say(fixture, 9, submit_of(5, 0, &task, 1));
    assert_int_equal(answer->error.code, ZKT_INSTANCE_FORGOTTEN);
    answer = say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->verb, VERB_SUBMITTED);
    answer = say(fixture, 9, submit_of(3, 0, &task, 1));
    assert_int_equal(answer->error.code, ZKT_SEQUENCE_GAP);
    answer = say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->verb, VERB_SUBMITTED);
    assert_int_equal(fixture->engine->submits_count, 1);
}

// A3, S21.
static void
test_child_inherits(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    join_worker(fixture, 2, 2, "two", "b");
    struct task task = task_of(fixture, 1, "a");
    task.priority = PRIORITY_HIGH;
    struct arena *arena = &fixture->arena;
    value_put(arena, &task.headers, "share", value_text(arena, "no"));
    value_append(arena, &task.header_keys, value_text(arena, "share"));
    (void)say(fixture, 9, submit_of(1, 0, &task, 1));
    struct deliver_item parent = only_item(fixture, 1);
    struct task child = task_of(fixture, 2, "b");
    value_put(arena, &child.headers, "share", value_text(arena, "yes"));
    value_put(arena, &child.headers, "own", value_text(arena, "kept"));
    value_append(arena, &child.header_keys, value_text(arena, "own"));
    child.priority = PRIORITY_LOW;
    const struct command *answer = say(fixture, 1, submit_of(1, parent.delivery, &child, 1));
    assert_int_equal(answer->submitted.results[0].taken_count, 1);
    struct task got = only_item(fixture, 2).task;
    assert_true(uid_equal(&got.parent, &parent.task.uid));
    assert_true(uid_equal(&got.root, &task.root));
    assert_int_equal(got.priority, PRIORITY_HIGH);
    assert_true(value_is_text(value_get(&got.headers, "share"), "no"));
    assert_true(value_is_text(value_get(&got.headers, "own"), "kept"));
    assert_true(value_is_text(value_get(&got.headers, "origin"), "one"));
    assert_int_equal(got.header_keys.len, 2);
    assert_true(value_is_text(&got.header_keys.items[0], "share"));
}

static void
test_inherited_headers_are_limited(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    struct arena *arena = &fixture->arena;
    struct task task = task_of(fixture, 1, "a");
    char *long_text = arena_alloc(arena, 200 << 10);
    for (size_t i = 0; i < 200 << 10; i++) {
        long_text[i] = 'x';
    }
    value_put(arena, &task.headers, "long", value_string(arena, long_text, 200 << 10));
    value_append(arena, &task.header_keys, value_text(arena, "long"));
    (void)say(fixture, 9, submit_of(1, 0, &task, 1));
    struct deliver_item parent = only_item(fixture, 1);
    struct task child = task_of(fixture, 2, "a");
    value_put(arena, &child.headers, "more", value_string(arena, long_text, 100 << 10));
    const struct command *answer = say(fixture, 1, submit_of(1, parent.delivery, &child, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_TOO_LARGE);
}

// A SUBMIT under a lost lease is refused for good, and again when repeated.
static void
test_lease_lost(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    struct task task = task_of(fixture, 2, "a");
    const struct command *answer = say(fixture, 1, submit_of(1, 4711, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_LEASE_LOST);
    answer = say(fixture, 1, submit_of(1, 4711, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_LEASE_LOST);
    assert_null(fixture_last(fixture, 1, VERB_DELIVER));
}

static void
test_not_yet(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    struct task task = task_of(fixture, 1, "a");
    (void)say(fixture, 9, submit_of(1, 0, &task, 1));
    struct deliver_item item = only_item(fixture, 1);
    const struct command *answer =
        say(fixture, 1, report_of(item.delivery, &item.task.uid, REPORT_FINISHED, 1));
    assert_int_equal(answer->reported.items[0].code, ZKT_NOT_YET);
    struct task child = task_of(fixture, 2, "z");
    (void)say(fixture, 1, submit_of(1, item.delivery, &child, 1));
    answer = say(fixture, 1, report_of(item.delivery, &item.task.uid, REPORT_FINISHED, 1));
    assert_int_equal(answer->reported.items[0].code, ZKT_OK);
    assert_false(answer->reported.items[0].gone);
}

// Soft and hard limit: 10 and 12.
static void
test_limits(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, 1, worker_hello(fixture, 1, "one", "a"));
    (void)fixture_say(fixture, 1, credit_of(1));
    struct task tasks[12];
    for (unsigned i = 0; i < 12; i++) {
        tasks[i] = task_of(fixture, i + 1, "a");
    }
    (void)say(fixture, 9, submit_of(1, 0, tasks, 11));
    const struct command *answer = say(fixture, 9, submit_of(2, 0, &tasks[11], 1));
    assert_int_equal(answer->error.code, ZKT_BUSY);
    // A session with a delivery passes, whether or not it names it.
    struct task child = task_of(fixture, 50, "a");
    answer = say(fixture, 1, submit_of(1, 0, &child, 1));
    assert_int_equal(answer->verb, VERB_SUBMITTED);
    // The refusal consumed nothing.
    assert_int_equal(fixture->engine->refused_busy_count, 1);
    answer = say(fixture, 9, submit_of(3, 0, &tasks[11], 1));
    assert_int_equal(answer->error.code, ZKT_SEQUENCE_GAP);
}

// Promise 3.
static void
test_transactional(void **state)
{
    struct fixture *fixture = *state;
    struct command hello = worker_hello(fixture, 1, "one", "a");
    hello.hello.transactional = true;
    (void)fixture_say(fixture, 1, hello);
    (void)fixture_say(fixture, 1, credit_of(1));
    join_worker(fixture, 2, 2, "two", "b");
    struct task task = task_of(fixture, 1, "a");
    (void)say(fixture, 9, submit_of(1, 0, &task, 1));
    struct deliver_item item = only_item(fixture, 1);
    struct task child = task_of(fixture, 2, "b");
    const struct command *answer = say(fixture, 1, submit_of(1, item.delivery, &child, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OK);
    assert_null(fixture_last(fixture, 2, VERB_DELIVER));
    (void)say(fixture, 1, report_of(item.delivery, &item.task.uid, REPORT_CRASHED, 1));
    fixture_turns(fixture, 5, 1);
    assert_null(fixture_last(fixture, 2, VERB_DELIVER));
    task = task_of(fixture, 3, "a");
    (void)say(fixture, 9, submit_of(2, 0, &task, 1));
    item = only_item(fixture, 1);
    child = task_of(fixture, 4, "b");
    (void)say(fixture, 1, submit_of(2, item.delivery, &child, 1));
    (void)say(fixture, 1, report_of(item.delivery, &item.task.uid, REPORT_FINISHED, 2));
    fixture_turns(fixture, 5, 1);
    struct deliver_item got = only_item(fixture, 2);
    assert_true(uid_equal(&got.task.orig, &child.uid));
}

// Promise 8: only what was uploaded here or is in the task being worked on.
static void
test_objects(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    struct resource resource = {
        .uid = test_uid(99), .name = span_of_text("x"), .size = 1, .metadata = value_null()};
    struct task task = task_of(fixture, 1, "a");
    task.resources = &resource;
    task.resources_count = 1;
    const struct command *answer = say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OBJECT_UNKNOWN);
    struct object_item item = {.uid = resource.uid, .size = 1};
    struct command upload = {.verb = VERB_UPLOAD};
    upload.objects = (struct objects){.items = &item, .items_count = 1};
    answer = say(fixture, 9, upload);
    assert_int_equal(answer->verb, VERB_URLS);
    assert_int_equal(answer->objects.items[0].code, ZKT_OK);
    answer = say(fixture, 9, submit_of(2, 0, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OK);
    // The worker that holds the task may fetch it, another peer may not.
    struct command download = {.verb = VERB_DOWNLOAD};
    download.objects = (struct objects){.items = &item, .items_count = 1};
    answer = say(fixture, 1, download);
    assert_int_equal(answer->objects.items[0].code, ZKT_OK);
    (void)fixture_say(fixture, 5, hello_of(5, ROLE_PRODUCER, "other"));
    answer = say(fixture, 5, download);
    assert_int_equal(answer->objects.items[0].code, ZKT_OBJECT_UNKNOWN);
    struct deliver_item delivered = only_item(fixture, 1);
    struct task child = task_of(fixture, 2, "z");
    child.resources = &resource;
    child.resources_count = 1;
    answer = say(fixture, 1, submit_of(1, delivered.delivery, &child, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OK);
}

// F8, F10: a hostile regex is no match, is counted, does not stall, and hurts nobody else.
static void
test_hostile_regex(void **state)
{
    struct fixture *fixture = *state;
    struct arena *arena = &fixture->arena;
    struct command hello = worker_hello(fixture, 1, "bad", "a");
    struct value regex = value_map();
    value_put(arena, &regex, "$regex", value_text(arena, "(x+x+)+y"));
    value_put(arena, &hello.hello.bind.filters.items[0], "text", regex);
    assert_int_equal(fixture_answer(fixture, fixture_say(fixture, 1, hello))->verb, VERB_WELCOME);
    join_worker(fixture, 2, 2, "good", "a");
    struct task tasks[64];
    for (unsigned i = 0; i < 64; i++) {
        tasks[i] = task_of(fixture, i + 1, "a");
        value_put(arena, &tasks[i].headers, "text",
                  value_text(arena, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx y"));
    }
    const struct command *answer = say(fixture, 9, submit_of(1, 0, tasks, 64));
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(answer->submitted.results[i].taken_count, 1);
    }
    struct consumer *bad = map_get(fixture->engine->consumers_by_identity, "bad", 3);
    assert_true(bad->limits_count == 64);
    assert_true(bad->is_unhealthy);
    assert_non_null(fixture_event(fixture, "consumer.bad.unhealthy"));
    assert_int_equal(bad->limits_in_turn, 0); // another chance in the next turn
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fork, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_child_inherits, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_inherited_headers_are_limited, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lease_lost, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_not_yet, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_transactional, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_objects, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_hostile_regex, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
