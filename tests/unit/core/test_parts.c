// Uploads in parts, and objects that are held in another's name.
#include "unit/testing.h"

#include <stdio.h>
#include <string.h>

#include "core/handle.h"
#include "fixture.h"

enum { SIZE = 40 << 20, PART_SIZE = 16 << 20 };

// What the engine asked of the world.
static struct {
    int begins_count;
    int completes_count;
    uint64_t request;
    struct object_item object;
    size_t tags_count;
    char upload[32];
} asked;

static void
on_begin(void *arg, uint64_t request, const struct object_item *object)
{
    (void)arg;
    asked.begins_count++;
    asked.request = request;
    asked.object = *object;
}

static enum zkt_err
on_presign_part(void *arg, const struct uid *object, struct span upload, uint32_t part,
                int64_t size, struct bytes *out)
{
    (void)arg;
    (void)object;
    bytes_printf(out, "http://part/%.*s/%u/%lld", (int)upload.len, (const char *)upload.data, part,
                 (long long)size);
    return ZKT_OK;
}

static void
on_complete(void *arg, uint64_t request, const struct object_item *object,
            const struct upload_parts *parts)
{
    (void)arg;
    asked.completes_count++;
    asked.request = request;
    asked.object = *object;
    asked.tags_count = parts->items_count;
}

static int
setup(void **state)
{
    struct fixture *fixture = fixture_new(1000);
    struct effects *effects = &fixture->engine->options.effects;
    effects->begin_parts = on_begin;
    effects->presign_part = on_presign_part;
    effects->complete_parts = on_complete;
    fixture->engine->options.multipart_threshold = PART_SIZE;
    memset(&asked, 0, sizeof asked);
    *state = fixture;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_PRODUCER, "p"));
    (void)fixture_say(fixture, 8, hello_of(8, ROLE_PRODUCER, "q"));
    return 0;
}

static const struct command *
say(struct fixture *fixture, uint64_t peer, struct command command)
{
    return fixture_answer(fixture, fixture_say(fixture, peer, command));
}

static const struct object_item *
declare(struct fixture *fixture, uint64_t peer, const struct object_item *item)
{
    struct command upload = {.verb = VERB_UPLOAD, .objects = {.items = item, .items_count = 1}};
    const struct command *answer = say(fixture, peer, upload);
    assert_int_equal(answer->verb, VERB_URLS);
    return &answer->objects.items[0];
}

static struct command
parts_of(const struct uid *uid, const char *upload, uint32_t first, uint32_t count)
{
    return (struct command){
        .verb = VERB_PARTS,
        .parts = {.uid = *uid, .upload = span_of_text(upload), .first = first, .count = count}};
}

static void
check_error(const struct command *answer, enum zkt_err code)
{
    assert_non_null(answer);
    assert_int_equal(answer->verb, VERB_ERROR);
    assert_int_equal(answer->error.code, code);
}

static void
test_part_sizes(void **state)
{
    struct fixture *fixture = *state;
    int64_t mib = 1 << 20;
    assert_int_equal(parts_size(fixture->engine, PART_SIZE), 0);
    assert_int_equal(parts_size(fixture->engine, PART_SIZE + 1), PART_SIZE);
    assert_int_equal(parts_size(fixture->engine, 5 * 1024 * 1024 * mib) % mib, 0);
    for (int64_t size = PART_SIZE + 1; size < 5 * 1024 * 1024 * mib; size = size * 3 + 7) {
        int64_t part_size = parts_size(fixture->engine, size);
        assert_true((size + part_size - 1) / part_size <= LIMIT_PARTS);
    }
    fixture->engine->options.multipart_threshold = 5 * mib;
    assert_int_equal(parts_size(fixture->engine, 20 * mib), 5 * mib);
    fixture->engine->options.multipart_threshold = 0;
    assert_int_equal(parts_size(fixture->engine, 20 * mib), 0);
}

