#include "unit/core/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "wire/command.h"

static bool
on_send(void *arg, struct span peer, const struct command *command)
{
    struct fixture *fixture = arg;
    uint64_t number = 0;
    memcpy(&number, peer.data, sizeof number);
    if (number == fixture->deaf_peer || fixture->said_count == SAID_MAX) {
        return false;
    }
    // Through the codec and back: a copy that lives in the arena.
    struct bytes frame = {0};
    struct problem problem = {0};
    command_encode(command, &frame);
    struct said *said = &fixture->said[fixture->said_count++];
    said->peer = number;
    struct span copy = span_of(arena_copy(&fixture->arena, frame.data, frame.len), frame.len);
    if (command_decode(copy, &fixture->arena, &said->command, &problem) != ZKT_OK) {
        fprintf(stderr, "cannot be read: %s\n", problem.text);
        abort();
    }
    bytes_fini(&frame);
    return true;
}

static bool
on_is_wanted(void *arg, const char *topic)
{
    const struct fixture *fixture = arg;
    (void)topic;
    return fixture->is_wanted;
}

static void
on_publish(void *arg, const char *topic, const struct value *body)
{
    struct fixture *fixture = arg;
    if (fixture->published_count < SAID_MAX) {
        fixture->published[fixture->published_count++] =
            (struct published){.topic = arena_copy(&fixture->arena, topic, strlen(topic)),
                               .body = value_copy(&fixture->arena, body)};
    }
}

static enum zkt_err
on_presign_put(void *arg, const struct object_item *object, struct bytes *out)
{
    (void)arg;
    (void)object;
    bytes_append_text(out, "http://put");
    return ZKT_OK;
}

static enum zkt_err
on_presign_get(void *arg, const struct uid *object, struct bytes *out)
{
    (void)arg;
    (void)object;
    bytes_append_text(out, "http://get");
    return ZKT_OK;
}

static void
on_delete_object(void *arg, const struct uid *object)
{
    (void)arg;
    (void)object;
}

static void
on_random_uid(void *arg, struct uid *uid)
{
    (void)arg;
    uid_random(uid);
}

static void
on_fail(void *arg, const char *reason)
{
    struct fixture *fixture = arg;
    (void)snprintf(fixture->failure, sizeof fixture->failure, "%s", reason);
}

static void
on_forget_peer(void *arg, struct span peer)
{
    (void)arg;
    (void)peer;
}

struct fixture *
fixture_new(uint64_t tasks_max)
{
    return fixture_new_with(tasks_max, &wire_task_codec);
}

struct fixture *
fixture_new_with(uint64_t tasks_max, const struct task_codec *codec)
{
    struct fixture *fixture = xcalloc(1, sizeof *fixture);
    arena_init(&fixture->arena);
    fixture->now_ms = 1000;
    fixture->wall_ms = 1700000000000;
    fixture->is_wanted = true;
    struct engine_options options = {
        .effects = {.arg = fixture,
                    .send = on_send,
                    .is_wanted = on_is_wanted,
                    .publish = on_publish,
                    .presign_put = on_presign_put,
                    .presign_get = on_presign_get,
                    .delete_object = on_delete_object,
                    .random_uid = on_random_uid,
                    .fail = on_fail,
                    .forget_peer = on_forget_peer},
        .store = {.codec = codec,
                  .tasks_max = tasks_max,
                  .crashed_ttl_ms = 3600000,
                  .upload_grace_ms = 3600000},
        .interval_ms = 2000,
        .expiry_ms = 10000,
        .expiry_max_ms = 600000,
        .deliveries_max = 3,
    };
    options.store.store_id = test_uid(77);
    struct problem problem = {0};
    if (engine_new(&options, fixture->now_ms, fixture->wall_ms, &fixture->engine, &problem) !=
        ZKT_OK) {
        fprintf(stderr, "engine_new: %s\n", problem.text);
        abort();
    }
    return fixture;
}

void
fixture_destroy(struct fixture **fixture_p)
{
    struct fixture *fixture = *fixture_p;
    *fixture_p = NULL;
    fixture_turns(fixture, 4, 1);
    engine_destroy(&fixture->engine);
    arena_fini(&fixture->arena);
    free(fixture);
}

int
fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_destroy(&fixture);
    return 0;
}

void
fixture_turns(struct fixture *fixture, int count, int64_t elapsed_ms)
{
    for (int i = 0; i < count; i++) {
        fixture->now_ms += elapsed_ms;
        fixture->wall_ms += elapsed_ms;
        (void)engine_turn(fixture->engine, fixture->now_ms, fixture->wall_ms, 1000, true);
        engine_commit(fixture->engine);
    }
}

