// Messages about thousands of objects: what they ask for is done some in each turn, and no task is
// read more than once for it.
#include "unit/testing.h"

#include <string.h>

#include "fixture.h"
#include "wire/task_body.h"

enum { OBJECTS_COUNT = 1000, SLICE = 256, PEER = 1, OTHER = 2 };

static size_t signs_count;
static size_t unpacks_count;

static enum zkt_err
on_presign(struct bytes *out)
{
    signs_count++;
    bytes_append_text(out, "http://address");
    return ZKT_OK;
}

static enum zkt_err
on_presign_put(void *arg, const struct object_item *object, struct bytes *out)
{
    (void)arg, (void)object;
    return on_presign(out);
}

static enum zkt_err
on_presign_get(void *arg, const struct uid *object, struct bytes *out)
{
    (void)arg, (void)object;
    return on_presign(out);
}

static bool
unpack(struct span body, struct arena *arena, struct task *task)
{
    unpacks_count++;
    return wire_task_codec.unpack(body, arena, task);
}

static int
setup(void **state)
{
    static struct task_codec codec;
    codec = wire_task_codec;
    codec.unpack = unpack;
    struct fixture *fixture = fixture_new_with(100, &codec);
    fixture->engine->options.effects.presign_put = on_presign_put;
    fixture->engine->options.effects.presign_get = on_presign_get;
    *state = fixture;
    signs_count = 0;
    return 0;
}

static struct object_item *
items_of(struct fixture *fixture)
{
    struct object_item *items = arena_alloc(&fixture->arena, OBJECTS_COUNT * sizeof *items);
    for (unsigned at = 0; at < OBJECTS_COUNT; at++) {
        items[at] = (struct object_item){.uid = test_uid(1000 + at), .size = 1};
    }
    return items;
}

static void
hand(struct fixture *fixture, enum verb verb, uint64_t id, const struct object_item *items)
{
    uint64_t peer = PEER;
    struct command command = {
        .verb = verb, .id = id, .objects = {.items = items, .items_count = OBJECTS_COUNT}};
    engine_command(fixture->engine, span_of(&peer, sizeof peer), &command);
}

// Turns until the answer has come; none of them signs more than a slice.
static const struct command *
wait_for(struct fixture *fixture, uint64_t id)
{
    for (int turn = 0; turn < 20 && fixture_answer(fixture, id) == NULL; turn++) {
        size_t before_count = signs_count;
        fixture_turns(fixture, 1, 1);
        assert_true(signs_count - before_count <= SLICE);
    }
    const struct command *answer = fixture_answer(fixture, id);
    assert_non_null(answer);
    assert_int_equal(answer->verb, VERB_URLS);
    assert_int_equal(answer->objects.items_count, OBJECTS_COUNT);
    return answer;
}

// Uploads in slices, refusals among them where they belong.
static void
test_uploads(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, PEER, hello_of(1, ROLE_PRODUCER, "many"));
    struct object_item *items = items_of(fixture);
    items[7].size = -1;
    hand(fixture, VERB_UPLOAD, 500, items);
    assert_int_equal(signs_count, 0);
    const struct command *answer = wait_for(fixture, 500);
    assert_int_equal(signs_count, OBJECTS_COUNT - 1);
    for (size_t at = 0; at < OBJECTS_COUNT; at++) {
        const struct object_item *item = &answer->objects.items[at];
        assert_true(uid_equal(&item->uid, &items[at].uid));
        assert_int_equal(item->code, at == 7 ? ZKT_INVALID : ZKT_OK);
        assert_true(
            span_equal(at == 7 ? item->message : item->url,
                       span_of_text(at == 7 ? "size: must not be negative" : "http://address")));
    }
}

// A session that ends meanwhile hurts nobody, and other peers are answered in between.
static void
test_others_do_not_wait(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, PEER, hello_of(1, ROLE_PRODUCER, "many"));
    (void)fixture_say(fixture, OTHER, hello_of(2, ROLE_PRODUCER, "one"));
    hand(fixture, VERB_UPLOAD, 500, items_of(fixture));
    struct object_item item = {.uid = test_uid(5), .size = 1};
    struct command upload = {
        .verb = VERB_UPLOAD, .id = 501, .objects = {.items = &item, .items_count = 1}};
    uint64_t peer = OTHER;
    engine_command(fixture->engine, span_of(&peer, sizeof peer), &upload);
    fixture_turns(fixture, 2, 1);
    assert_non_null(fixture_answer(fixture, 501));
    assert_null(fixture_answer(fixture, 500));
    (void)fixture_say(fixture, PEER, (struct command){.verb = VERB_BYE});
    size_t before_count = signs_count;
    fixture_turns(fixture, 10, 1);
    assert_int_equal(signs_count, before_count);
    assert_null(fixture_answer(fixture, 500));
}

