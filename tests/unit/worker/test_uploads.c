// Uploads of the client library, against a scripted broker and a scripted object store.
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zkarton.h>

#include "client.h"
#include "unit/http_script.h"
#include "worker/fake_broker.h"

#define TAGGED "HTTP/1.1 200 OK\r\nETag: \"t\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

struct sender {
    struct fake_broker fake;
    struct server server;
    zkt_config_t *config;
    zkt_client_t *client;
    pthread_t thread;
    enum zkt_err result;
    char error[512];
    int notices_count;
    bool is_worker;         // the client is one of a worker, which
    atomic_bool is_stopped; // may be told to stop
};

static bool
is_stopped(void *arg)
{
    struct sender *sender = arg;
    return atomic_load(&sender->is_stopped);
}

static void
on_notice(void *arg, const char *text)
{
    struct sender *sender = arg;
    assert_non_null(strstr(text, "object store unreachable, retrying"));
    sender->notices_count++;
}

// Connects, sends one task with an object of eleven bytes, leaves.
static void *
run(void *arg)
{
    struct sender *sender = arg;
    zkt_client_options_t options = {
        .config = sender->config, .timeout_ms = 10000, .arg = sender, .on_notice = on_notice};
    sender->result = zkt_client_new(&options, &sender->client);
    if (sender->result == ZKT_OK && sender->is_worker) {
        sender->client->is_stopped = is_stopped;
        sender->client->stop_arg = sender;
    }
    if (sender->result == ZKT_OK) {
        zkt_task_t *task = zkt_task_new("type=sample");
        zkt_task_set_data(task, "sample", "../a\nb", "aabbccddeef", 11);
        sender->result = zkt_client_send(sender->client, &task, NULL);
        snprintf(sender->error, sizeof sender->error, "%s", zkt_client_error(sender->client));
    }
    zkt_client_destroy(&sender->client);
    return NULL;
}

static void
begin(struct sender *sender)
{
    fake_open(&sender->fake, NULL);
    assert_int_equal(zkt_config_load(NULL, &sender->config), ZKT_OK);
    zkt_config_set(sender->config, "broker", "address", sender->fake.address);
    server_start(&sender->server);
    assert_int_equal(pthread_create(&sender->thread, NULL, run, sender), 0);
    fake_expect(&sender->fake, VERB_HELLO);
    fake_welcome(&sender->fake, 0);
}

static void
end(struct sender *sender)
{
    const struct command *bye = fake_expect(&sender->fake, VERB_BYE);
    fake_send(&sender->fake, &(struct command){.verb = VERB_BYE, .id = bye->id});
    assert_int_equal(pthread_join(sender->thread, NULL), 0);
    server_stop(&sender->server);
    fake_close(&sender->fake);
    zkt_config_destroy(&sender->config);
}

static struct object_item
expect_upload(struct sender *sender)
{
    const struct command *upload = fake_expect(&sender->fake, VERB_UPLOAD);
    assert_int_equal(upload->objects.items_count, 1);
    return upload->objects.items[0];
}

static void
answer_upload(struct sender *sender, const struct object_item *item)
{
    fake_send(&sender->fake, &(struct command){.verb = VERB_URLS,
                                               .id = sender->fake.command.id,
                                               .objects = {.items = item, .items_count = 1}});
}

// A uid that is in use is drawn anew, and the task names the new one.
static void
test_a_uid_in_use(void **state)
{
    (void)state;
    static struct sender sender;
    sender = (struct sender){.server = {.answers = {TAGGED}}};
    begin(&sender);
    struct object_item first = expect_upload(&sender);
    first.code = ZKT_IN_USE;
    answer_upload(&sender, &first);
    struct object_item second = expect_upload(&sender);
    assert_false(uid_equal(&first.uid, &second.uid));
    second.url = span_of_text(sender.server.url);
    answer_upload(&sender, &second);
    const struct command *submit = fake_expect(&sender.fake, VERB_SUBMIT);
    assert_int_equal(submit->submit.tasks[0].resources_count, 1);
    assert_true(uid_equal(&submit->submit.tasks[0].resources[0].uid, &second.uid));
    fake_submitted(&sender.fake, 1);
    end(&sender);
    assert_int_equal(sender.result, ZKT_OK);
    assert_non_null(strstr(sender.server.requests[0], "\r\n\r\naabbccddeef"));
}

// A refusal names the resource, escaped.
static void
test_a_refused_upload(void **state)
{
    (void)state;
    static struct sender sender;
    sender = (struct sender){.server = {.answers = {NULL}}};
    begin(&sender);
    struct object_item item = expect_upload(&sender);
    item.code = ZKT_DISK_FULL;
    item.message = span_of_text("the disk of the broker is full");
    answer_upload(&sender, &item);
    end(&sender);
    assert_int_equal(sender.result, ZKT_DISK_FULL);
    assert_string_equal(sender.error, "../a\\x0ab: the disk of the broker is full");
}

