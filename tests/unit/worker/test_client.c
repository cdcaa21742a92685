// Producers and the session against a scripted broker (A4, S1, S20, P13; protocol: HELLO, SUBMIT in
// order and once, resuming, ERROR).
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zkarton.h>

#include "base/limits.h"
#include "worker/fake_broker.h"

// One client, used by a thread of its own, step after step.
struct caller {
    struct fake_broker fake;
    zkt_config_t *config;
    zkt_client_options_t options;
    zkt_client_t *client;
    pthread_t thread;
    enum zkt_err result;
    char root_uid[ZKT_ROOT_UID_SIZE];
    const char *text;
    int count;
    zkt_summary_t summary;
    zkt_value_t *answer;
    int sent_count;
    int refused_count;
};

static void
on_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
        const char *error)
{
    struct caller *caller = arg;
    (void)root_uid;
    (void)taken_count;
    caller->sent_count++;
    caller->refused_count += result != ZKT_OK && error != NULL;
}

static void *
do_connect(void *arg)
{
    struct caller *caller = arg;
    caller->result = zkt_client_new(&caller->options, &caller->client);
    return NULL;
}

static void *
do_send(void *arg)
{
    struct caller *caller = arg;
    zkt_task_t *task = zkt_task_new("type=sample receiver=nobody");
    zkt_task_set_int(task, "n", 3);
    caller->result = zkt_client_send(caller->client, &task, caller->root_uid);
    return NULL;
}

static void *
do_post(void *arg)
{
    struct caller *caller = arg;
    caller->result = ZKT_OK;
    for (int task_index = 0; task_index < caller->count && caller->result == ZKT_OK; task_index++) {
        zkt_task_t *task = zkt_task_new("type=sample");
        zkt_task_set_int(task, "n", task_index);
        caller->result = zkt_client_post(caller->client, &task, NULL);
    }
    if (caller->result == ZKT_OK) {
        caller->result = zkt_client_flush(caller->client, 0);
    }
    return NULL;
}

static void *
do_wait(void *arg)
{
    struct caller *caller = arg;
    caller->result = zkt_client_wait(caller->client, caller->text, 10000, &caller->summary);
    return NULL;
}

static void *
do_query(void *arg)
{
    struct caller *caller = arg;
    caller->result =
        zkt_client_query(caller->client, caller->text, "{\"identity\": \"a\"}", &caller->answer);
    return NULL;
}

static void *
do_control(void *arg)
{
    struct caller *caller = arg;
    caller->result = zkt_client_control(caller->client, caller->text, NULL, &caller->answer);
    return NULL;
}

static void *
do_destroy(void *arg)
{
    struct caller *caller = arg;
    zkt_client_destroy(&caller->client);
    return NULL;
}

static void
start(struct caller *caller, void *(*step)(void *))
{
    assert_int_equal(pthread_create(&caller->thread, NULL, step, caller), 0);
}

static void
join(struct caller *caller)
{
    assert_int_equal(pthread_join(caller->thread, NULL), 0);
}

static void
prepare(struct caller *caller)
{
    *caller = (struct caller){0};
    fake_open(&caller->fake, NULL);
    assert_int_equal(zkt_config_load(NULL, &caller->config), ZKT_OK);
    zkt_config_set(caller->config, "broker", "address", caller->fake.address);
    caller->options = (zkt_client_options_t){.identity = "test.producer",
                                             .config = caller->config,
                                             .timeout_ms = 10000,
                                             .on_sent = on_sent,
                                             .arg = caller};
}

static void
connect_caller(struct caller *caller)
{
    prepare(caller);
    start(caller, do_connect);
    fake_expect(&caller->fake, VERB_HELLO);
    fake_welcome(&caller->fake, 0);
    join(caller);
    assert_int_equal(caller->result, ZKT_OK);
}

