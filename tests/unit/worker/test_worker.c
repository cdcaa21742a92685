// Workers against a scripted broker (S7, S17, S25-S27, P4-P6, P9, P10; protocol: CREDIT, DELIVER,
// REPORT, REVOKE, RETIRE, resuming).
#include "testing.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zkarton.h>

#include "worker/fake_broker.h"

// process runs under the test's hands: it announces itself on `begun` and goes on when told to by
// `go`, both pipes.
struct service {
    struct fake_broker fake;
    zkt_config_t *config;
    zkt_worker_options_t options;
    zkt_worker_t *worker;
    pthread_t thread;
    enum zkt_err result;
    int begun[2];
    int go[2];
    atomic_int seen_cancelled;
    atomic_int hooks;
};

static void
tell(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void
await(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    char byte = 0;
    assert_int_equal(poll(&item, 1, 10000), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
}

// What process does is what the header "do" says.
static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    struct service *service = arg;
    const char *what = zkt_task_header(task, "do");
    what = what == NULL ? "" : what;
    if (strcmp(what, "hold") == 0) {
        char byte = 0;
        ssize_t moved = write(service->begun[1], "x", 1);
        moved += read(service->go[0], &byte, 1);
        return moved == 2 ? ZKT_OK : ZKT_FAILED;
    }
    if (strcmp(what, "hold-and-stop") == 0) {
        char byte = 0;
        ssize_t moved = write(service->begun[1], "x", 1);
        moved += read(service->go[0], &byte, 1);
        zkt_worker_stop(service->worker);
        return moved == 2 ? ZKT_OK : ZKT_FAILED;
    }
    if (strcmp(what, "until-cancelled") == 0) {
        struct pollfd item = {.fd = zkt_delivery_cancel_fd(delivery), .events = POLLIN};
        ssize_t moved = write(service->begun[1], "x", 1);
        int ready = poll(&item, 1, 10000);
        atomic_store(&service->seen_cancelled,
                     ready == 1 && moved == 1 && zkt_delivery_is_cancelled(delivery));
        return ZKT_CANCELLED;
    }
    if (strcmp(what, "crash") == 0) {
        return zkt_delivery_fail(delivery, "cannot read %s", "it");
    }
    if (strcmp(what, "give-back") == 0) {
        return zkt_delivery_give_back(delivery, 1500);
    }
    if (strcmp(what, "child") == 0) {
        zkt_task_t *child = zkt_task_new("type=child");
        zkt_task_set_priority(child, ZKT_LOW); // S21: ignored
        return zkt_delivery_post(delivery, &child);
    }
    if (strcmp(what, "child-durable") == 0) {
        zkt_task_t *child = zkt_task_new("type=child");
        enum zkt_err err = zkt_delivery_send(delivery, &child);
        ssize_t moved = write(service->begun[1], "x", 1);
        return moved == 1 ? err : ZKT_IO;
    }
    return ZKT_OK;
}

static void
pre_hook(zkt_delivery_t *delivery, enum zkt_err result, void *arg)
{
    struct service *service = arg;
    atomic_fetch_add(&service->hooks, result == ZKT_OK && zkt_delivery_task(delivery) ? 1 : 100);
}

static void
post_hook(zkt_delivery_t *delivery, enum zkt_err result, void *arg)
{
    struct service *service = arg;
    atomic_fetch_add(&service->hooks,
                     result == ZKT_FAILED && zkt_delivery_error(delivery) ? 10 : 0);
}

static void *
run(void *arg)
{
    struct service *service = arg;
    service->result = zkt_worker_run(service->worker);
    return NULL;
}

static void
prepare(struct service *service)
{
    *service = (struct service){0};
    fake_open(&service->fake, NULL);
    assert_int_equal(zkt_config_load(NULL, &service->config), ZKT_OK);
    zkt_config_set(service->config, "broker", "address", service->fake.address);
    zkt_config_set(service->config, "logging", "level", "ERROR");
    assert_int_equal(pipe(service->begun), 0);
    assert_int_equal(pipe(service->go), 0);
    service->options = (zkt_worker_options_t){.identity = "test.worker",
                                              .info = "Doc",
                                              .service_version = "1.0",
                                              .filters = {"type=sample kind=!raw", "n:=3"},
                                              .process = process,
                                              .arg = service,
                                              .config = service->config,
                                              .keep_signals = true};
}

static void
start(struct service *service)
{
    assert_int_equal(zkt_worker_new(&service->options, &service->worker), ZKT_OK);
    assert_int_equal(pthread_create(&service->thread, NULL, run, service), 0);
}

static void
start_and_welcome(struct service *service)
{
    prepare(service);
    start(service);
    fake_expect(&service->fake, VERB_HELLO);
    fake_welcome(&service->fake, 0);
}

static void
join(struct service *service)
{
    assert_int_equal(pthread_join(service->thread, NULL), 0);
    zkt_worker_destroy(&service->worker);
    fake_close(&service->fake);
    zkt_config_destroy(&service->config);
    for (int end = 0; end < 2; end++) {
        close(service->begun[end]);
        close(service->go[end]);
    }
}

static void
say_bye(struct service *service)
{
    uint64_t id = fake_expect(&service->fake, VERB_BYE)->id;
    struct command command = {.verb = VERB_BYE, .id = id};
    fake_send(&service->fake, &command);
}

static void
stop(struct service *service)
{
    zkt_worker_stop(service->worker);
    say_bye(service);
    join(service);
    assert_int_equal(service->result, ZKT_OK);
}

static void
restart(struct service *service)
{
    char address[64];
    snprintf(address, sizeof address, "%s", service->fake.address);
    fake_close(&service->fake);
    fake_open(&service->fake, address);
}

static const struct report_item *
expect_report(struct service *service, uint64_t delivery, enum report_state state)
{
    const struct report *report = &fake_expect(&service->fake, VERB_REPORT)->report;
    assert_int_equal(report->items_count, 1);
    assert_int_equal(report->items[0].delivery, delivery);
    assert_int_equal(report->items[0].state, state);
    return &report->items[0];
}

static void
test_hello_carries_the_bind(void **state)
{
    (void)state;
    struct service service;
    prepare(&service);
    service.options.concurrency = 3;
    service.options.transactional = true;
    start(&service);
    const struct hello *hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    assert_int_equal(hello->role, ROLE_WORKER);
    assert_true(span_equal(hello->identity, span_of_text("test.worker")));
    assert_int_equal(hello->concurrency, 3);
    assert_true(hello->transactional);
    assert_true(hello->has_bind);
    assert_true(hello->bind.persistent);
    assert_int_equal(hello->bind.filters.len, 2);
    assert_true(value_is_text(value_get(&hello->bind.filters.items[0], "kind"), "!raw"));
    assert_int_equal(value_get(&hello->bind.filters.items[1], "n")->integer, 3);
    assert_true(value_is_text(&hello->bind.info, "Doc"));
    assert_true(value_is_text(&hello->bind.service_version, "1.0"));
    assert_int_equal(hello->held_count, 0);
    fake_welcome(&service.fake, 0);
    assert_int_equal(fake_next(&service.fake)->verb, VERB_CREDIT);
    assert_int_equal(service.fake.command.credit_window, 64);
    stop(&service);
}

static void
test_debug_mode(void **state)
{
    (void)state;
    struct service service;
    prepare(&service); // S26, S27
    zkt_config_set(service.config, "karton", "debug", "1");
    start(&service);
    const struct hello *hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    char identity[64];
    snprintf(identity, sizeof identity, "%.*s", (int)hello->identity.len,
             (const char *)hello->identity.data);
    assert_int_equal(strlen(identity), strlen("test.worker-01234567-dev"));
    assert_memory_equal(identity, "test.worker-", 12);
    assert_string_equal(identity + strlen(identity) - 4, "-dev");
    assert_false(hello->bind.persistent);
    fake_welcome(&service.fake, 0);
    stop(&service);
}

static void
test_finished(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 11, "{\"type\": \"sample\"}");
    const struct report_item *item = expect_report(&service, 11, REPORT_FINISHED);
    assert_int_equal(item->after, 0);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

static void
test_crashed(void **state)
{
    (void)state;
    struct service service;
    prepare(&service);
    zkt_config_set(service.config, "logging", "enable_publish", "0");
    zkt_config_set(service.config, "logging", "level", "ERROR");
    assert_int_equal(zkt_worker_new(&service.options, &service.worker), ZKT_OK);
    zkt_worker_add_hooks(service.worker, "test", pre_hook, post_hook, &service); // P9
    assert_int_equal(pthread_create(&service.thread, NULL, run, &service), 0);
    fake_expect(&service.fake, VERB_HELLO);
    fake_welcome(&service.fake, 0);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 12, "{\"do\": \"crash\"}");
    const struct report_item *item = expect_report(&service, 12, REPORT_CRASHED);
    assert_true(span_equal(item->error, span_of_text("cannot read it")));
    assert_int_equal(atomic_load(&service.hooks), 11);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

static void
check_crash_record(const struct command *command)
{
    assert_int_equal(command->log_records.len, 1);
    const struct value *record = &command->log_records.items[0];
    assert_true(value_is_text(value_get(record, "name"), "test.worker"));
    assert_true(value_is_text(value_get(record, "levelname"), "ERROR"));
    assert_int_equal(value_get(record, "levelno")->integer, 40);
    assert_true(value_is_text(value_get(record, "type"), "log"));
    assert_int_equal(value_get(record, "task_id")->len, 36);
    assert_non_null(strstr(value_get(record, "message")->text, "cannot read it"));
    assert_non_null(strstr(value_get(record, "task")->text, "\"status\": \"Started\""));
}

static void
test_crash_is_logged(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 12, "{\"do\": \"crash\"}");
    // S13: the record goes its way, in any order with the report.
    bool is_logged = false;
    bool is_reported = false;
    while (!is_logged || !is_reported) {
        const struct command *command = fake_next(&service.fake);
        if (command->verb == VERB_LOG) {
            check_crash_record(command);
            is_logged = true;
        } else if (command->verb == VERB_REPORT && command->id != 0) {
            fake_reported(&service.fake, ZKT_OK);
            is_reported = true;
        }
    }
    stop(&service);
}

