// QUERY, CONTROL, LOG, events, metrics (S13, D4, I1, L3).
#include "unit/testing.h"

#include <stdio.h>
#include <string.h>

#include "unit/core/fixture.h"

static int
setup(void **state)
{
    struct fixture *fixture = fixture_new(1000);
    *state = fixture;
    (void)fixture_say(fixture, 9, hello_of(9, ROLE_OPERATOR, "op"));
    return 0;
}

static const struct command *
ask(struct fixture *fixture, enum verb verb, const char *what, struct value args)
{
    struct command command = {.verb = verb};
    command.request = (struct request){.what = span_of_text(what), .args = args};
    const struct command *answer = fixture_answer(fixture, fixture_say(fixture, 9, command));
    assert_non_null(answer);
    return answer;
}

// What exists throughout appears exactly once, a page at a time.
static void
test_pages_of_consumers(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 1; i <= 7; i++) {
        char identity[16];
        (void)snprintf(identity, sizeof identity, "c%u", i);
        (void)fixture_say(fixture, 100 + i, worker_hello(fixture, 100 + i, identity, "a"));
    }
    struct value args = value_map();
    unsigned seen_count = 0;
    value_put(&fixture->arena, &args, "limit", value_int(3));
    for (int page = 0; page < 5; page++) {
        const struct command *answer = ask(fixture, VERB_QUERY, "consumers", args);
        assert_int_equal(answer->verb, VERB_ANSWER);
        assert_true(answer->answer.rows.len <= 3);
        for (uint32_t i = 0; i < answer->answer.rows.len; i++) {
            char identity[16];
            (void)snprintf(identity, sizeof identity, "c%u", ++seen_count);
            const struct value *row = &answer->answer.rows.items[i];
            assert_true(value_is_text(value_get(row, "identity"), identity));
            assert_int_equal(value_get(row, "workers")->integer, 1);
            assert_int_equal(value_get(row, "filters")->type, VALUE_LIST);
        }
        if (answer->answer.next.len == 0) {
            break;
        }
        value_put(&fixture->arena, &args, "after",
                  value_string(&fixture->arena, answer->answer.next.data, answer->answer.next.len));
    }
    assert_int_equal(seen_count, 7);
}

static bool
holds_text(const struct value *value, const void *data, size_t len)
{
    switch (value->type) {
    case VALUE_STRING:
        return memmem(value->text, value->len, data, len) != NULL;
    case VALUE_LIST:
        for (uint32_t i = 0; i < value->len; i++) {
            if (holds_text(&value->items[i], data, len)) {
                return true;
            }
        }
        return false;
    case VALUE_MAP:
        for (uint32_t i = 0; i < value->len; i++) {
            if (holds_text(&value->members[i].value, data, len)) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

// The instance is the right to resume: nothing shows it.
static void
test_workers_without_instance(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "w", "a");
    const struct command *answer = ask(fixture, VERB_QUERY, "workers", value_map());
    assert_int_equal(answer->answer.rows.len, 1);
    struct uid instance = test_uid(1000001);
    char text[UID_TEXT_SIZE];
    uid_format(&instance, text);
    assert_false(holds_text(&answer->answer.rows, text, strlen(text)));
    for (size_t i = 0; i < fixture->published_count; i++) {
        assert_false(holds_text(&fixture->published[i].body, text, strlen(text)));
    }
    assert_true(value_is_text(value_get(&answer->answer.rows.items[0], "host"), "host"));
}

static void
test_match(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "w", "a");
    join_worker(fixture, 2, 2, "v", "b");
    struct value args = value_map();
    struct value headers = value_map();
    value_put(&fixture->arena, &headers, "type", value_text(&fixture->arena, "a"));
    value_put(&fixture->arena, &args, "headers", headers);
    const struct command *answer = ask(fixture, VERB_QUERY, "match", args);
    assert_int_equal(answer->answer.rows.len, 2);
    assert_true(value_get(&answer->answer.rows.items[0], "match")->boolean);
    assert_false(value_get(&answer->answer.rows.items[1], "match")->boolean);
    assert_int_equal(value_get(&answer->answer.rows.items[1], "why")->type, VALUE_STRING);
}

static void
test_refused_questions(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(ask(fixture, VERB_QUERY, "nonsense", value_map())->error.code, ZKT_INVALID);
    assert_int_equal(ask(fixture, VERB_QUERY, "consumer", value_map())->error.code, ZKT_INVALID);
    struct value args = value_map();
    value_put(&fixture->arena, &args, "identity", value_text(&fixture->arena, "nobody"));
    assert_int_equal(ask(fixture, VERB_QUERY, "consumer", args)->error.code, ZKT_NOT_FOUND);
    assert_int_equal(ask(fixture, VERB_CONTROL, "delete_consumer", args)->error.code,
                     ZKT_NOT_FOUND);
    assert_int_equal(ask(fixture, VERB_CONTROL, "explode", args)->error.code, ZKT_INVALID);
}

// L3: refuses an online consumer.
static void
test_delete(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "w", "a");
    struct value args = value_map();
    value_put(&fixture->arena, &args, "identity", value_text(&fixture->arena, "w"));
    assert_int_equal(ask(fixture, VERB_CONTROL, "delete_consumer", args)->error.code, ZKT_IN_USE);
    struct command bye = {.verb = VERB_BYE};
    (void)fixture_say(fixture, 1, bye);
    assert_int_equal(ask(fixture, VERB_CONTROL, "delete_consumer", args)->verb, VERB_ANSWER);
    fixture_turns(fixture, 5, 1);
    assert_int_equal(fixture->engine->consumers.len, 0);
    assert_non_null(fixture_event(fixture, "consumer.w.dropped"));
}