static void
end(struct caller *caller)
{
    if (caller->client != NULL) {
        start(caller, do_destroy);
        const struct command *bye = fake_expect(&caller->fake, VERB_BYE);
        struct command command = {.verb = VERB_BYE, .id = bye->id};
        fake_send(&caller->fake, &command);
        join(caller);
    }
    fake_close(&caller->fake);
    zkt_config_destroy(&caller->config);
}

// The broker is gone and back on the same address.
static void
restart(struct caller *caller)
{
    char address[64];
    snprintf(address, sizeof address, "%s", caller->fake.address);
    fake_close(&caller->fake);
    fake_open(&caller->fake, address);
}

static bool
is_text(struct span span, const char *text)
{
    return span_equal(span, span_of_text(text));
}

static void
test_hello_says_who(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    start(&caller, do_connect);
    const struct hello *hello = &fake_expect(&caller.fake, VERB_HELLO)->hello;
    assert_int_equal(hello->version, 1);
    assert_true(is_text(hello->identity, "test.producer"));
    assert_int_equal(hello->role, ROLE_PRODUCER);
    assert_false(hello->has_bind);
    assert_false(uid_is_none(&hello->instance));
    fake_welcome(&caller.fake, 0);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_send_is_durable_on_return(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    start(&caller, do_send);
    const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
    assert_int_equal(submit->number, 1);
    assert_int_equal(submit->delivery, 0);
    assert_int_equal(submit->tasks_count, 1);
    const struct task *task = &submit->tasks[0];
    char root_uid[UID_TEXT_SIZE];
    uid_format(&task->root, root_uid);
    assert_true(uid_equal(&task->root, &task->uid));
    assert_true(value_is_text(value_get(&task->headers, "origin"), "test.producer")); // A4
    assert_null(value_get(&task->headers, "receiver"));
    assert_int_equal(task->priority, PRIORITY_NORMAL);
    fake_submitted(&caller.fake, 2);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    assert_string_equal(caller.root_uid, root_uid);
    assert_int_equal(zkt_client_untaken_count(caller.client), 0);
    end(&caller);
}

static void
test_untaken_is_counted(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    start(&caller, do_send);
    fake_expect(&caller.fake, VERB_SUBMIT);
    fake_submitted(&caller.fake, 0);
    join(&caller);
    assert_int_equal(zkt_client_untaken_count(caller.client), 1);
    end(&caller);
}

static void
test_posts_gather_in_order(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    caller.count = 1000;
    start(&caller, do_post);
    int tasks_count = 0;
    uint64_t number = 0;
    while (tasks_count < 1000) {
        const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
        assert_int_equal(submit->number, ++number);
        assert_in_range(submit->tasks_count, 1, 256);
        tasks_count += (int)submit->tasks_count;
        fake_submitted(&caller.fake, 1);
    }
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    assert_int_equal(caller.sent_count, 1000);
    assert_in_range(number, 4, 999); // some were batched
    end(&caller);
}

static void
test_batch_of_one(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    caller.options.batch_tasks = 1;
    start(&caller, do_connect);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    join(&caller);
    caller.count = 100;
    start(&caller, do_post);
    for (int submit_index = 0; submit_index < 100; submit_index++) {
        assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.tasks_count, 1);
        fake_submitted(&caller.fake, 1);
    }
    join(&caller);
    end(&caller);
}

enum { WINDOW = LIMIT_SUBMITS_OPEN };