static void
test_give_back(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 13, "{\"do\": \"give-back\"}");
    assert_int_equal(expect_report(&service, 13, REPORT_RETURNED)->delay_ms, 1500);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

// The parent is reported only when its child is on disk, and names the child's SUBMIT.
static void
test_child_before_report(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 14, "{\"do\": \"child\"}");
    const struct submit *submit = &fake_expect(&service.fake, VERB_SUBMIT)->submit;
    assert_int_equal(submit->delivery, 14);
    const struct task *child = &submit->tasks[0];
    assert_true(value_is_text(value_get(&child->headers, "origin"), "test.worker"));
    assert_int_equal(child->priority, PRIORITY_HIGH);
    assert_false(uid_is_none(&child->parent));
    struct submit_result result = {.uid = child->uid, .taken_count = 1};
    fake_quiet(&service.fake, 50);
    struct command command = {.verb = VERB_SUBMITTED};
    command.submitted = (struct submitted){.number = 1, .results = &result, .results_count = 1};
    fake_send(&service.fake, &command);
    assert_int_equal(expect_report(&service, 14, REPORT_FINISHED)->after, 1);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

static void
test_refused_child_crashes(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 15, "{\"do\": \"child\"}");
    struct submit_result result = {.uid =
                                       fake_expect(&service.fake, VERB_SUBMIT)->submit.tasks[0].uid,
                                   .code = ZKT_HELD_LIMIT,
                                   .message = span_of_text("too many")};
    struct command command = {.verb = VERB_SUBMITTED};
    command.submitted = (struct submitted){.number = 1, .results = &result, .results_count = 1};
    fake_send(&service.fake, &command);
    const struct report_item *item = expect_report(&service, 15, REPORT_CRASHED);
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)item->error.len, (const char *)item->error.data);
    assert_non_null(strstr(text, "was refused: too many (HELD_LIMIT)"));
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

