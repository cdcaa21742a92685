// Which member of a struct goes under which name: each command is written with values that differ,
// read back as a plain document, and looked at by hand. (That reading is the reverse of writing is
// test_vectors.c's.)
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/command.h"
#include "wire/json.h"
#include "wire/msgpack_value.h"

struct fixture {
    struct arena arena;
    struct bytes frame;
    struct value document;
};

static int
set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    arena_init(&fixture->arena);
    *state = fixture;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_fini(&fixture->arena);
    bytes_fini(&fixture->frame);
    free(fixture);
    return 0;
}

// Letters, so that it shows as a text.
static struct uid
uid_of(char letter)
{
    struct uid uid;
    memset(uid.bytes, letter, sizeof uid.bytes);
    return uid;
}

#define UID(letter)                                                                                \
    "\"" letter letter letter letter letter letter letter letter letter letter letter letter       \
        letter letter letter letter "\""

static void
written(struct fixture *fixture, const struct command *command)
{
    bytes_clear(&fixture->frame);
    command_encode(command, &fixture->frame);
    struct reader reader = reader_of(bytes_span(&fixture->frame));
    struct problem problem = {0};
    if (msgpack_read_rows(&reader, &fixture->arena, &fixture->document, &problem) != ZKT_OK) {
        fail_msg("%s", problem.text);
    }
    assert_true(reader_is_at_end(&reader));
    assert_int_equal(fixture->document.len, 3);
    assert_int_equal(fixture->document.items[0].integer, command->verb);
    assert_int_equal(fixture->document.items[1].integer, command->id);
}

static void
expect(struct fixture *fixture, const char *json)
{
    struct bytes text = {0};
    json_write(&fixture->document.items[2], &text, JSON_COMPACT);
    assert_string_equal(bytes_text(&text), json);
    bytes_fini(&text);
}

static void
test_hello(void **state)
{
    struct held held = {.delivery = 9, .uid = uid_of('h'), .started = true};
    struct command command = {
        .verb = VERB_HELLO,
        .id = 5,
        .hello = {.version = 1,
                  .instance = uid_of('i'),
                  .identity = span_of_text("name"),
                  .role = ROLE_OPERATOR,
                  .host = span_of_text("host"),
                  .pid = 2,
                  .language = span_of_text("c/1"),
                  .has_bind = true,
                  .bind = {.filters = value_list(),
                           .persistent = true,
                           .info = value_int(3),
                           .version = value_int(4),
                           .service_version = value_int(5),
                           .is_async = true},
                  .join = true,
                  .concurrency = 6,
                  .transactional = true,
                  .expiry_ms = 7,
                  .bind_generation = 8,
                  .held = &held,
                  .held_count = 1},
    };
    written(*state, &command);
    expect(
        *state,
        "{\"v\":1,\"instance\":" UID(
            "i") ",\"identity\":\"name\",\"role\":\"operator\","
                 "\"host\":\"host\",\"pid\":2,\"lang\":\"c/1\",\"bind\":{\"filters\":[],"
                 "\"persistent\":true,\"info\":3,\"version\":4,\"service_version\":5,\"is_async\":true},"
                 "\"join\":true,\"concurrency\":6,\"transactional\":true,\"expiry_ms\":7,"
                 "\"generation\":8,\"held\":[{\"delivery\":9,\"uid\":" UID(
                     "h") ",\"started\":true}]}");
}

static void
test_welcome(void **state)
{
    struct command command = {
        .verb = VERB_WELCOME,
        .welcome = {.session = 1,
                    .bind_generation = 2,
                    .interval_ms = 3,
                    .expiry_ms = 4,
                    .time_ms = -5,
                    .last_number = 6,
                    .submit_tasks_max = 7,
                    .submit_bytes_max = 8,
                    .task_bytes_max = 9,
                    .events_address = span_of_text("events"),
                    .http_address = span_of_text("http"),
                    .object_kind = span_of_text("dir"),
                    .retiring = true},
    };
    written(*state, &command);
    expect(*state,
           "{\"session\":1,\"generation\":2,\"interval_ms\":3,\"expiry_ms\":4,\"time_ms\":-5,"
           "\"last_number\":6,\"submit_tasks\":7,\"submit_bytes\":8,\"task_bytes\":9,"
           "\"events\":\"events\",\"http\":\"http\",\"object\":\"dir\",\"retiring\":true}");
}