static void
test_window_of_submits(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    caller.options.batch_tasks = 1;
    start(&caller, do_connect);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    join(&caller);
    caller.count = WINDOW + 1;
    start(&caller, do_post);
    uint64_t numbers[WINDOW];
    struct uid uids[WINDOW];
    for (int submit_index = 0; submit_index < WINDOW; submit_index++) {
        const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
        numbers[submit_index] = submit->number;
        uids[submit_index] = submit->tasks[0].uid;
    }
    fake_quiet(&caller.fake, 100); // one more waits for an answer
    for (int submit_index = 0; submit_index < WINDOW; submit_index++) {
        struct submit_result result = {.uid = uids[submit_index], .taken_count = 1};
        struct command command = {.verb = VERB_SUBMITTED};
        command.submitted = (struct submitted){
            .number = numbers[submit_index], .results = &result, .results_count = 1};
        fake_send(&caller.fake, &command);
    }
    assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, WINDOW + 1);
    fake_submitted(&caller.fake, 1);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_refused_task(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    start(&caller, do_send);
    const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
    struct submit_result result = {.uid = submit->tasks[0].uid,
                                   .code = ZKT_FANOUT_LIMIT,
                                   .message = span_of_text("too many consumers")};
    struct command command = {.verb = VERB_SUBMITTED, .id = caller.fake.command.id};
    command.submitted =
        (struct submitted){.number = submit->number, .results = &result, .results_count = 1};
    fake_send(&caller.fake, &command);
    join(&caller);
    assert_int_equal(caller.result, ZKT_FANOUT_LIMIT);
    assert_string_equal(zkt_client_error(caller.client), "too many consumers");
    end(&caller);
}

// A retryable refusal consumes nothing; what was behind it comes again behind it.
static void
test_busy_keeps_the_order(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    caller.options.batch_tasks = 1;
    start(&caller, do_connect);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    join(&caller);
    caller.count = 3;
    start(&caller, do_post);
    struct uid uids[3];
    uint64_t ids[3];
    for (int submit_index = 0; submit_index < 3; submit_index++) {
        const struct command *command = fake_expect(&caller.fake, VERB_SUBMIT);
        uids[submit_index] = command->submit.tasks[0].uid;
        ids[submit_index] = command->id;
    }
    fake_error(&caller.fake, ids[0], ZKT_BUSY, "later");
    fake_error(&caller.fake, ids[1], ZKT_SEQUENCE_GAP, "go back");
    fake_error(&caller.fake, ids[2], ZKT_SEQUENCE_GAP, "go back");
    for (uint64_t number = 1; number <= 3; number++) {
        const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
        assert_int_equal(submit->number, number);
        assert_true(uid_equal(&submit->tasks[0].uid, &uids[number - 1]));
        if (number == 1) {
            fake_quiet(&caller.fake, 50); // the first alone, until it is through
        }
        if (number == 2) {
            struct uid second = submit->tasks[0].uid;
            assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, 3);
            fake_submitted(&caller.fake, 1);
            struct submit_result result = {.uid = second, .taken_count = 1};
            struct command command = {.verb = VERB_SUBMITTED};
            command.submitted =
                (struct submitted){.number = 2, .results = &result, .results_count = 1};
            fake_send(&caller.fake, &command);
            break;
        }
        fake_submitted(&caller.fake, 1);
    }
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    assert_int_equal(caller.sent_count, 3);
    end(&caller);
}