// zkt_delivery_send returns once the child is on disk, with its refusal if it has one.
static void
test_send_waits(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    for (uint64_t delivery = 50; delivery < 52; delivery++) {
        bool is_refused = delivery == 51;
        fake_deliver(&service.fake, delivery, "{\"do\": \"child-durable\"}");
        const struct submit *submit = &fake_expect(&service.fake, VERB_SUBMIT)->submit;
        struct submit_result result = {.uid = submit->tasks[0].uid,
                                       .code = is_refused ? ZKT_OBJECT_UNKNOWN : ZKT_OK,
                                       .message = span_of_text("no such object")};
        struct command command = {.verb = VERB_SUBMITTED};
        command.submitted =
            (struct submitted){.number = submit->number, .results = &result, .results_count = 1};
        struct pollfd item = {.fd = service.begun[0], .events = POLLIN};
        assert_int_equal(poll(&item, 1, 50), 0); // it does not return before the answer
        fake_send(&service.fake, &command);
        await(service.begun[0]);
        const struct report_item *report =
            expect_report(&service, delivery, is_refused ? REPORT_CRASHED : REPORT_FINISHED);
        assert_true(!is_refused || span_equal(report->error, span_of_text("no such object")));
        fake_reported(&service.fake, ZKT_OK);
    }
    stop(&service);
}