// A broker that is asked to stop answers first.
static void
test_the_end_waits(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, PEER, hello_of(1, ROLE_PRODUCER, "many"));
    fixture_turns(fixture, 4, 1);
    hand(fixture, VERB_DOWNLOAD, 500, items_of(fixture)); // nothing to make durable
    engine_drain(fixture->engine);
    for (int turn = 0; turn < 20 && fixture_answer(fixture, 500) == NULL; turn++) {
        assert_false(engine_is_drained(fixture->engine));
        fixture_turns(fixture, 1, 1);
    }
    assert_non_null(fixture_answer(fixture, 500));
    fixture_turns(fixture, 4, 1);
    assert_true(engine_is_drained(fixture->engine));
}

// As many questions as of any other kind.
static void
test_too_many(void **state)
{
    struct fixture *fixture = *state;
    (void)fixture_say(fixture, PEER, hello_of(1, ROLE_PRODUCER, "many"));
    struct object_item *items = items_of(fixture);
    for (uint64_t id = 0; id <= SESSION_REQUESTS_MAX; id++) {
        hand(fixture, VERB_UPLOAD, 500 + id, items);
    }
    const struct command *refusal = fixture_answer(fixture, 500 + SESSION_REQUESTS_MAX);
    assert_non_null(refusal);
    assert_int_equal(refusal->verb, VERB_ERROR);
    assert_int_equal(refusal->error.code, ZKT_LIMIT);
    fixture_turns(fixture, SESSION_REQUESTS_MAX * (OBJECTS_COUNT / SLICE + 1) + 4, 1);
    for (uint64_t id = 0; id < SESSION_REQUESTS_MAX; id++) {
        assert_int_equal(fixture_answer(fixture, 500 + id)->verb, VERB_URLS);
    }
    hand(fixture, VERB_UPLOAD, 900, items);
    (void)wait_for(fixture, 900);
}

// A worker that asks for all objects of its task, and passes them on: the task is read once.
static void
test_downloads(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, PEER, 1, "one", "a");
    (void)fixture_say(fixture, OTHER, hello_of(2, ROLE_PRODUCER, "sender"));
    struct object_item *items = items_of(fixture);
    struct resource *resources =
        arena_alloc(&fixture->arena, OBJECTS_COUNT * sizeof(struct resource));
    struct command upload = {.verb = VERB_UPLOAD,
                             .objects = {.items = items, .items_count = OBJECTS_COUNT}};
    (void)fixture_say(fixture, OTHER, upload);
    for (size_t at = 0; at < OBJECTS_COUNT; at++) {
        resources[at] = (struct resource){
            .uid = items[at].uid, .name = span_of_text("x"), .size = 1, .metadata = value_null()};
    }
    struct task task = task_of(fixture, 1, "a");
    task.resources = resources;
    task.resources_count = OBJECTS_COUNT;
    (void)fixture_say(fixture, OTHER, submit_of(1, 0, &task, 1));
    struct deliver_item delivered = fixture_last(fixture, PEER, VERB_DELIVER)->deliver.items[0];
    signs_count = unpacks_count = 0;
    items[9].uid = test_uid(99);
    hand(fixture, VERB_DOWNLOAD, 500, items);
    const struct command *answer = wait_for(fixture, 500);
    for (size_t at = 0; at < OBJECTS_COUNT; at++) {
        assert_int_equal(answer->objects.items[at].code, at == 9 ? ZKT_OBJECT_UNKNOWN : ZKT_OK);
    }
    struct task child = task_of(fixture, 2, "z");
    child.resources = resources;
    child.resources_count = OBJECTS_COUNT;
    uint64_t id = fixture_say(fixture, PEER, submit_of(1, delivered.delivery, &child, 1));
    assert_int_equal(fixture_answer(fixture, id)->submitted.results[0].code, ZKT_OK);
    assert_int_equal(unpacks_count, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_uploads, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_others_do_not_wait, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_end_waits, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_downloads, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