// A broker that restarted gets HELLO of the same instance, then everything unanswered again.
static void
test_resume_sends_again(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    start(&caller, do_connect);
    struct uid instance = fake_expect(&caller.fake, VERB_HELLO)->hello.instance;
    fake_welcome(&caller.fake, 0);
    join(&caller);
    start(&caller, do_send);
    struct uid uid = fake_expect(&caller.fake, VERB_SUBMIT)->submit.tasks[0].uid;
    restart(&caller);
    const struct hello *hello = &fake_expect(&caller.fake, VERB_HELLO)->hello;
    assert_true(uid_equal(&hello->instance, &instance));
    fake_welcome(&caller.fake, 1); // it had applied the SUBMIT
    const struct submit *submit = &fake_expect(&caller.fake, VERB_SUBMIT)->submit;
    assert_int_equal(submit->number, 1);
    assert_true(uid_equal(&submit->tasks[0].uid, &uid));
    fake_submitted(&caller.fake, 1);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_numbers_follow_the_broker(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    start(&caller, do_send);
    fake_expect(&caller.fake, VERB_SUBMIT);
    fake_submitted(&caller.fake, 1);
    join(&caller);
    start(&caller, do_send);
    assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, 2);
    restart(&caller);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0); // it knows nothing of us any more
    assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, 1);
    fake_submitted(&caller.fake, 1);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_hello_required_resumes(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    start(&caller, do_send);
    uint64_t id = fake_expect(&caller.fake, VERB_SUBMIT)->id;
    fake_error(&caller.fake, id, ZKT_HELLO_REQUIRED, "say HELLO");
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, 1);
    fake_submitted(&caller.fake, 1);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_instance_forgotten_is_told(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    start(&caller, do_connect);
    struct uid instance = fake_expect(&caller.fake, VERB_HELLO)->hello.instance;
    fake_welcome(&caller.fake, 0);
    join(&caller);
    start(&caller, do_send);
    uint64_t id = fake_expect(&caller.fake, VERB_SUBMIT)->id;
    fake_error(&caller.fake, id, ZKT_INSTANCE_FORGOTTEN, "who?");
    join(&caller);
    assert_int_equal(caller.result, ZKT_INSTANCE_FORGOTTEN);
    struct uid fresh = fake_expect(&caller.fake, VERB_HELLO)->hello.instance;
    assert_false(uid_equal(&fresh, &instance));
    fake_welcome(&caller.fake, 0);
    start(&caller, do_send);
    assert_int_equal(fake_expect(&caller.fake, VERB_SUBMIT)->submit.number, 1);
    fake_submitted(&caller.fake, 1);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    end(&caller);
}

static void
test_silence_is_noticed(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    caller.fake.is_mute = true;
    // Heartbeats every 200 ms from the client; none from here, so after 1 s it says HELLO again.
    fake_expect(&caller.fake, VERB_HELLO);
    assert_in_range(caller.fake.heartbeats_count, 2, 6);
    fake_welcome(&caller.fake, 0);
    end(&caller);
}

static void
test_wait_and_query(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    caller.text = "47db1ea8-3531-4bea-a3b2-b29dfbd8b100";
    start(&caller, do_wait);
    const struct command *wait = fake_expect(&caller.fake, VERB_WAIT);
    struct command done = {.verb = VERB_DONE, .id = wait->id};
    done.done = (struct done){
        .root = wait->wait_root, .finished_count = 6, .crashed_count = 1, .elapsed_ms = 38};
    fake_send(&caller.fake, &done);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    assert_int_equal(caller.summary.finished_count, 6);
    assert_int_equal(caller.summary.crashed_count, 1);
    assert_int_equal(caller.summary.elapsed_ms, 38);

    caller.text = "queues";
    start(&caller, do_query);
    const struct command *query = fake_expect(&caller.fake, VERB_QUERY);
    assert_true(is_text(query->request.what, "queues"));
    assert_true(value_is_text(value_get(&query->request.args, "identity"), "a"));
    struct command answer = {.verb = VERB_ANSWER, .id = query->id};
    struct arena arena;
    arena_init(&arena);
    struct value rows = value_list();
    value_append(&arena, &rows, value_int(5));
    answer.answer = (struct answer){.rows = rows, .next = span_of_text("more")};
    fake_send(&caller.fake, &answer);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    char *json = zkt_value_json(caller.answer);
    assert_string_equal(json, "{\"rows\": [5], \"next\": \"more\"}");
    free(json);
    zkt_value_destroy(&caller.answer);
    arena_fini(&arena);

    start(&caller, do_query);
    fake_expect(&caller.fake, VERB_QUERY);
    fake_error(&caller.fake, caller.fake.command.id, ZKT_NOT_FOUND, "no consumer \"a\"");
    join(&caller);
    assert_int_equal(caller.result, ZKT_NOT_FOUND);
    assert_string_equal(zkt_client_error(caller.client), "no consumer \"a\"");
    end(&caller);
}