// A child's SUBMIT that is refused as a whole has no number with the broker: the session resumes,
// and the report waits for what the broker counted, not for the number.
static void
test_child_refused_as_a_whole(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    const char *what[] = {"{\"do\": \"child-durable\"}", "{\"do\": \"child\"}"};
    for (uint64_t index = 0; index < 2; index++) {
        fake_deliver(&service.fake, 60 + index, what[index]);
        const struct command *refused = fake_expect(&service.fake, VERB_SUBMIT);
        assert_int_equal(refused->submit.number, 1);
        fake_error(&service.fake, refused->id, ZKT_INVALID, "name is no string");
        assert_int_equal(fake_expect(&service.fake, VERB_HELLO)->hello.held_count, 1);
        fake_welcome(&service.fake, 0);
        assert_int_equal(expect_report(&service, 60 + index, REPORT_CRASHED)->after, 0);
        fake_reported(&service.fake, ZKT_OK);
    }
    stop(&service);
}

static void
test_not_yet_is_repeated(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 16, "{}");
    expect_report(&service, 16, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_NOT_YET);
    expect_report(&service, 16, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

// S25: heartbeats go on while process blocks; Started is told.
static void
test_heartbeats_while_blocked(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 17, "{\"do\": \"hold\"}");
    await(service.begun[0]);
    const struct command *command = fake_next(&service.fake);
    assert_int_equal(command->verb, VERB_REPORT);
    assert_int_equal(command->report.items[0].state, REPORT_STARTED);
    assert_int_equal(command->id, 0);
    service.fake.keeps_heartbeats = true;
    for (int heartbeat = 0; heartbeat < 3; heartbeat++) {
        assert_int_equal(fake_next(&service.fake)->verb, VERB_HEARTBEAT);
    }
    service.fake.keeps_heartbeats = false;
    tell(service.go[1]);
    expect_report(&service, 17, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

// A broker that restarted is told what is held; process does not notice.
static void
test_resume_names_what_is_held(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 18, "{\"do\": \"hold\"}");
    await(service.begun[0]);
    restart(&service);
    const struct hello *hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    assert_int_equal(hello->held_count, 1);
    assert_int_equal(hello->held[0].delivery, 18);
    assert_int_equal(hello->bind_generation, 7);
    fake_welcome(&service.fake, 0);
    assert_int_equal(fake_next(&service.fake)->verb, VERB_CREDIT);
    tell(service.go[1]);
    expect_report(&service, 18, REPORT_FINISHED);
    // The answer is lost with another restart: still held, said again.
    restart(&service);
    hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    assert_int_equal(hello->held_count, 1);
    fake_welcome(&service.fake, 0);
    expect_report(&service, 18, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
}

static void
test_revoked(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 19, "{\"do\": \"until-cancelled\"}");
    await(service.begun[0]);
    uint64_t delivery = 19;
    struct command command = {.verb = VERB_REVOKE};
    command.revoke = (struct revoke){
        .deliveries = &delivery, .deliveries_count = 1, .reason = span_of_text("lease lost")};
    fake_send(&service.fake, &command);
    zkt_worker_stop(service.worker);
    say_bye(&service); // no report of it
    join(&service);
    assert_true(atomic_load(&service.seen_cancelled));
}

// Nothing is hoarded behind a slow task: what has not started goes back, the window shrinks.
static void
test_slow_task_returns_the_rest(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 20, "{\"do\": \"hold\"}");
    await(service.begun[0]);
    fake_deliver(&service.fake, 21, "{}");
    const struct command *command = fake_next(&service.fake);
    while (command->verb != VERB_CREDIT) {
        command = fake_next(&service.fake);
    }
    assert_int_equal(command->credit_window, 1);
    expect_report(&service, 21, REPORT_RETURNED);
    fake_reported(&service.fake, ZKT_OK);
    tell(service.go[1]);
    expect_report(&service, 20, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    // Quick tasks bring the window back.
    for (uint64_t delivery = 30; delivery < 46; delivery++) {
        fake_deliver(&service.fake, delivery, "{}");
        command = fake_next(&service.fake);
        while (command->verb != VERB_REPORT && command->verb != VERB_CREDIT) {
            command = fake_next(&service.fake);
        }
        if (command->verb == VERB_CREDIT) {
            assert_int_equal(command->credit_window, 64);
            assert_int_equal(delivery, 45);
            command = fake_next(&service.fake);
        }
        fake_reported(&service.fake, ZKT_OK);
    }
    stop(&service);
}

// P5: the timeout is reported at once; a process that returns then serves on.
static void
test_timeout(void **state)
{
    (void)state;
    struct service service;
    prepare(&service);
    service.options.timeout_s = 1;
    start(&service);
    fake_expect(&service.fake, VERB_HELLO);
    fake_welcome(&service.fake, 0);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 22, "{\"do\": \"until-cancelled\"}");
    await(service.begun[0]);
    const struct report_item *item = NULL;
    const struct command *command = fake_next(&service.fake);
    while (command->verb != VERB_REPORT || command->report.items[0].state == REPORT_STARTED) {
        command = fake_next(&service.fake);
    }
    item = &command->report.items[0];
    assert_int_equal(item->state, REPORT_CRASHED);
    assert_memory_equal(item->error.data, "TaskTimeoutError", 16);
    fake_reported(&service.fake, ZKT_OK);
    fake_deliver(&service.fake, 23, "{}");
    expect_report(&service, 23, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    stop(&service);
    assert_true(atomic_load(&service.seen_cancelled));
}

// P10: the first signal lets the task in process finish and returns the rest.
static void
test_stop_finishes(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 23, "{\"do\": \"hold\"}");
    await(service.begun[0]);
    fake_deliver(&service.fake, 24, "{}");
    uint64_t window = 1;
    zkt_worker_stop(service.worker);
    const struct command *command = fake_next(&service.fake);
    while (command->verb != VERB_CREDIT) {
        command = fake_next(&service.fake);
    }
    window = command->credit_window;
    assert_int_equal(window, 0);
    expect_report(&service, 24, REPORT_RETURNED);
    fake_reported(&service.fake, ZKT_OK);
    fake_quiet(&service.fake, 50);
    tell(service.go[1]);
    expect_report(&service, 23, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    say_bye(&service);
    join(&service);
    assert_int_equal(service.result, ZKT_OK);
}

// Nothing begins after a stop, though the thread of process may be faster than the io thread. It
// seldom is: so many rounds.
static void
test_nothing_begins_after_a_stop(void **state)
{
    (void)state;
    enum { ROUNDS = 30, WAITING = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        struct service service;
        start_and_welcome(&service);
        fake_expect(&service.fake, VERB_CREDIT);
        fake_deliver(&service.fake, 33, "{\"do\": \"hold-and-stop\"}");
        await(service.begun[0]);
        for (uint64_t number = 34; number < 34 + WAITING; number++) {
            fake_deliver(&service.fake, number, "{}");
        }
        fake_quiet(&service.fake, 20); // they wait for the slot now
        tell(service.go[1]);
        for (size_t settled_count = 0; settled_count < 1 + WAITING;) {
            const struct report *report = &fake_expect(&service.fake, VERB_REPORT)->report;
            for (size_t i = 0; i < report->items_count; i++) {
                bool is_first = report->items[i].delivery == 33;
                assert_int_equal(report->items[i].state,
                                 is_first ? REPORT_FINISHED : REPORT_RETURNED);
            }
            settled_count += report->items_count;
            fake_reported(&service.fake, ZKT_OK);
        }
        say_bye(&service);
        join(&service);
        assert_int_equal(service.result, ZKT_OK);
    }
}

// P6: stopped hard is not Finished.
static void
test_abort_gives_back(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 25, "{\"do\": \"until-cancelled\"}");
    await(service.begun[0]);
    zkt_worker_abort(service.worker);
    expect_report(&service, 25, REPORT_RETURNED);
    fake_reported(&service.fake, ZKT_OK);
    say_bye(&service);
    join(&service);
    assert_int_equal(service.result, ZKT_CANCELLED);
    assert_true(atomic_load(&service.seen_cancelled));
}

