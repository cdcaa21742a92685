#include "wire/shape.h"

#include <string.h>

#include "base/assert.h"
#include "base/err_table.h"
#include "base/limits.h"
#include "base/uid.h"
#include "wire/msgpack_value.h"

static enum zkt_err
wrong_type(struct decoder *decoder, const char *expected)
{
    return problem_set(decoder->problem, ZKT_INVALID, ": must be %s", expected);
}

static enum zkt_err
too_large(struct decoder *decoder, const char *what, uint64_t size, uint64_t max)
{
    return problem_set(decoder->problem, ZKT_TOO_LARGE, ": %llu %s, limit %llu",
                       (unsigned long long)size, what, (unsigned long long)max);
}

static enum zkt_err
next(struct decoder *decoder, struct token *token)
{
    if (!reader_next(&decoder->reader, token)) {
        return problem_set(decoder->problem, ZKT_INVALID, ": cut short, or not msgpack");
    }
    return ZKT_OK;
}

static enum zkt_err
read_natural(struct decoder *decoder, const struct field *field, const struct token *token,
             void *at)
{
    if (token->type != TOKEN_INT || token->integer < 0) {
        return wrong_type(decoder, "a natural number");
    }
    uint64_t number = (uint64_t)token->integer;
    uint64_t max = field->max != 0 ? field->max : field->kind == FIELD_U32 ? UINT32_MAX : INT64_MAX;
    if (number > max) {
        return problem_set(decoder->problem, ZKT_INVALID, ": %llu is over %llu",
                           (unsigned long long)number, (unsigned long long)max);
    }
    if (field->kind == FIELD_U32) {
        *(uint32_t *)at = (uint32_t)number;
    } else {
        *(uint64_t *)at = number;
    }
    return ZKT_OK;
}

static enum zkt_err
read_span(struct decoder *decoder, const struct field *field, const struct token *token,
          struct span *out)
{
    bool is_wtf8 =
        field->kind == FIELD_STRING && token->type == TOKEN_EXT && token->ext == EXT_WTF8;
    if (field->kind == FIELD_BINARY ? token->type != TOKEN_BINARY
                                    : token->type != TOKEN_STRING && !is_wtf8) {
        return wrong_type(decoder, field->kind == FIELD_BINARY ? "bytes" : "a text");
    }
    if (field->max != 0 && token->len > field->max) {
        return too_large(decoder, "bytes", token->len, field->max);
    }
    if (is_wtf8 && !text_is_wtf8(token->data, token->len)) {
        return problem_set(decoder->problem, ZKT_INVALID, ": is not WTF-8");
    }
    if (token->type == TOKEN_STRING && !text_is_utf8(token->data, token->len)) {
        return problem_set(decoder->problem, ZKT_INVALID, ": is not valid UTF-8");
    }
    *out = span_of(token->data, token->len);
    return ZKT_OK;
}

static enum zkt_err
read_fixed(struct decoder *decoder, const struct token *token, void *at, size_t size)
{
    if (token->type != TOKEN_BINARY || token->len != size) {
        return wrong_type(decoder, size == 16 ? "a uid, bytes of length 16"
                                              : "a SHA-256, bytes of length 32");
    }
    memcpy(at, token->data, size);
    // None of ours is all zero: inside, that means "none".
    if (size == sizeof(struct uid) && uid_is_none(at)) {
        return problem_set(decoder->problem, ZKT_INVALID, ": a uid is not all zero");
    }
    return ZKT_OK;
}

static enum zkt_err
read_name(struct decoder *decoder, const struct field *field, const struct token *token, void *at)
{
    for (uint32_t name_index = 0; token->type == TOKEN_STRING && field->names[name_index] != NULL;
         name_index++) {
        const char *name = field->names[name_index];
        if (strlen(name) == token->len && memcmp(name, token->data, token->len) == 0) {
            *(uint32_t *)at = name_index;
            return ZKT_OK;
        }
    }
    enum zkt_err err = problem_set(decoder->problem, ZKT_INVALID, ": must be one of");
    for (uint32_t name_index = 0; decoder->problem != NULL && field->names[name_index] != NULL;
         name_index++) {
        size_t len = strlen(decoder->problem->text);
        snprintf(decoder->problem->text + len, sizeof decoder->problem->text - len, " %s",
                 field->names[name_index]);
    }
    return err;
}