// What changes something is not said twice: a lost answer is told.
static void
test_questions_over_a_restart(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    caller.text = "queues";
    start(&caller, do_query);
    fake_expect(&caller.fake, VERB_QUERY);
    restart(&caller);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    uint64_t id = fake_expect(&caller.fake, VERB_QUERY)->id;
    struct command answer = {.verb = VERB_ANSWER, .id = id};
    answer.answer.rows = value_list();
    fake_send(&caller.fake, &answer);
    join(&caller);
    assert_int_equal(caller.result, ZKT_OK);
    zkt_value_destroy(&caller.answer);

    caller.text = "retry";
    start(&caller, do_control);
    fake_expect(&caller.fake, VERB_CONTROL);
    restart(&caller);
    fake_expect(&caller.fake, VERB_HELLO);
    fake_welcome(&caller.fake, 0);
    join(&caller);
    assert_int_equal(caller.result, ZKT_UNREACHABLE);
    end(&caller);
}

static void
test_nothing_listens(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    char address[64];
    snprintf(address, sizeof address, "%s", caller.fake.address);
    fake_close(&caller.fake);
    caller.options.timeout_ms = 0;
    do_connect(&caller);
    assert_int_equal(caller.result, ZKT_UNREACHABLE);
    const char *text = zkt_client_error(caller.client);
    assert_non_null(strstr(text, "nothing listens at tcp://127.0.0.1:"));
    assert_non_null(strstr(text, "Start: zkarton-broker --dev"));
    zkt_client_destroy(&caller.client);
    zkt_config_destroy(&caller.config);
}

static void
test_denied(void **state)
{
    (void)state;
    struct caller caller;
    prepare(&caller);
    start(&caller, do_connect);
    uint64_t id = fake_expect(&caller.fake, VERB_HELLO)->id;
    fake_error(&caller.fake, id, ZKT_DENIED, "your key is not known");
    join(&caller);
    assert_int_equal(caller.result, ZKT_DENIED);
    assert_string_equal(zkt_client_error(caller.client), "your key is not known");
    zkt_client_destroy(&caller.client);
    fake_close(&caller.fake);
    zkt_config_destroy(&caller.config);
}

static void
test_bad_tasks_stay_here(void **state)
{
    (void)state;
    struct caller caller;
    connect_caller(&caller);
    zkt_task_t *task = zkt_task_new("type");
    assert_int_equal(zkt_client_send(caller.client, &task, NULL), ZKT_INVALID);
    assert_null(task);
    assert_non_null(strstr(zkt_client_error(caller.client), "\"type\" is not KEY=VALUE"));
    assert_int_equal(zkt_client_send(caller.client, &task, NULL), ZKT_INVALID);
    task = zkt_task_new("type=big");
    char *big = malloc((5 << 20) + 1);
    memset(big, 'x', 5 << 20);
    big[5 << 20] = '\0';
    zkt_task_set_string(task, "big", big);
    free(big);
    assert_int_equal(zkt_client_post(caller.client, &task, NULL), ZKT_TOO_LARGE);
    assert_non_null(strstr(zkt_client_error(caller.client), "payload is 5.0 MiB, limit 4 MiB"));
    fake_quiet(&caller.fake, 50);
    end(&caller);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_says_who),
        cmocka_unit_test(test_send_is_durable_on_return),
        cmocka_unit_test(test_untaken_is_counted),
        cmocka_unit_test(test_posts_gather_in_order),
        cmocka_unit_test(test_batch_of_one),
        cmocka_unit_test(test_window_of_submits),
        cmocka_unit_test(test_refused_task),
        cmocka_unit_test(test_busy_keeps_the_order),
        cmocka_unit_test(test_resume_sends_again),
        cmocka_unit_test(test_numbers_follow_the_broker),
        cmocka_unit_test(test_hello_required_resumes),
        cmocka_unit_test(test_instance_forgotten_is_told),
        cmocka_unit_test(test_silence_is_noticed),
        cmocka_unit_test(test_wait_and_query),
        cmocka_unit_test(test_questions_over_a_restart),
        cmocka_unit_test(test_nothing_listens),
        cmocka_unit_test(test_denied),
        cmocka_unit_test(test_bad_tasks_stay_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