static void
test_retire(void **state)
{
    (void)state;
    struct service service;
    start_and_welcome(&service);
    fake_expect(&service.fake, VERB_CREDIT);
    fake_deliver(&service.fake, 26, "{\"do\": \"hold\"}");
    await(service.begun[0]);
    struct command command = {.verb = VERB_RETIRE, .retire_reason = span_of_text("bind replaced")};
    fake_send(&service.fake, &command);
    while (fake_next(&service.fake)->verb != VERB_CREDIT) {
    }
    assert_int_equal(service.fake.command.credit_window, 0);
    tell(service.go[1]);
    expect_report(&service, 26, REPORT_FINISHED);
    fake_reported(&service.fake, ZKT_OK);
    say_bye(&service);
    join(&service);
    assert_int_equal(service.result, ZKT_OK);
}

// T7: a joined worker joins the new bind.
static void
test_joined_joins_again(void **state)
{
    (void)state;
    struct service service;
    prepare(&service);
    service.options.join = true;
    service.options.filters[0] = NULL;
    start(&service);
    const struct hello *hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    assert_true(hello->join);
    assert_false(hello->has_bind);
    fake_error(&service.fake, service.fake.command.id, ZKT_NO_SUCH_CONSUMER, "nobody yet");
    fake_expect(&service.fake, VERB_HELLO); // it waits for one
    fake_welcome(&service.fake, 0);
    fake_expect(&service.fake, VERB_CREDIT);
    struct command command = {.verb = VERB_RETIRE, .retire_reason = span_of_text("bind replaced")};
    fake_send(&service.fake, &command);
    hello = &fake_expect(&service.fake, VERB_HELLO)->hello;
    assert_int_equal(hello->bind_generation, 0);
    fake_welcome(&service.fake, 0);
    stop(&service);
}

