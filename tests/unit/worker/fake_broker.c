#include "worker/fake_broker.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "testing.h"
#include "wire/command.h"
#include "wire/json.h"

enum { WAIT_MS = 10000 };

void
fake_open(struct fake_broker *fake, const char *address)
{
    *fake = (struct fake_broker){0};
    arena_init(&fake->arena);
    fake->context = zmq_ctx_new();
    fake->socket = zmq_socket(fake->context, ZMQ_ROUTER);
    int zero = 0;
    int one = 1;
    zmq_setsockopt(fake->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(fake->socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    assert_int_equal(zmq_bind(fake->socket, address == NULL ? "tcp://127.0.0.1:*" : address), 0);
    size_t len = sizeof fake->address;
    zmq_getsockopt(fake->socket, ZMQ_LAST_ENDPOINT, fake->address, &len);
}

void
fake_close(struct fake_broker *fake)
{
    zmq_close(fake->socket);
    zmq_ctx_term(fake->context);
    bytes_fini(&fake->peer);
    bytes_fini(&fake->frame);
    arena_fini(&fake->arena);
}

static bool
wait_readable(struct fake_broker *fake, int wait_ms)
{
    zmq_pollitem_t item = {.socket = fake->socket, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, wait_ms) == 1;
}

static void
receive_part(struct fake_broker *fake, struct bytes *out)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    assert_int_not_equal(zmq_msg_recv(&part, fake->socket, 0), -1);
    bytes_clear(out);
    bytes_append(out, zmq_msg_data(&part), zmq_msg_size(&part));
    zmq_msg_close(&part);
}

static void
receive(struct fake_broker *fake)
{
    struct problem problem;
    receive_part(fake, &fake->peer);
    receive_part(fake, &fake->frame);
    arena_clear(&fake->arena);
    if (command_decode(bytes_span(&fake->frame), &fake->arena, &fake->command, &problem) !=
        ZKT_OK) {
        fail_msg("bad frame of the client: %s", problem.text);
    }
}

static bool
is_passed_over(const struct command *command, enum verb wanted)
{
    if (command->verb == wanted) {
        return wanted == VERB_REPORT && command->report.items_count == 1 &&
               command->report.items[0].state == REPORT_STARTED;
    }
    return command->verb == VERB_CREDIT || command->verb == VERB_LOG ||
           (command->verb == VERB_REPORT && command->report.items_count == 1 &&
            command->report.items[0].state == REPORT_STARTED);
}

static void
answer_heartbeat(struct fake_broker *fake)
{
    struct command command = {.verb = VERB_HEARTBEAT};
    if (!fake->is_mute) {
        fake_send(fake, &command);
    }
}

const struct command *
fake_next(struct fake_broker *fake)
{
    do {
        if (!wait_readable(fake, WAIT_MS)) {
            fail_msg("nothing came");
        }
        receive(fake);
        if (fake->command.verb == VERB_HEARTBEAT) {
            fake->heartbeats_count++;
            answer_heartbeat(fake);
        }
    } while (fake->command.verb == VERB_HEARTBEAT && !fake->keeps_heartbeats);
    return &fake->command;
}

const struct command *
fake_expect(struct fake_broker *fake, enum verb verb)
{
    const struct command *command = fake_next(fake);
    while (is_passed_over(command, verb)) {
        command = fake_next(fake);
    }
    if (command->verb != verb) {
        fail_msg("%s came, not %s", verb_name(command->verb), verb_name(verb));
    }
    return command;
}

void
fake_quiet(struct fake_broker *fake, int wait_ms)
{
    while (wait_readable(fake, wait_ms)) {
        receive(fake);
        if (fake->command.verb == VERB_HEARTBEAT) {
            answer_heartbeat(fake);
        } else if (!is_passed_over(&fake->command, VERB_HELLO)) {
            fail_msg("%s came", verb_name(fake->command.verb));
        }
    }
}

void
fake_send(struct fake_broker *fake, const struct command *command)
{
    struct bytes frame = {0};
    command_encode(command, &frame);
    assert_int_not_equal(zmq_send(fake->socket, fake->peer.data, fake->peer.len, ZMQ_SNDMORE), -1);
    assert_int_not_equal(zmq_send(fake->socket, frame.data, frame.len, 0), -1);
    bytes_fini(&frame);
}

void
fake_welcome(struct fake_broker *fake, uint64_t last_number)
{
    struct command command = {.verb = VERB_WELCOME, .id = fake->command.id};
    command.welcome = (struct welcome){.session = 1,
                                       .bind_generation = 7,
                                       .interval_ms = 200,
                                       .expiry_ms = 1000,
                                       .time_ms = 1,
                                       .last_number = last_number,
                                       .submit_tasks_max = 256,
                                       .submit_bytes_max = 1 << 20,
                                       .task_bytes_max = 4 << 20,
                                       .events_address = span_of_text("tcp://:5571"),
                                       .http_address = span_of_text("http://:5572"),
                                       .object_kind = span_of_text("dir")};
    fake_send(fake, &command);
}

void
fake_error(struct fake_broker *fake, uint64_t id, enum zkt_err code, const char *message)
{
    struct command command = {.verb = VERB_ERROR, .id = id};
    command.error = (struct error_body){.code = code, .message = span_of_text(message)};
    fake_send(fake, &command);
}

void
fake_submitted(struct fake_broker *fake, uint32_t taken_count)
{
    const struct submit *submit = &fake->command.submit;
    struct submit_result results[256] = {0};
    for (size_t task_index = 0; task_index < submit->tasks_count; task_index++) {
        results[task_index] = (struct submit_result){.uid = submit->tasks[task_index].uid,
                                                     .taken_count = taken_count};
    }
    struct command command = {.verb = VERB_SUBMITTED, .id = fake->command.id};
    command.submitted = (struct submitted){
        .number = submit->number, .results = results, .results_count = submit->tasks_count};
    fake_send(fake, &command);
}

void
fake_deliver(struct fake_broker *fake, uint64_t delivery, const char *headers_json)
{
    struct arena arena;
    struct problem problem;
    struct bytes body = {0};
    struct deliver_item item = {.delivery = delivery, .attempt = 1};
    arena_init(&arena);
    item.task.headers = value_map();
    item.task.header_keys = value_list();
    assert_int_equal(json_parse(span_of_text(headers_json), &arena, &item.task.headers, &problem),
                     ZKT_OK);
    uid_random(&item.task.uid);
    uid_random(&item.task.root);
    item.task.orig = item.task.root;
    item.task.priority = PRIORITY_HIGH;
    wire_task_codec.pack(&item.task, &body);
    item.body = bytes_span(&body);
    item.receiver = span_of_text("test.worker");
    struct command command = {.verb = VERB_DELIVER};
    command.deliver = (struct deliver){.items = &item, .items_count = 1};
    fake_send(fake, &command);
    bytes_fini(&body);
    arena_fini(&arena);
}

void
fake_reported(struct fake_broker *fake, enum zkt_err code)
{
    const struct report *report = &fake->command.report;
    struct reported_item items[256] = {0};
    for (size_t item_index = 0; item_index < report->items_count; item_index++) {
        items[item_index] = (struct reported_item){.delivery = report->items[item_index].delivery,
                                                   .uid = report->items[item_index].uid,
                                                   .code = code};
    }
    struct command command = {.verb = VERB_REPORTED, .id = fake->command.id};
    command.reported = (struct reported){.items = items, .items_count = report->items_count};
    fake_send(fake, &command);
}