static void
answer_parts(struct sender *sender, const struct object_item *object, const char *upload)
{
    const struct command *asked = fake_expect(&sender->fake, VERB_PARTS);
    assert_true(uid_equal(&asked->parts.uid, &object->uid));
    assert_int_equal(asked->parts.upload.len, 0);
    assert_int_equal(asked->parts.first, 1);
    struct upload_part parts[3];
    for (size_t i = 0; i < 3; i++) {
        parts[i] = (struct upload_part){.url = span_of_text(sender->server.url)};
    }
    fake_send(&sender->fake, &(struct command){.verb = VERB_PART_URLS,
                                               .id = sender->fake.command.id,
                                               .parts = {.uid = object->uid,
                                                         .upload = span_of_text(upload),
                                                         .part_size = 4,
                                                         .first = 1,
                                                         .items = parts,
                                                         .items_count = 3}});
}

static const struct command *
expect_complete(struct sender *sender, const char *upload)
{
    const struct command *complete = fake_expect(&sender->fake, VERB_COMPLETE);
    assert_true(span_equal(complete->parts.upload, span_of_text(upload)));
    assert_int_equal(complete->parts.items_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(span_equal(complete->parts.items[i].etag, span_of_text("\"t\"")));
    }
    return complete;
}

// In parts; the store is away for a moment at the end, then has forgotten the upload.
static void
test_parts(void **state)
{
    (void)state;
    static struct sender sender;
    sender =
        (struct sender){.server = {.answers = {TAGGED, TAGGED, TAGGED, TAGGED, TAGGED, TAGGED}}};
    begin(&sender);
    struct object_item item = expect_upload(&sender);
    item.url = span_of_text("http://127.0.0.1:1/never");
    item.part_size = 4;
    answer_upload(&sender, &item);
    fake_error(&sender.fake, fake_expect(&sender.fake, VERB_PARTS)->id, ZKT_UNREACHABLE, "away");
    answer_parts(&sender, &item, "one");
    uint64_t id = expect_complete(&sender, "one")->id;
    fake_error(&sender.fake, id, ZKT_UNREACHABLE, "away");
    id = expect_complete(&sender, "one")->id;
    fake_error(&sender.fake, id, ZKT_NOT_FOUND, "no such upload");
    answer_parts(&sender, &item, "two");
    id = expect_complete(&sender, "two")->id;
    fake_send(&sender.fake,
              &(struct command){.verb = VERB_COMPLETED, .id = id, .completed = item.uid});
    fake_expect(&sender.fake, VERB_SUBMIT);
    fake_submitted(&sender.fake, 1);
    end(&sender);
    assert_int_equal(sender.result, ZKT_OK);
    assert_int_equal(sender.notices_count, 2); // once for the begin, once for the end
}

// The broker takes long to put the parts together: the task can be cancelled meanwhile.
static void
test_a_stop_while_the_broker_completes(void **state)
{
    (void)state;
    static struct sender sender;
    sender = (struct sender){.server = {.answers = {TAGGED, TAGGED, TAGGED}}, .is_worker = true};
    begin(&sender);
    struct object_item item = expect_upload(&sender);
    item.url = span_of_text("http://127.0.0.1:1/never");
    item.part_size = 4;
    answer_upload(&sender, &item);
    answer_parts(&sender, &item, "one");
    expect_complete(&sender, "one");
    atomic_store(&sender.is_stopped, true);
    end(&sender); // it leaves without the answer
    assert_int_equal(sender.result, ZKT_CANCELLED);
}

// What the broker says to PARTS is looked at before it is used.
static void
test_parts_that_make_no_sense(void **state)
{
    (void)state;
    static struct sender sender;
    sender = (struct sender){.server = {.answers = {NULL}}};
    begin(&sender);
    struct object_item item = expect_upload(&sender);
    item.url = span_of_text("http://127.0.0.1:1/never");
    item.part_size = 4;
    answer_upload(&sender, &item);
    uint64_t id = fake_expect(&sender.fake, VERB_PARTS)->id;
    struct upload_part part = {.url = span_of_text("http://127.0.0.1:1/never")};
    fake_send(&sender.fake, &(struct command){.verb = VERB_PART_URLS,
                                              .id = id,
                                              .parts = {.uid = item.uid,
                                                        .upload = span_of_text("one"),
                                                        .part_size = 4,
                                                        .first = 2,
                                                        .items = &part,
                                                        .items_count = 1}});
    end(&sender);
    assert_int_equal(sender.result, ZKT_INVALID);
    assert_non_null(strstr(sender.error, "makes no sense"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_uid_in_use),
        cmocka_unit_test(test_a_refused_upload),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_a_stop_while_the_broker_completes),
        cmocka_unit_test(test_parts_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