// A SUBMIT is measured before its tasks are read.
static enum zkt_err
check_submit_size(struct decoder *decoder, uint32_t tasks_count)
{
    if (tasks_count > 1 && decoder->frame_len > LIMIT_SUBMIT_BYTES) {
        return problem_set(decoder->problem, ZKT_TOO_LARGE,
                           ": %zu bytes, limit %d for more than one task", decoder->frame_len,
                           LIMIT_SUBMIT_BYTES);
    }
    if (decoder->frame_len > LIMIT_TASK_BYTES) {
        return problem_set(decoder->problem, ZKT_TOO_LARGE,
                           "[0]: %zu bytes, limit %d. Use a resource", decoder->frame_len,
                           LIMIT_TASK_BYTES);
    }
    return tasks_count > 0 ? ZKT_OK
                           : problem_set(decoder->problem, ZKT_INVALID, ": must have a task");
}

static enum zkt_err
read_list(struct decoder *decoder, const struct field *field, const struct token *token, char *out)
{
    if (token->type != TOKEN_LIST) {
        return wrong_type(decoder, "a list");
    }
    if (token->len > field->max) {
        return too_large(decoder, "items", token->len, field->max);
    }
    if ((field->flags & FIELD_SUBMIT) != 0) {
        enum zkt_err err = check_submit_size(decoder, token->len);
        if (err != ZKT_OK) {
            return err;
        }
    }
    if (token->len > (size_t)(decoder->reader.end - decoder->reader.at)) {
        return problem_set(decoder->problem, ZKT_INVALID, ": the list is cut short");
    }
    char *items = arena_alloc(decoder->arena, token->len * field->shape->size);
    memset(items, 0, token->len * field->shape->size);
    for (uint32_t item_index = 0; item_index < token->len; item_index++) {
        enum zkt_err err =
            shape_read(decoder, field->shape, items + item_index * field->shape->size);
        if (err != ZKT_OK) {
            problem_in(decoder->problem, "[%u]", item_index);
            return err;
        }
    }
    *(const void **)(void *)(out + field->offset) = items;
    *(size_t *)(void *)(out + field->has_offset) = token->len;
    return ZKT_OK;
}

static enum zkt_err
read_numbers(struct decoder *decoder, const struct field *field, const struct token *token,
             char *out)
{
    if (token->type != TOKEN_LIST) {
        return wrong_type(decoder, "a list");
    }
    if (token->len > field->max) {
        return too_large(decoder, "items", token->len, field->max);
    }
    uint64_t *numbers = arena_alloc(decoder->arena, token->len * sizeof *numbers);
    static const struct field item = {.kind = FIELD_U64};
    for (uint32_t item_index = 0; item_index < token->len; item_index++) {
        struct token number;
        enum zkt_err err = next(decoder, &number);
        if (err == ZKT_OK) {
            err = read_natural(decoder, &item, &number, &numbers[item_index]);
        }
        if (err != ZKT_OK) {
            problem_in(decoder->problem, "[%u]", item_index);
            return err;
        }
    }
    *(const void **)(void *)(out + field->offset) = numbers;
    *(size_t *)(void *)(out + field->has_offset) = token->len;
    return ZKT_OK;
}

static enum zkt_err
read_value(struct decoder *decoder, const struct field *field, struct value *out)
{
    const uint8_t *start = decoder->reader.at;
    enum zkt_err err =
        (field->flags & FIELD_BYTES) != 0
            ? msgpack_read_rows(&decoder->reader, decoder->arena, out, decoder->problem)
            : msgpack_read_value(&decoder->reader, decoder->arena, out, decoder->problem);
    if (err != ZKT_OK) {
        return err;
    }
    if (field->value_type >= 0 && out->type != (enum value_type)field->value_type) {
        return wrong_type(decoder, field->value_type == VALUE_MAP ? "a map" : "a list");
    }
    size_t len = (size_t)(decoder->reader.at - start);
    if ((field->flags & FIELD_KEEP_PACKED) != 0) {
        *(struct span *)(void *)((char *)out - field->offset + field->has_offset) =
            span_of(start, len);
    }
    bool is_too_large = field->max != 0 && len > field->max && !decoder->is_delivery;
    return is_too_large ? too_large(decoder, "bytes", len, field->max) : ZKT_OK;
}