static struct task
task_of(struct arena *arena, struct resource *resource)
{
    *resource = (struct resource){.uid = uid_of('r'),
                                  .name = span_of_text("name"),
                                  .bucket = span_of_text("bucket"),
                                  .size = -1,
                                  .has_sha256 = true,
                                  .flags = RESOURCE_DIRECTORY,
                                  .metadata = value_map()};
    memset(resource->sha256, 's', sizeof resource->sha256);
    struct task task = {.uid = uid_of('u'),
                        .root = uid_of('o'),
                        .parent = uid_of('p'),
                        .orig = uid_of('g'),
                        .retry_of = uid_of('n'),
                        .priority = PRIORITY_LOW,
                        .headers = value_map(),
                        .header_keys = value_list(),
                        .payload = span_of("\x80", 1),
                        .payload_persistent = span_of("\x81\xa1k\x01", 4),
                        .resources = resource,
                        .resources_count = 1};
    value_put(arena, &task.headers, "a", value_int(1));
    value_append(arena, &task.header_keys, value_text(arena, "a"));
    return task;
}

#define RESOURCE_TEXT                                                                              \
    "\"resources\":[{\"uid\":" UID(                                                                \
        "r") ",\"name\":\"name\",\"bucket\":\"bucket\",\"size\":-1,"                               \
             "\"sha256\":\"ssssssssssssssssssssssssssssssss\",\"flags\":1,\"metadata\":{}}]"
#define IDS_TEXT                                                                                   \
    "\"uid\":" UID("u") ",\"root\":" UID("o") ",\"parent\":" UID("p") ",\"orig\":" UID(            \
        "g") ",\"prio\":2"

// The bags are bytes: they are looked at apart and taken out.
static void
take_bags(struct value *task)
{
    const struct value *payload = value_get(task, "payload");
    const struct value *persistent = value_get(task, "pp");
    assert_int_equal(payload->len, 1);
    assert_memory_equal(payload->text, "\x80", 1);
    assert_int_equal(persistent->len, 4);
    assert_memory_equal(persistent->text, "\x81\xa1k\x01", 4);
    assert_true(value_remove(task, "payload"));
    assert_true(value_remove(task, "pp"));
}

static struct value *
path(struct fixture *fixture, const char *where)
{
    const struct value *value = value_path(&fixture->document, where);
    assert_non_null(value);
    return (struct value *)(uintptr_t)value;
}

static void
test_submit(void **state)
{
    struct fixture *fixture = *state;
    struct resource resource;
    struct task task = task_of(&fixture->arena, &resource);
    struct command command = {
        .verb = VERB_SUBMIT,
        .id = 6,
        .submit = {.number = 1, .delivery = 2, .tasks = &task, .tasks_count = 1}};
    written(fixture, &command);
    take_bags(path(fixture, "2.tasks.0"));
    expect(fixture, "{\"number\":1,\"delivery\":2,\"tasks\":[{" IDS_TEXT
                    ",\"headers\":{\"a\":1},\"hp\":[\"a\"]," RESOURCE_TEXT "}]}");
}

