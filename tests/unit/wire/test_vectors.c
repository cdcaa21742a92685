// schemas/vectors against our codec, both ways: what Python's msgpack wrote is read as what it
// means and written as the same bytes; what must be refused is, with its code and its field.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "wire/command.h"
#include "wire/json.h"
#include "wire/msgpack_value.h"
#include "wire/payload.h"

struct fixture {
    struct arena file_arena;
    struct arena arena;
    struct value rows;
    const char *name; // of the row at hand
    struct bytes data;
    struct bytes out;
    struct bytes expected;
};

static void
load(struct fixture *fixture, const char *file)
{
    char path[1024];
    const char *source = getenv("ZKT_SOURCE_DIR");
    assert_non_null(source);
    snprintf(path, sizeof path, "%s/schemas/vectors/%s", source, file);
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    struct bytes text = {0};
    size_t len;
    do {
        uint8_t *at = bytes_reserve(&text, 65536);
        len = fread(at, 1, 65536, stream);
        text.len += len;
    } while (len > 0);
    fclose(stream);
    struct problem problem = {0};
    enum zkt_err err =
        json_parse(bytes_span(&text), &fixture->file_arena, &fixture->rows, &problem);
    bytes_fini(&text);
    if (err != ZKT_OK) {
        fail_msg("%s: %s", path, problem.text);
    }
    assert_int_equal(fixture->rows.type, VALUE_LIST);
    assert_true(fixture->rows.len > 5);
}

static int
set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    arena_init(&fixture->file_arena);
    arena_init(&fixture->arena);
    *state = fixture;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_fini(&fixture->file_arena);
    arena_fini(&fixture->arena);
    bytes_fini(&fixture->data);
    bytes_fini(&fixture->out);
    bytes_fini(&fixture->expected);
    free(fixture);
    return 0;
}

static const char *
text_of(const struct value *row, const char *key)
{
    const struct value *value = value_get(row, key);
    return value != NULL && value->type == VALUE_STRING ? value->text : NULL;
}

static bool
is_canonical(const struct value *row)
{
    const struct value *value = value_get(row, "canonical");
    return value == NULL || value->boolean;
}

