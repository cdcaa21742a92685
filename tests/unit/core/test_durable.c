// Nobody hears of anything that could still be lost (design promise 1): each answer and event waits
// for its commit.
#include "unit/testing.h"

#include "unit/core/fixture.h"

static int
setup(void **state)
{
    *state = fixture_new(100);
    return 0;
}

// Says it, wants silence as long as nothing is committed, and returns the answer that comes then.
static const struct command *
say_and_wait(struct fixture *fixture, uint64_t peer, struct command command)
{
    command.id = ++fixture->next_id;
    engine_command(fixture->engine, span_of(&peer, sizeof peer), &command);
    size_t events_count = fixture->published_count;
    for (int turn = 0; turn < 3; turn++) {
        assert_null(fixture_answer(fixture, command.id));
        assert_int_equal(fixture->published_count, events_count);
        fixture->now_ms++;
        (void)engine_turn(fixture->engine, fixture->now_ms, ++fixture->wall_ms, 1000, true);
    }
    fixture_turns(fixture, 4, 1);
    const struct command *answer = fixture_answer(fixture, command.id);
    assert_non_null(answer);
    return answer;
}

static struct command
control_of(struct fixture *fixture, const char *what, const char *key, const char *value)
{
    struct command command = {.verb = VERB_CONTROL,
                              .request = {.what = span_of_text(what), .args = value_map()}};
    value_put(&fixture->arena, &command.request.args, key, value_text(&fixture->arena, value));
    return command;
}

static void
test_answers_wait(void **state)
{
    struct fixture *fixture = *state;
    size_t events_count = fixture->published_count;
    assert_int_equal(say_and_wait(fixture, 1, worker_hello(fixture, 1, "one", "a"))->verb,
                     VERB_WELCOME);
    assert_true(fixture->published_count > events_count); // registered, joined
    (void)fixture_say(fixture, 1, credit_of(4));
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_OPERATOR, "op"));

    struct task task = task_of(fixture, 1, "a");
    assert_int_equal(say_and_wait(fixture, 9, submit_of(1, 0, &task, 1))->verb, VERB_SUBMITTED);
    const struct command *deliver = fixture_last(fixture, 1, VERB_DELIVER);
    assert_non_null(deliver);
    struct deliver_item item = deliver->deliver.items[0];
    struct command report = report_of(item.delivery, &item.task.uid, REPORT_CRASHED, 0);
    assert_int_equal(say_and_wait(fixture, 1, report)->verb, VERB_REPORTED);

    struct object_item object = {.uid = test_uid(50), .size = 3};
    struct command upload = {.verb = VERB_UPLOAD, .objects = {.items = &object, .items_count = 1}};
    const struct command *urls = say_and_wait(fixture, 9, upload);
    assert_int_equal(urls->verb, VERB_URLS);
    assert_int_equal(urls->objects.items[0].code, ZKT_OK);

    char uid[UID_TEXT_SIZE];
    uid_format(&item.task.uid, uid);
    const struct command *retried =
        say_and_wait(fixture, 9, control_of(fixture, "retry", "uid", uid));
    assert_int_equal(retried->verb, VERB_ANSWER);
    (void)fixture_say(fixture, 1, (struct command){.verb = VERB_BYE});
    struct command delete = control_of(fixture, "delete_consumer", "identity", "one");
    assert_int_equal(say_and_wait(fixture, 9, delete)->verb, VERB_ANSWER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_wait, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