static void
test_refused_bind(void **state)
{
    (void)state;
    struct service service;
    prepare(&service);
    start(&service);
    fake_expect(&service.fake, VERB_HELLO);
    fake_error(&service.fake, service.fake.command.id, ZKT_FILTER_INVALID,
               "filters[0].platform: unknown operator \"$nto\"");
    pthread_join(service.thread, NULL);
    assert_int_equal(service.result, ZKT_FILTER_INVALID);
    assert_non_null(strstr(zkt_worker_error(service.worker), "$nto"));
    zkt_worker_destroy(&service.worker);
    fake_close(&service.fake);
    zkt_config_destroy(&service.config);
}

static void
test_wrong_options(void **state)
{
    (void)state;
    zkt_config_t *config = NULL;
    assert_int_equal(zkt_config_load(NULL, &config), ZKT_OK);
    zkt_worker_options_t options = {
        .identity = "my service", .filters = {"[{}]"}, .process = process, .config = config};
    zkt_worker_t *worker = NULL;
    assert_int_equal(zkt_worker_new(&options, &worker), ZKT_IDENTITY_INVALID); // P13
    zkt_worker_destroy(&worker);
    options.identity = "my.service";
    options.filters[0] = NULL;
    assert_int_equal(zkt_worker_new(&options, &worker), ZKT_FILTER_INVALID);
    zkt_worker_destroy(&worker);
    zkt_config_destroy(&config);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_carries_the_bind),
        cmocka_unit_test(test_debug_mode),
        cmocka_unit_test(test_finished),
        cmocka_unit_test(test_crashed),
        cmocka_unit_test(test_crash_is_logged),
        cmocka_unit_test(test_give_back),
        cmocka_unit_test(test_child_before_report),
        cmocka_unit_test(test_refused_child_crashes),
        cmocka_unit_test(test_send_waits),
        cmocka_unit_test(test_child_refused_as_a_whole),
        cmocka_unit_test(test_not_yet_is_repeated),
        cmocka_unit_test(test_heartbeats_while_blocked),
        cmocka_unit_test(test_resume_names_what_is_held),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_slow_task_returns_the_rest),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_stop_finishes),
        cmocka_unit_test(test_nothing_begins_after_a_stop),
        cmocka_unit_test(test_abort_gives_back),
        cmocka_unit_test(test_retire),
        cmocka_unit_test(test_joined_joins_again),
        cmocka_unit_test(test_refused_bind),
        cmocka_unit_test(test_wrong_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
