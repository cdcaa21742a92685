// Every verb goes out and comes back the same; damaged frames are refused with the field, never
// more.
#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "wire/command.h"
#include "wire/msgpack_value.h"

struct fixture {
    struct arena arena;
    struct bytes frame;
};

static int
set_up(void **state)
{
    static struct fixture fixture;
    arena_init(&fixture.arena);
    bytes_init(&fixture.frame);
    *state = &fixture;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_fini(&fixture->arena);
    bytes_fini(&fixture->frame);
    return 0;
}

static struct uid
uid_of(uint8_t byte)
{
    struct uid uid;
    memset(uid.bytes, byte, sizeof uid.bytes);
    return uid;
}

static struct task
sample_task(struct arena *arena)
{
    struct task task = {.uid = uid_of(1), .root = uid_of(2), .priority = PRIORITY_LOW};
    task.headers = value_map();
    value_put(arena, &task.headers, "type", value_text(arena, "sample"));
    value_put(arena, &task.headers, "n", value_int(-5));
    value_put(arena, &task.headers, "receiver", value_text(arena, "somebody"));
    task.header_keys = value_list();
    value_append(arena, &task.header_keys, value_text(arena, "type"));
    task.payload = span_of("\x81\xa1k\x01", 4);
    struct resource *resource = arena_alloc(arena, sizeof *resource);
    *resource = (struct resource){
        .uid = uid_of(9), .name = span_of_text("a.exe"), .size = 2, .has_sha256 = true};
    task.resources = resource;
    task.resources_count = 1;
    return task;
}

static void
decode(struct fixture *fixture, struct command *out)
{
    struct problem problem = {0};
    enum zkt_err err = command_decode(bytes_span(&fixture->frame), &fixture->arena, out, &problem);
    if (err != ZKT_OK) {
        fail_msg("%s", problem.text);
    }
}

static void
test_submit_round_trip(void **state)
{
    struct fixture *fixture = *state;
    struct task task = sample_task(&fixture->arena);
    struct command command = {
        .verb = VERB_SUBMIT,
        .id = 77,
        .submit = {.number = 5, .delivery = 6, .tasks = &task, .tasks_count = 1}};
    command_encode(&command, &fixture->frame);
    struct command back;
    decode(fixture, &back);
    assert_int_equal(back.id, 77);
    assert_int_equal(back.submit.number, 5);
    assert_int_equal(back.submit.delivery, 6);
    assert_int_equal(back.submit.tasks_count, 1);
    const struct task *got = back.submit.tasks;
    assert_true(uid_equal(&got->uid, &task.uid));
    assert_true(uid_is_none(&got->parent));
    assert_int_equal(got->priority, PRIORITY_LOW);
    assert_true(value_same(&got->headers, &task.headers));
    assert_true(value_same(&got->header_keys, &task.header_keys));
    assert_true(span_equal(got->payload, task.payload));
    assert_int_equal(got->resources[0].size, 2);
    assert_true(got->resources[0].has_sha256);
}

static void
test_body_is_spliced_and_receiver_set(void **state)
{
    struct fixture *fixture = *state;
    struct task task = sample_task(&fixture->arena);
    struct bytes body = {0};
    wire_task_codec.pack(&task, &body);
    struct deliver_item item = {.delivery = 1,
                                .attempt = 2,
                                .task = task,
                                .body = bytes_span(&body),
                                .receiver = span_of_text("me")};
    struct command command = {.verb = VERB_DELIVER, .deliver = {.items = &item, .items_count = 1}};
    command_encode(&command, &fixture->frame);
    struct command back;
    decode(fixture, &back);
    const struct task *got = &back.deliver.items[0].task;
    assert_true(value_is_text(value_get(&got->headers, "receiver"), "me")); // A4
    assert_int_equal(got->headers.len, 3);
    assert_true(span_equal(got->payload, task.payload));
    assert_true(value_same(&got->header_keys, &task.header_keys));
    struct task unpacked = {0};
    assert_true(wire_task_codec.unpack(bytes_span(&body), &fixture->arena, &unpacked));
    assert_int_equal(unpacked.headers.len, 2);
    struct task headers = {0};
    assert_true(wire_task_codec.headers(bytes_span(&body), &fixture->arena, &headers));
    assert_true(value_same(&headers.header_keys, &task.header_keys));
    for (size_t len = 0; len < body.len; len++) {
        assert_false(wire_task_codec.unpack(span_of(body.data, len), &fixture->arena, &unpacked));
    }
    bytes_fini(&body);
}