static void
test_deliver(void **state)
{
    struct fixture *fixture = *state;
    struct resource resource;
    struct task task = task_of(&fixture->arena, &resource);
    struct bytes body = {0};
    wire_task_codec.pack(&task, &body);
    // What the store keeps beside the body: identifiers and priority only.
    task.headers = value_null();
    task.header_keys = value_null();
    task.payload = (struct span){0};
    task.resources_count = 0;
    struct deliver_item item = {.delivery = 3,
                                .attempt = 4,
                                .task = task,
                                .body = bytes_span(&body),
                                .receiver = span_of_text("me")};
    struct command command = {.verb = VERB_DELIVER, .deliver = {.items = &item, .items_count = 1}};
    written(fixture, &command);
    take_bags(path(fixture, "2.items.0.task"));
    expect(fixture,
           "{\"items\":[{\"delivery\":3,\"attempt\":4,\"task\":{" IDS_TEXT
           ",\"headers\":{\"a\":1,\"receiver\":\"me\"},\"hp\":[\"a\"]," RESOURCE_TEXT "}}]}");
    bytes_fini(&body);
}

static void
test_answers_to_submit_and_report(void **state)
{
    struct submit_result results[] = {
        {.uid = uid_of('a'), .taken_count = 2},
        {.uid = uid_of('b'), .code = ZKT_FANOUT_LIMIT, .message = span_of_text("m")}};
    struct command command = {.verb = VERB_SUBMITTED,
                              .id = 1,
                              .submitted = {.number = 7, .results = results, .results_count = 2}};
    written(*state, &command);
    expect(*state, "{\"number\":7,\"results\":[{\"uid\":" UID("a") ",\"taken\":2},{\"uid\":" UID(
                       "b") ",\"code\":24,\"message\":\"m\"}]}");
    struct reported_item items[] = {{.delivery = 8, .uid = uid_of('c'), .code = ZKT_LEASE_LOST},
                                    {.delivery = 9, .uid = uid_of('d'), .gone = true}};
    command = (struct command){.verb = VERB_REPORTED, .reported = {items, 2}};
    written(*state, &command);
    expect(*state, "{\"items\":[{\"delivery\":8,\"uid\":" UID(
                       "c") ",\"code\":13},{\"delivery\":9,\"uid\":" UID("d") ",\"gone\":true}]}");
}

static void
test_report(void **state)
{
    struct report_item items[] = {
        {.delivery = 1, .uid = uid_of('a'), .state = REPORT_STARTED},
        {.delivery = 2, .uid = uid_of('b'), .state = REPORT_FINISHED, .after = 3},
        {.delivery = 4,
         .uid = uid_of('c'),
         .state = REPORT_CRASHED,
         .error = span_of_text("why\nso")},
        {.delivery = 5, .uid = uid_of('d'), .state = REPORT_RETURNED, .delay_ms = 6}};
    struct command command = {.verb = VERB_REPORT, .id = 2, .report = {items, 4}};
    written(*state, &command);
    expect(*state, "{\"items\":[{\"delivery\":1,\"uid\":" UID(
                       "a") ",\"state\":\"Started\"},"
                            "{\"delivery\":2,\"uid\":" UID(
                                "b") ",\"state\":\"Finished\",\"after\":3},"
                                     "{\"delivery\":4,\"uid\":" UID(
                                         "c") ",\"state\":\"Crashed\",\"error\":\"why\\nso\"},"
                                              "{\"delivery\":5,\"uid\":" UID(
                                                  "d") ",\"state\":\"Returned\",\"delay_ms\":6}]}");
}

static void
test_objects(void **state)
{
    struct object_item item = {.uid = uid_of('a'), .size = 5, .url = span_of_text("http://x")};
    memset(item.sha256, 's', sizeof item.sha256);
    struct command command = {.verb = VERB_UPLOAD, .id = 1, .objects = {&item, 1}};
    written(*state, &command);
    expect(*state, "{\"items\":[{\"uid\":" UID(
                       "a") ",\"size\":5,\"sha256\":\"ssssssssssssssssssssssssssssssss\"}]}");
    command.verb = VERB_DOWNLOAD;
    written(*state, &command);
    expect(*state, "{\"items\":[{\"uid\":" UID("a") "}]}");
    command.verb = VERB_URLS;
    written(*state, &command);
    expect(*state, "{\"items\":[{\"uid\":" UID("a") ",\"url\":\"http://x\"}]}");
    item = (struct object_item){
        .uid = uid_of('b'), .code = ZKT_OBJECT_UNKNOWN, .message = span_of_text("no")};
    written(*state, &command);
    expect(*state, "{\"items\":[{\"uid\":" UID("b") ",\"code\":28,\"message\":\"no\"}]}");
}