static enum zkt_err
read_scalar(struct decoder *decoder, const struct field *field, const struct token *token, void *at)
{
    switch ((enum field_kind)field->kind) {
    case FIELD_U32:
    case FIELD_U64:
        return read_natural(decoder, field, token, at);
    case FIELD_I64:
        if (token->type != TOKEN_INT) {
            return wrong_type(decoder, "an integer");
        }
        *(int64_t *)at = token->integer;
        return ZKT_OK;
    case FIELD_BOOL:
        if (token->type != TOKEN_BOOL) {
            return wrong_type(decoder, "true or false");
        }
        *(bool *)at = token->boolean;
        return ZKT_OK;
    case FIELD_TEXT:
    case FIELD_STRING:
    case FIELD_BINARY:
        return read_span(decoder, field, token, at);
    case FIELD_UID:
        return read_fixed(decoder, token, at, sizeof(struct uid));
    case FIELD_SHA256:
        return read_fixed(decoder, token, at, 32);
    case FIELD_NAME:
        return read_name(decoder, field, token, at);
    case FIELD_CODE:
        if (token->type != TOKEN_INT || token->integer < 0 || token->integer > UINT16_MAX ||
            !err_parse((unsigned)token->integer, at)) {
            return wrong_type(decoder, "the number of an error");
        }
        return ZKT_OK;
    default:
        break;
    }
    return wrong_type(decoder, "something else");
}

static enum zkt_err
read_field(struct decoder *decoder, const struct field *field, char *out)
{
    const uint8_t *start = decoder->reader.at;
    struct token token;
    enum zkt_err err = next(decoder, &token);
    if (err != ZKT_OK || (token.type == TOKEN_NIL && (field->flags & FIELD_REQUIRED) == 0)) {
        return err; // nil is absent
    }
    switch ((enum field_kind)field->kind) {
    case FIELD_VALUE:
        decoder->reader.at = start;
        err = read_value(decoder, field, (void *)(out + field->offset));
        break;
    case FIELD_STRUCT:
        decoder->reader.at = start;
        err = shape_read(decoder, field->shape, out + field->offset);
        break;
    case FIELD_LIST:
        return read_list(decoder, field, &token, out);
    case FIELD_NUMBERS:
        return read_numbers(decoder, field, &token, out);
    default:
        err = read_scalar(decoder, field, &token, out + field->offset);
        break;
    }
    if (err == ZKT_OK && field->has_offset != NO_OFFSET &&
        (field->flags & FIELD_KEEP_PACKED) == 0) {
        *(bool *)(out + field->has_offset) = true;
    }
    return err;
}

// Fields mostly come in the order of the shape: the search begins behind the one before.
static const struct field *
find_field(const struct shape *shape, size_t first_index, const struct token *key)
{
    for (size_t step = 0; step < shape->fields_count; step++) {
        size_t field_index = first_index + step;
        field_index -= field_index >= shape->fields_count ? shape->fields_count : 0;
        const struct field *field = &shape->fields[field_index];
        if (field->name_len == key->len && memcmp(field->name, key->data, key->len) == 0) {
            return field;
        }
    }
    return NULL;
}

static enum zkt_err
check_required(struct decoder *decoder, const struct shape *shape, uint64_t seen)
{
    for (size_t field_index = 0; field_index < shape->fields_count; field_index++) {
        const struct field *field = &shape->fields[field_index];
        if ((field->flags & FIELD_REQUIRED) != 0 && (seen >> field_index & 1) == 0) {
            return problem_set(decoder->problem, ZKT_INVALID, ".%s: is missing", field->name);
        }
    }
    return ZKT_OK;
}

enum zkt_err
shape_read(struct decoder *decoder, const struct shape *shape, void *out)
{
    struct token head;
    enum zkt_err err = next(decoder, &head);
    if (err != ZKT_OK) {
        return err;
    }
    if (head.type != TOKEN_MAP) {
        return wrong_type(decoder, "a map");
    }
    return shape_read_fields(decoder, shape, head.len, out);
}

enum zkt_err
shape_read_fields(struct decoder *decoder, const struct shape *shape, uint32_t pairs_count,
                  void *out)
{
    uint64_t seen = 0;
    size_t next_index = 0;
    for (uint32_t pair_index = 0; pair_index < pairs_count; pair_index++) {
        struct token key;
        enum zkt_err err = next(decoder, &key);
        if (err != ZKT_OK) {
            return err;
        }
        if (key.type != TOKEN_STRING) {
            return problem_set(decoder->problem, ZKT_INVALID, ": a key of the map is no text");
        }
        const struct field *field = find_field(shape, next_index, &key);
        if (field == NULL) {
            if (!reader_skip(&decoder->reader)) {
                return problem_set(decoder->problem, ZKT_INVALID, ": cut short, or not msgpack");
            }
            continue;
        }
        next_index = (size_t)(field - shape->fields) + 1;
        if ((seen >> (next_index - 1) & 1) != 0) {
            return problem_set(decoder->problem, ZKT_INVALID, ".%s: comes twice", field->name);
        }
        seen |= (uint64_t)1 << (next_index - 1);
        err = read_field(decoder, field, out);
        if (err != ZKT_OK) {
            problem_in(decoder->problem, ".%s", field->name);
            return err;
        }
    }
    return check_required(decoder, shape, seen);
}