// What the broker adds to headers of the largest size a SUBMIT may have does not keep them from
// being delivered.
static void
test_grown_headers_are_delivered(void **state)
{
    struct fixture *fixture = *state;
    struct task task = {.uid = uid_of(1), .headers = value_map()};
    char *long_text = malloc(LIMIT_HEADERS_BYTES);
    memset(long_text, 'h', LIMIT_HEADERS_BYTES);
    struct value text = value_string(&fixture->arena, long_text, LIMIT_HEADERS_BYTES - 10);
    free(long_text);
    value_put(&fixture->arena, &task.headers, "a", text);
    struct command command = {.verb = VERB_SUBMIT,
                              .submit = {.number = 5, .tasks = &task, .tasks_count = 1}};
    command_encode(&command, &fixture->frame);
    struct command back;
    decode(fixture, &back);
    struct bytes body = {0};
    wire_task_codec.pack(&task, &body);
    struct deliver_item item = {.delivery = 1,
                                .attempt = 1,
                                .task = task,
                                .body = bytes_span(&body),
                                .receiver = span_of_text("a.consumer")};
    command = (struct command){.verb = VERB_DELIVER, .deliver = {&item, 1}};
    bytes_clear(&fixture->frame);
    command_encode(&command, &fixture->frame);
    bytes_fini(&body);
    decode(fixture, &back);
    assert_int_equal(back.deliver.items[0].task.headers.len, 2);
    value_put(&fixture->arena, &task.headers, "receiver", value_text(&fixture->arena, "a"));
    command = (struct command){.verb = VERB_SUBMIT,
                               .submit = {.number = 5, .tasks = &task, .tasks_count = 1}};
    bytes_clear(&fixture->frame);
    command_encode(&command, &fixture->frame);
    struct problem problem = {0};
    assert_int_equal(command_decode(bytes_span(&fixture->frame), &fixture->arena, &back, &problem),
                     ZKT_TOO_LARGE);
}

// A damaged body is refused or read as another, never more: one flipped bit at each place.
static void
test_flipped_bits_of_a_body_are_survived(void **state)
{
    struct fixture *fixture = *state;
    struct task task = sample_task(&fixture->arena);
    struct bytes body = {0};
    wire_task_codec.pack(&task, &body);
    unsigned refused_count = 0;
    for (size_t bit_index = 0; bit_index < body.len * 8; bit_index++) {
        uint8_t flip = (uint8_t)(1u << (bit_index % 8));
        struct task out = {0};
        body.data[bit_index / 8] ^= flip;
        bool is_read = wire_task_codec.unpack(bytes_span(&body), &fixture->arena, &out);
        refused_count += !is_read;
        // Headers alone are read by matching, which must not see less than delivery does.
        struct task headers = {0};
        assert_true(wire_task_codec.headers(bytes_span(&body), &fixture->arena, &headers) ||
                    !is_read);
        body.data[bit_index / 8] ^= flip;
    }
    assert_true(refused_count > body.len);
    bytes_fini(&body);
}

static void
test_hello_round_trip(void **state)
{
    struct fixture *fixture = *state;
    struct held held = {.delivery = 3, .uid = uid_of(4), .started = true};
    struct command command = {.verb = VERB_HELLO,
                              .id = 1,
                              .hello = {.version = PROTOCOL_VERSION,
                                        .instance = uid_of(1),
                                        .identity = span_of_text("my.service"),
                                        .role = ROLE_WORKER,
                                        .has_bind = true,
                                        .bind = {.filters = value_list(), .persistent = true},
                                        .concurrency = 2,
                                        .held = &held,
                                        .held_count = 1}};
    command_encode(&command, &fixture->frame);
    struct command back;
    decode(fixture, &back);
    assert_int_equal(back.hello.role, ROLE_WORKER);
    assert_true(back.hello.has_bind);
    assert_int_equal(back.hello.bind.filters.type, VALUE_LIST);
    assert_int_equal(back.hello.held_count, 1);
    assert_true(back.hello.held[0].started);
}