static void
test_small_ones(void **state)
{
    struct fixture *fixture = *state;
    struct command command = {.verb = VERB_CREDIT, .credit_window = 64};
    written(fixture, &command);
    expect(fixture, "{\"window\":64}");
    uint64_t deliveries[] = {1, 2};
    command =
        (struct command){.verb = VERB_REVOKE, .revoke = {deliveries, 2, span_of_text("cancelled")}};
    written(fixture, &command);
    expect(fixture, "{\"deliveries\":[1,2],\"reason\":\"cancelled\"}");
    command = (struct command){.verb = VERB_WAIT, .id = 3, .wait_root = uid_of('w')};
    written(fixture, &command);
    expect(fixture, "{\"root\":" UID("w") "}");
    command = (struct command){
        .verb = VERB_DONE,
        .done = {.root = uid_of('w'), .finished_count = 1, .crashed_count = 2, .elapsed_ms = -1}};
    written(fixture, &command);
    expect(fixture, "{\"root\":" UID("w") ",\"finished\":1,\"crashed\":2,\"elapsed_ms\":-1}");
    command = (struct command){.verb = VERB_RETIRE, .retire_reason = span_of_text("why")};
    written(fixture, &command);
    expect(fixture, "{\"reason\":\"why\"}");
    command = (struct command){.verb = VERB_BYE, .id = 4};
    written(fixture, &command);
    expect(fixture, "{}");
    command.verb = VERB_HEARTBEAT;
    written(fixture, &command);
    expect(fixture, "{}");
}

static void
test_error_says_whether_to_repeat(void **state)
{
    struct command command = {
        .verb = VERB_ERROR,
        .id = 5,
        .error = {.code = ZKT_BUSY, .message = span_of_text("later"), .verb = VERB_SUBMIT}};
    written(*state, &command);
    expect(*state, "{\"code\":10,\"message\":\"later\",\"verb\":4,\"retryable\":true}");
    command.error = (struct error_body){.code = ZKT_INVALID};
    written(*state, &command);
    expect(*state, "{\"code\":1,\"retryable\":false}");
    // A sentence that was cut within a character still goes through.
    command.error.message = span_of("caf\xc3", 4);
    written(*state, &command);
    expect(*state, "{\"code\":1,\"message\":\"caf?\",\"retryable\":false}");
}

static void
test_questions(void **state)
{
    struct fixture *fixture = *state;
    struct command command = {.verb = VERB_QUERY, .id = 1};
    command.request = (struct request){.what = span_of_text("tasks"), .args = value_map()};
    value_put(&fixture->arena, &command.request.args, "what", value_int(0)); // the member wins
    value_put(&fixture->arena, &command.request.args, "n", value_int(1));
    written(fixture, &command);
    expect(fixture, "{\"what\":\"tasks\",\"n\":1}");
    command = (struct command){.verb = VERB_ANSWER,
                               .answer = {.rows = value_list(), .next = span_of_text("c")}};
    value_append(&fixture->arena, &command.answer.rows, value_int(1));
    written(fixture, &command);
    expect(fixture, "{\"rows\":[1],\"next\":\"c\"}");
    command = (struct command){.verb = VERB_LOG, .log_records = value_list()};
    value_append(&fixture->arena, &command.log_records, value_map());
    written(fixture, &command);
    expect(fixture, "{\"records\":[{}]}");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_hello),     CASE(test_welcome),
        CASE(test_submit),    CASE(test_deliver),
        CASE(test_report),    CASE(test_answers_to_submit_and_report),
        CASE(test_objects),   CASE(test_small_ones),
        CASE(test_questions), CASE(test_error_says_whether_to_repeat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