static void
test_an_upload_in_parts(void **state)
{
    struct fixture *fixture = *state;
    struct object_item item = {.uid = test_uid(99), .size = SIZE, .sha256 = {7}};
    assert_int_equal(declare(fixture, 9, &item)->part_size, PART_SIZE);
    uint64_t id = fixture_say(fixture, 9, parts_of(&item.uid, "", 1, 2));
    assert_null(fixture_answer(fixture, id)); // the store is asked first
    assert_int_equal(asked.begins_count, 1);
    assert_int_equal(asked.object.size, SIZE);
    assert_int_equal(asked.object.sha256[0], 7);
    struct problem fine = {0};
    engine_parts_begun(fixture->engine, asked.request, span_of_text("up-1"), &fine);
    fixture_turns(fixture, 3, 1);
    const struct command *urls = fixture_answer(fixture, id);
    assert_int_equal(urls->verb, VERB_PART_URLS);
    assert_int_equal(urls->parts.items_count, 2);
    assert_int_equal(urls->parts.part_size, PART_SIZE);
    assert_true(span_equal(urls->parts.upload, span_of_text("up-1")));
    assert_true(span_equal(urls->parts.items[1].url, span_of_text("http://part/up-1/2/16777216")));
    urls = say(fixture, 9, parts_of(&item.uid, "up-1", 3, 200)); // the rest, at once
    assert_int_equal(urls->parts.items_count, 1);
    assert_true(span_equal(urls->parts.items[0].url, span_of_text("http://part/up-1/3/8388608")));
    assert_int_equal(asked.begins_count, 1);
    struct upload_part tags[3] = {{.etag = span_of_text("a")}};
    struct command complete = {
        .verb = VERB_COMPLETE,
        .parts = {
            .uid = item.uid, .upload = span_of_text("up-1"), .items = tags, .items_count = 2}};
    check_error(say(fixture, 9, complete), ZKT_INVALID);
    complete.parts.items_count = 3;
    id = fixture_say(fixture, 9, complete);
    assert_null(fixture_answer(fixture, id));
    assert_int_equal(asked.tags_count, 3);
    struct problem away = {.code = ZKT_UNREACHABLE, .text = "away"};
    engine_parts_completed(fixture->engine, asked.request, &away);
    check_error(fixture_answer(fixture, id), ZKT_UNREACHABLE);
    id = fixture_say(fixture, 9, complete);
    engine_parts_completed(fixture->engine, asked.request, &fine);
    engine_parts_completed(fixture->engine, asked.request, &fine); // once is enough
    fixture_turns(fixture, 3, 1);
    assert_int_equal(fixture_answer(fixture, id)->verb, VERB_COMPLETED);
    assert_true(uid_equal(&fixture_answer(fixture, id)->completed, &item.uid));
}

static void
test_who_may_send_parts(void **state)
{
    struct fixture *fixture = *state;
    struct object_item item = {.uid = test_uid(99), .size = SIZE};
    struct object_item small = {.uid = test_uid(98), .size = 10};
    check_error(say(fixture, 9, parts_of(&item.uid, "", 1, 1)), ZKT_OBJECT_UNKNOWN);
    (void)declare(fixture, 9, &item);
    assert_int_equal(declare(fixture, 9, &small)->part_size, 0);
    check_error(say(fixture, 8, parts_of(&item.uid, "", 1, 1)), ZKT_OBJECT_UNKNOWN);
    check_error(say(fixture, 8, parts_of(&item.uid, "up-1", 1, 1)), ZKT_OBJECT_UNKNOWN);
    check_error(say(fixture, 9, parts_of(&small.uid, "", 1, 1)), ZKT_INVALID);
    check_error(say(fixture, 9, parts_of(&item.uid, "", 0, 1)), ZKT_INVALID);
    check_error(say(fixture, 9, parts_of(&item.uid, "", 4, 1)), ZKT_INVALID);
    check_error(say(fixture, 9, parts_of(&item.uid, "", 1, 0)), ZKT_INVALID);
    assert_int_equal(asked.begins_count, 0);
    // What was asked by somebody who left is answered to nobody.
    (void)fixture_say(fixture, 9, parts_of(&item.uid, "", 1, 1));
    uint64_t request = asked.request;
    (void)fixture_say(fixture, 9, (struct command){.verb = VERB_BYE});
    size_t said_count = fixture->said_count;
    engine_parts_begun(fixture->engine, request, span_of_text("up-1"), &(struct problem){0});
    assert_int_equal(fixture->said_count, said_count);
}

static void
test_too_many_requests(void **state)
{
    struct fixture *fixture = *state;
    struct object_item item = {.uid = test_uid(99), .size = SIZE};
    (void)declare(fixture, 9, &item);
    for (int i = 0; i < SESSION_REQUESTS_MAX; i++) {
        (void)fixture_say(fixture, 9, parts_of(&item.uid, "", 1, 1));
    }
    assert_int_equal(asked.begins_count, SESSION_REQUESTS_MAX);
    check_error(say(fixture, 9, parts_of(&item.uid, "", 1, 1)), ZKT_LIMIT);
    engine_parts_begun(fixture->engine, asked.request, span_of_text("u"), &(struct problem){0});
    (void)fixture_say(fixture, 9, parts_of(&item.uid, "", 1, 1));
    assert_int_equal(asked.begins_count, SESSION_REQUESTS_MAX + 1);
}