static void
expect_refused(struct fixture *fixture, const char *hex_data, size_t len, enum zkt_err code,
               const char *text)
{
    struct command out;
    struct problem problem = {0};
    assert_int_equal(command_decode(span_of(hex_data, len), &fixture->arena, &out, &problem), code);
    if (strstr(problem.text, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", problem.text, text);
    }
}

#define REFUSED(data, code, text) expect_refused(*state, data, sizeof data - 1, code, text)

static void
test_wrong_frames_name_the_field(void **state)
{
    REFUSED("", ZKT_INVALID, "frame");
    REFUSED("\xc1", ZKT_INVALID, "frame");
    REFUSED("\x93\xa1x\x01\x80", ZKT_INVALID, "verb");
    REFUSED("\x93\x7f\x01\x80", ZKT_VERB_UNKNOWN, "127");
    REFUSED("\x93\x04\xff\x80", ZKT_INVALID, "id");
    REFUSED("\x93\x04\x01\x80", ZKT_INVALID, "SUBMIT.number: is missing");
    REFUSED("\x93\x04\x01\x81\xa6number\xa1x", ZKT_INVALID,
            "SUBMIT.number: must be a natural number");
    REFUSED("\x93\x04\x01\x82\xa6number\x01\xa6number\x01", ZKT_INVALID, "comes twice");
    REFUSED("\x93\x01\x01\x81\xa1v\x07", ZKT_VERSION_UNSUPPORTED, "version 1");
    REFUSED("\x93\x03\x01\x80\x00", ZKT_INVALID, "follows");
    REFUSED("\x93\x06\x01\x81\xa6window\xcd\xff\xff", ZKT_INVALID, "CREDIT.window");
    REFUSED("\x93\x0f\x01\x81\xa4root\xc4\x01x", ZKT_INVALID, "WAIT.root: must be a uid");
    REFUSED("\x93\x04\x01\x82\xa6number\x01\xa5tasks\xdd\xff\xff\xff\xff", ZKT_TOO_LARGE,
            "SUBMIT.tasks");
    REFUSED("\x93\x04\x01\x82\xa6number\x01\xa5tasks\x91\x81\xa4prio\x09", ZKT_INVALID,
            "SUBMIT.tasks[0].prio");
}

static void
test_cut_frames_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct task task = sample_task(&fixture->arena);
    struct command command = {
        .verb = VERB_SUBMIT, .id = 1, .submit = {.number = 5, .tasks = &task, .tasks_count = 1}};
    command_encode(&command, &fixture->frame);
    for (size_t len = 0; len < fixture->frame.len; len++) {
        struct command out;
        struct problem problem = {0};
        assert_int_not_equal(
            command_decode(span_of(fixture->frame.data, len), &fixture->arena, &out, &problem),
            ZKT_OK);
    }
}

static void
test_depth_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct value out;
    struct problem problem = {0};
    for (int depth = 0; depth < LIMIT_VALUE_DEPTH; depth++) {
        bytes_append_byte(&fixture->frame, 0x91);
    }
    bytes_append_byte(&fixture->frame, 0x01);
    assert_int_equal(
        msgpack_parse_value(bytes_span(&fixture->frame), &fixture->arena, &out, &problem), ZKT_OK);
    bytes_clear(&fixture->frame);
    for (int depth = 0; depth < 100000; depth++) {
        bytes_append_byte(&fixture->frame, 0x91);
    }
    assert_int_equal(
        msgpack_parse_value(bytes_span(&fixture->frame), &fixture->arena, &out, &problem),
        ZKT_TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_submit_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body_is_spliced_and_receiver_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_grown_headers_are_delivered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flipped_bits_of_a_body_are_survived, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hello_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_frames_name_the_field, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_frames_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