uint64_t
fixture_say(struct fixture *fixture, uint64_t peer, struct command command)
{
    if (command.id == 0) {
        command.id = ++fixture->next_id;
    }
    engine_command(fixture->engine, span_of(&peer, sizeof peer), &command);
    fixture_turns(fixture, 4, 1);
    return command.id;
}

const struct command *
fixture_answer(const struct fixture *fixture, uint64_t id)
{
    for (size_t i = fixture->said_count; i > 0; i--) {
        if (fixture->said[i - 1].command.id == id) {
            return &fixture->said[i - 1].command;
        }
    }
    return NULL;
}

const struct command *
fixture_last(const struct fixture *fixture, uint64_t peer, enum verb verb)
{
    for (size_t i = fixture->said_count; i > 0; i--) {
        const struct said *said = &fixture->said[i - 1];
        if (said->peer == peer && said->command.verb == verb) {
            return &said->command;
        }
    }
    return NULL;
}

size_t
fixture_count(const struct fixture *fixture, uint64_t peer, enum verb verb)
{
    size_t count = 0;
    for (size_t i = 0; i < fixture->said_count; i++) {
        count += fixture->said[i].peer == peer && fixture->said[i].command.verb == verb;
    }
    return count;
}

const struct published *
fixture_event(const struct fixture *fixture, const char *topic)
{
    for (size_t i = fixture->published_count; i > 0; i--) {
        if (strcmp(fixture->published[i - 1].topic, topic) == 0) {
            return &fixture->published[i - 1];
        }
    }
    return NULL;
}

struct uid
test_uid(unsigned number)
{
    struct uid uid = {.bytes = {0xaa, 1, 2, 3, 4, 5, 0x46, 7, 0x88}};
    put_u32(uid.bytes + 12, number);
    return uid;
}

struct command
hello_of(unsigned instance, enum role role, const char *identity)
{
    struct command command = {.verb = VERB_HELLO};
    command.hello = (struct hello){.version = PROTOCOL_VERSION,
                                   .instance = test_uid(1000000 + instance),
                                   .identity = span_of_text(identity),
                                   .role = role,
                                   .host = span_of_text("host"),
                                   .pid = (int64_t)instance,
                                   .language = span_of_text("c/test"),
                                   .concurrency = 1};
    return command;
}

struct command
worker_hello(struct fixture *fixture, unsigned instance, const char *identity, const char *type)
{
    struct command command = hello_of(instance, ROLE_WORKER, identity);
    struct value rule = value_map();
    struct value filters = value_list();
    value_put(&fixture->arena, &rule, "type", value_text(&fixture->arena, type));
    value_append(&fixture->arena, &filters, rule);
    command.hello.has_bind = true;
    command.hello.bind = (struct bind){.filters = filters, .persistent = true};
    return command;
}

struct task
task_of(struct fixture *fixture, unsigned uid, const char *type)
{
    struct task task = {.priority = PRIORITY_NORMAL, .headers = value_map()};
    task.uid = test_uid(uid);
    task.root = task.uid;
    value_put(&fixture->arena, &task.headers, "type", value_text(&fixture->arena, type));
    task.header_keys = value_list();
    task.payload = span_of("\x80", 1);
    task.payload_persistent = task.payload;
    return task;
}

struct command
submit_of(uint64_t number, uint64_t delivery, const struct task *tasks, size_t count)
{
    struct command command = {.verb = VERB_SUBMIT};
    command.submit = (struct submit){
        .number = number, .delivery = delivery, .tasks = tasks, .tasks_count = count};
    return command;
}

struct command
credit_of(uint32_t window)
{
    return (struct command){.verb = VERB_CREDIT, .credit_window = window};
}

struct command
report_of(uint64_t delivery, const struct uid *uid, enum report_state state, uint64_t after)
{
    // One at a time: the item lives until the next call.
    static struct report_item item;
    item = (struct report_item){.delivery = delivery, .uid = *uid, .state = state, .after = after};
    struct command command = {.verb = VERB_REPORT};
    command.report = (struct report){.items = &item, .items_count = 1};
    return command;
}

void
join_worker(struct fixture *fixture, uint64_t peer, unsigned instance, const char *identity,
            const char *type)
{
    (void)fixture_say(fixture, peer, worker_hello(fixture, instance, identity, type));
    (void)fixture_say(fixture, peer, credit_of(8));
}