static struct value
record_of(struct fixture *fixture, const char *level)
{
    struct value record = value_map();
    value_put(&fixture->arena, &record, "levelname", value_text(&fixture->arena, level));
    value_put(&fixture->arena, &record, "message", value_text(&fixture->arena, "hello"));
    return record;
}

// S13: the topic is the level and the sender, whatever the record says.
static void
test_log(void **state)
{
    struct fixture *fixture = *state;
    struct command command = {.verb = VERB_LOG};
    command.log_records = value_list();
    value_append(&fixture->arena, &command.log_records, record_of(fixture, "ERROR"));
    value_append(&fixture->arena, &command.log_records, record_of(fixture, "no level"));
    value_append(&fixture->arena, &command.log_records, record_of(fixture, "INFO"));
    (void)fixture_say(fixture, 9, command);
    const struct published *error = fixture_event(fixture, "log.error.op");
    const struct published *info = fixture_event(fixture, "log.info.op");
    assert_non_null(error);
    assert_non_null(info);
    assert_true(value_is_text(value_get(&error->body, "message"), "hello"));
    // The dropped one in between leaves a gap.
    assert_int_equal(value_get(&info->body, "seq")->integer,
                     value_get(&error->body, "seq")->integer + 2);
    assert_int_equal(fixture->engine->log_dropped_count, 1);
}

static void
test_log_rate(void **state)
{
    struct fixture *fixture = *state;
    fixture->is_wanted = false;
    struct command command = {.verb = VERB_LOG, .id = 1};
    command.log_records = value_list();
    for (int i = 0; i < LIMIT_LOG_RECORDS; i++) {
        value_append(&fixture->arena, &command.log_records, record_of(fixture, "INFO"));
    }
    uint64_t peer = 9;
    for (int i = 0; i < LIMIT_LOG_RATE / LIMIT_LOG_RECORDS + 4; i++) {
        engine_command(fixture->engine, span_of(&peer, sizeof peer), &command);
    }
    assert_int_equal(fixture->engine->log_records_count, LIMIT_LOG_RATE);
    assert_true(fixture->engine->log_dropped_count > 0);
    uint64_t dropped_count = fixture->engine->log_dropped_count;
    fixture_turns(fixture, 2, 1000);
    engine_command(fixture->engine, span_of(&peer, sizeof peer), &command);
    assert_int_equal(fixture->engine->log_dropped_count, dropped_count);
}

// D4: text that Prometheus reads, whatever the identity.
static void
test_metrics(void **state)
{
    struct fixture *fixture = *state;
    join_worker(fixture, 1, 1, "w\"\\x", "a");
    struct bytes text = {0};
    engine_metrics(fixture->engine, &text);
    const char *all = bytes_text(&text);
    assert_non_null(strstr(all, "zkarton_workers{identity=\"w\\\"\\\\x\"} 1\n"));
    assert_non_null(strstr(all, "# TYPE zkarton_queue_tasks gauge\n"));
    assert_non_null(
        strstr(all, "zkarton_queue_tasks{identity=\"w\\\"\\\\x\",priority=\"high\"} 0\n"));
    assert_non_null(strstr(all, "zkarton_tasks{state=\"Spawned\"} 0\n"));
    bytes_fini(&text);
}

// In slices the text is the same, and a consumer that goes meanwhile is no trouble.
static void
test_metrics_in_slices(void **state)
{
    enum { CONSUMERS_COUNT = 20 };
    struct fixture *fixture = *state;
    struct bytes whole = {0};
    struct bytes parts = {0};
    char name[16];
    for (unsigned index = 0; index < CONSUMERS_COUNT; index++) {
        snprintf(name, sizeof name, "w%u", index);
        join_worker(fixture, 100 + index, 100 + index, name, "a");
    }
    engine_metrics(fixture->engine, &whole);
    for (size_t rows_max = 1; rows_max < 40; rows_max += 6) {
        int slices_count = 1;
        bytes_clear(&parts);
        for (; !engine_metrics_some(fixture->engine, &parts, rows_max); slices_count++) {
        }
        assert_true(slices_count > 6);
        assert_true(span_equal(bytes_span(&parts), bytes_span(&whole)));
    }
    bytes_clear(&parts);
    assert_false(engine_metrics_some(fixture->engine, &parts, 3)); // w3 is next
    struct command bye = {.verb = VERB_BYE};
    struct value args = value_map();
    (void)fixture_say(fixture, 103, bye);
    value_put(&fixture->arena, &args, "identity", value_text(&fixture->arena, "w3"));
    assert_int_equal(ask(fixture, VERB_CONTROL, "delete_consumer", args)->verb, VERB_ANSWER);
    fixture_turns(fixture, 5, 1);
    assert_int_equal(fixture->engine->consumers.len, CONSUMERS_COUNT - 1);
    while (!engine_metrics_some(fixture->engine, &parts, 3)) {
    }
    assert_non_null(strstr(bytes_text(&parts), "zkarton_workers{identity=\"w4\"} 1\n"));
    assert_null(strstr(bytes_text(&parts), "zkarton_workers{identity=\"w3\"}"));
    bytes_fini(&whole);
    bytes_fini(&parts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages_of_consumers, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_workers_without_instance, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_match, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refused_questions, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_delete, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_log, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_log_rate, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_metrics_in_slices, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