static unsigned
digit_of(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

// hex, with the run that was taken out of it put back.
static void
take_data(struct fixture *fixture, const struct value *row)
{
    const struct value *hex = value_get(row, "hex");
    const struct value *repeat = value_get(row, "repeat");
    size_t at = repeat != NULL ? (size_t)repeat->items[2].integer : SIZE_MAX;
    fixture->name = text_of(row, "name");
    bytes_clear(&fixture->data);
    arena_clear(&fixture->arena);
    for (size_t byte_index = 0; byte_index <= hex->len / 2; byte_index++) {
        if (byte_index == at) {
            size_t count = (size_t)repeat->items[1].integer;
            memset(bytes_reserve(&fixture->data, count), (int)repeat->items[0].integer, count);
            fixture->data.len += count;
        }
        if (byte_index < hex->len / 2) {
            unsigned byte =
                digit_of(hex->text[byte_index * 2]) << 4 | digit_of(hex->text[byte_index * 2 + 1]);
            bytes_append_byte(&fixture->data, (uint8_t)byte);
        }
    }
}

static void
expect_bytes(const struct fixture *fixture)
{
    if (!span_equal(bytes_span(&fixture->data), bytes_span(&fixture->out))) {
        fail_msg("%s: is written otherwise", fixture->name);
    }
}

static void
expect_refusal(const struct fixture *fixture, const struct value *row, enum zkt_err err,
               const struct problem *problem)
{
    const char *error = text_of(row, "error");
    const char *field = text_of(row, "field");
    if (strcmp(zkt_err_name(err), error) != 0 || problem->code != err) {
        fail_msg("%s: %s, expected %s: %s", fixture->name, zkt_err_name(err), error, problem->text);
    }
    if (field != NULL && strncmp(problem->text, field, strlen(field)) != 0) {
        fail_msg("%s: \"%s\" does not begin with %s", fixture->name, problem->text, field);
    }
    if (field != NULL && strchr(": .[", problem->text[strlen(field)]) == NULL) {
        fail_msg("%s: \"%s\" names more than %s", fixture->name, problem->text, field);
    }
    assert_true(strlen(problem->text) > 8);
}

// The same document, told apart by everything that JSON can say.
static void
expect_json(struct fixture *fixture, const struct value *got, const struct value *decoded)
{
    bytes_clear(&fixture->out);
    bytes_clear(&fixture->expected);
    json_write(got, &fixture->out, JSON_DEFAULT);
    json_write(decoded, &fixture->expected, JSON_DEFAULT);
    if (!span_equal(bytes_span(&fixture->out), bytes_span(&fixture->expected))) {
        fail_msg("%s: %.200s, expected %.200s", fixture->name, bytes_text(&fixture->out),
                 bytes_text(&fixture->expected));
    }
}

static void
test_values(void **state)
{
    struct fixture *fixture = *state;
    load(fixture, "values.json");
    for (uint32_t row_index = 0; row_index < fixture->rows.len; row_index++) {
        const struct value *row = &fixture->rows.items[row_index];
        struct problem problem = {0};
        struct value value;
        take_data(fixture, row);
        enum zkt_err err =
            msgpack_parse_value(bytes_span(&fixture->data), &fixture->arena, &value, &problem);
        if (value_get(row, "error") != NULL) {
            expect_refusal(fixture, row, err, &problem);
            continue;
        }
        if (err != ZKT_OK) {
            fail_msg("%s: %s", fixture->name, problem.text);
        }
        expect_json(fixture, &value, value_get(row, "decoded"));
        bytes_clear(&fixture->out);
        msgpack_write_value(&value, &fixture->out);
        if (is_canonical(row)) {
            expect_bytes(fixture);
        }
        struct value again;
        err = msgpack_parse_value(bytes_span(&fixture->out), &fixture->arena, &again, &problem);
        assert_int_equal(err, ZKT_OK);
        assert_true(value_same(&value, &again));
    }
}

static void
test_commands(void **state)
{
    struct fixture *fixture = *state;
    bool seen[VERBS_END] = {false};
    load(fixture, "commands.json");
    for (uint32_t row_index = 0; row_index < fixture->rows.len; row_index++) {
        const struct value *row = &fixture->rows.items[row_index];
        struct problem problem = {0};
        struct command command;
        take_data(fixture, row);
        enum zkt_err err =
            command_decode(bytes_span(&fixture->data), &fixture->arena, &command, &problem);
        if (value_get(row, "error") != NULL) {
            expect_refusal(fixture, row, err, &problem);
            continue;
        }
        if (err != ZKT_OK) {
            fail_msg("%s: %s", fixture->name, problem.text);
        }
        const struct value *decoded = value_get(row, "decoded");
        assert_string_equal(verb_name(command.verb), text_of(decoded, "verb"));
        assert_true(command.id == (uint64_t)value_get(decoded, "id")->integer);
        seen[command.verb] = true;
        bytes_clear(&fixture->out);
        command_encode(&command, &fixture->out);
        if (is_canonical(row)) {
            expect_bytes(fixture);
        }
    }
    for (uint32_t verb = VERB_HELLO; verb < VERBS_END; verb++) {
        if (!seen[verb]) {
            fail_msg("no vector of %s", verb_name(verb));
        }
    }
}

// A frame that was cut anywhere is refused, and so is one with something behind it.
static void
test_cut_commands(void **state)
{
    struct fixture *fixture = *state;
    load(fixture, "commands.json");
    for (uint32_t row_index = 0; row_index < fixture->rows.len; row_index++) {
        const struct value *row = &fixture->rows.items[row_index];
        if (value_get(row, "error") != NULL) {
            continue;
        }
        take_data(fixture, row);
        size_t step = fixture->data.len / 1000 + 1;
        for (size_t len = 0; len < fixture->data.len; len += step) {
            struct command command;
            arena_clear(&fixture->arena);
            assert_int_not_equal(
                command_decode(span_of(fixture->data.data, len), &fixture->arena, &command, NULL),
                ZKT_OK);
        }
    }
}

static void
test_merge(void **state) // A3
{
    struct fixture *fixture = *state;
    load(fixture, "merge.json");
    for (uint32_t row_index = 0; row_index < fixture->rows.len; row_index++) {
        const struct value *row = &fixture->rows.items[row_index];
        struct value payload = value_copy(&fixture->arena, value_get(row, "payload"));
        struct value persistent = value_copy(&fixture->arena, value_get(row, "persistent"));
        fixture->name = text_of(row, "name");
        payload_merge(&fixture->arena, value_get(row, "parent_persistent"), &payload, &persistent);
        const struct value *decoded = value_get(row, "decoded");
        expect_json(fixture, &payload, value_get(decoded, "payload"));
        expect_json(fixture, &persistent, value_get(decoded, "persistent"));
    }
}

// What the vectors cannot hold in a JSON file that every reader takes: an integer at the limit.
static void
test_longest_integer(void **state) // T3
{
    struct fixture *fixture = *state;
    char *digits = malloc(LIMIT_BIGINT_DIGITS + 1);
    memset(digits, '7', LIMIT_BIGINT_DIGITS + 1);
    struct value value;
    assert_false(value_bigint(&fixture->arena, digits, LIMIT_BIGINT_DIGITS + 1, &value));
    assert_true(value_bigint(&fixture->arena, digits, LIMIT_BIGINT_DIGITS, &value));
    free(digits);
    struct value back;
    msgpack_write_value(&value, &fixture->out);
    assert_int_equal(msgpack_parse_value(bytes_span(&fixture->out), &fixture->arena, &back, NULL),
                     ZKT_OK);
    assert_true(value_same(&value, &back));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_values), CASE(test_commands),
                                       CASE(test_cut_commands), CASE(test_merge),
                                       CASE(test_longest_integer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