static enum zkt_err
take(struct fixture *fixture, uint64_t peer, struct object_item item)
{
    item.take = true;
    return declare(fixture, peer, &item)->code;
}

// Of zkarton put: who shows the holder's secret takes the object, once.
static void
test_holders(void **state)
{
    struct fixture *fixture = *state;
    struct object_item item = {
        .uid = test_uid(99), .size = 10, .sha256 = {1}, .holder = test_uid(55)};
    struct object_item own = item;
    own.holder = (struct uid){0};
    assert_int_equal(declare(fixture, 9, &own)->code, ZKT_OK);
    assert_int_equal(take(fixture, 8, item), ZKT_NOT_FOUND); // not handed over yet
    assert_int_equal(declare(fixture, 9, &item)->code, ZKT_OK);
    assert_int_equal(declare(fixture, 9, &own)->code, ZKT_IN_USE); // it is not its own any more
    struct object_item wrong = item;
    wrong.holder = test_uid(56);
    assert_int_equal(take(fixture, 8, wrong), ZKT_NOT_FOUND);
    wrong = item;
    wrong.size = 11;
    assert_int_equal(take(fixture, 8, wrong), ZKT_NOT_FOUND);
    wrong = item;
    wrong.sha256[0] = 2;
    assert_int_equal(take(fixture, 8, wrong), ZKT_NOT_FOUND);
    wrong = item;
    wrong.holder = (struct uid){0};
    assert_int_equal(take(fixture, 8, wrong), ZKT_NOT_FOUND);
    assert_int_equal(take(fixture, 8, item), ZKT_OK);
    assert_int_equal(take(fixture, 8, item), ZKT_OK); // said again
    assert_int_equal(take(fixture, 9, item), ZKT_NOT_FOUND);
    struct resource resource = {
        .uid = item.uid, .name = span_of_text("x"), .size = 10, .metadata = value_null()};
    struct task task = task_of(fixture, 1, "a");
    task.resources = &resource;
    task.resources_count = 1;
    const struct command *answer = say(fixture, 9, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OBJECT_UNKNOWN);
    assert_int_equal(declare(fixture, 8, &item)->code, ZKT_OK); // given back
    assert_int_equal(take(fixture, 8, item), ZKT_OK);
    answer = say(fixture, 8, submit_of(1, 0, &task, 1));
    assert_int_equal(answer->submitted.results[0].code, ZKT_OK);
}

// An operator hears with which task an object went; nobody else does.
static void
test_what_became_of_an_object(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "one", "a");
    (void)fixture_say(fixture, 3, hello_of(3, ROLE_OPERATOR, ""));
    struct object_item item = {.uid = test_uid(99), .size = 10};
    (void)declare(fixture, 9, &item);
    struct resource resource = {
        .uid = item.uid, .name = span_of_text("x"), .size = 10, .metadata = value_null()};
    struct task task = task_of(fixture, 1, "a");
    task.resources = &resource;
    task.resources_count = 1;
    (void)say(fixture, 9, submit_of(1, 0, &task, 1));
    struct deliver_item delivered = fixture_last(fixture, 1, VERB_DELIVER)->deliver.items[0];
    struct command download = {.verb = VERB_DOWNLOAD,
                               .objects = {.items = &item, .items_count = 1}};
    assert_int_equal(say(fixture, 3, download)->objects.items[0].code, ZKT_OK);
    (void)say(fixture, 1, report_of(delivered.delivery, &delivered.task.uid, REPORT_FINISHED, 0));
    const struct object_item *answer = &say(fixture, 3, download)->objects.items[0];
    assert_int_equal(answer->code, ZKT_OBJECT_UNKNOWN);
    char uid[UID_TEXT_SIZE];
    char want[160];
    uid_format(&delivered.task.uid, uid);
    snprintf(want, sizeof want, "object missing: deleted with task %s at 2023-11-14T22:13:2", uid);
    assert_true(answer->message.len > strlen(want));
    assert_memory_equal(answer->message.data, want, strlen(want));
    answer = &say(fixture, 8, download)->objects.items[0];
    assert_true(
        span_equal(answer->message, span_of_text("not an object of a task that this peer holds")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_part_sizes, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_upload_in_parts, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_who_may_send_parts, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_requests, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_holders, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_became_of_an_object, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
