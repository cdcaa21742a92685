// Writing is msgpack-c's packer. Reading is our cursor (docs/decisions/0002-msgpack-reader.md): the
// library's unpacker nests 32 deep at most and builds a tree of its own before ours.
#include "wire/msgpack_value.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "wire/packer.h"

void
msgpack_write_value(const struct value *value, struct bytes *out)
{
    msgpack_packer packer = packer_on(out);
    pack_value(&packer, value);
}

static void
pack_ext(msgpack_packer *packer, int8_t type, const void *data, size_t len)
{
    msgpack_pack_ext(packer, len, type);
    msgpack_pack_ext_body(packer, data, len);
}

static void
pack_bigint(msgpack_packer *packer, const struct value *value)
{
    // 2^63 … 2^64-1 are plain msgpack.
    uint64_t natural = 0;
    bool fits = value->len <= 20 && value->text[0] != '-';
    for (uint32_t digit_index = 0; fits && digit_index < value->len; digit_index++) {
        uint64_t digit = (uint64_t)(value->text[digit_index] - '0');
        fits = !__builtin_mul_overflow(natural, 10, &natural) &&
               !__builtin_add_overflow(natural, digit, &natural);
    }
    if (fits) {
        msgpack_pack_uint64(packer, natural);
    } else {
        pack_ext(packer, EXT_BIGINT, value->text, value->len);
    }
}

// Texts of values are WTF-8; a sentence that was cut at its buffer's end may not be.
static void
pack_damaged_text(msgpack_packer *packer, const uint8_t *data, size_t len)
{
    msgpack_pack_str(packer, len);
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        uint8_t byte = data[byte_index] < 0x80 ? data[byte_index] : '?';
        msgpack_pack_str_body(packer, &byte, 1);
    }
}

void
pack_string(msgpack_packer *packer, const void *data, size_t len)
{
    if (text_is_utf8(data, len)) {
        msgpack_pack_str(packer, len);
        msgpack_pack_str_body(packer, data, len);
    } else if (text_is_wtf8(data, len)) {
        pack_ext(packer, EXT_WTF8, data, len);
    } else {
        pack_damaged_text(packer, data, len);
    }
}

// What is no text at all is a packed bag in a row of an ANSWER, and goes as bytes.
static void
pack_text(msgpack_packer *packer, const struct value *value)
{
    if (text_is_utf8(value->text, value->len)) {
        msgpack_pack_str(packer, value->len);
        msgpack_pack_str_body(packer, value->text, value->len);
        return;
    }
    if (text_is_wtf8(value->text, value->len)) {
        pack_ext(packer, EXT_WTF8, value->text, value->len);
        return;
    }
    msgpack_pack_bin(packer, value->len);
    msgpack_pack_bin_body(packer, value->text, value->len);
}

// The depth of a value is bounded where it was made.
void
pack_value(msgpack_packer *packer, const struct value *value)
{
    uint8_t index[4];
    switch (value->type) {
    case VALUE_NULL:
        msgpack_pack_nil(packer);
        break;
    case VALUE_BOOL:
        if (value->boolean) {
            msgpack_pack_true(packer);
        } else {
            msgpack_pack_false(packer);
        }
        break;
    case VALUE_INT:
        msgpack_pack_int64(packer, value->integer);
        break;
    case VALUE_BIGINT:
        pack_bigint(packer, value);
        break;
    case VALUE_DOUBLE:
        msgpack_pack_double(packer, value->number);
        break;
    case VALUE_STRING:
        pack_text(packer, value);
        break;
    case VALUE_LIST:
        msgpack_pack_array(packer, value->len);
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            pack_value(packer, &value->items[item_index]);
        }
        break;
    case VALUE_MAP:
        msgpack_pack_map(packer, value->len);
        for (uint32_t member_index = 0; member_index < value->len; member_index++) {
            pack_value(packer, &value->members[member_index].key);
            pack_value(packer, &value->members[member_index].value);
        }
        break;
    case VALUE_RESOURCE:
        put_u32(index, value->resource_index);
        pack_ext(packer, EXT_RESOURCE, index, sizeof index);
        break;
    }
}

// ---- Reading

struct state {
    struct reader *reader;
    struct arena *arena;
    struct problem *problem;
    uint64_t nodes_count; // announced so far
    bool bytes_allowed;
};

static enum zkt_err
read_one(struct state *state, uint32_t depth, struct value *out);

static enum zkt_err
refuse(struct state *state, const char *why)
{
    return problem_set(state->problem, ZKT_INVALID, ": %s", why);
}

static enum zkt_err
read_ext(struct state *state, const struct token *token, struct value *out)
{
    switch (token->ext) {
    case EXT_BIGINT:
        if (!value_bigint(state->arena, (const char *)token->data, token->len, out)) {
            return refuse(state, "ext 1 is not an integer in decimal text");
        }
        return ZKT_OK;
    case EXT_WTF8:
        if (!text_is_wtf8(token->data, token->len)) {
            return refuse(state, "ext 2 is not WTF-8");
        }
        *out = value_string(state->arena, token->data, token->len);
        return ZKT_OK;
    case EXT_RESOURCE:
        if (token->len != 4) {
            return refuse(state, "ext 3 is not a resource index of 4 bytes");
        }
        *out = value_resource(get_u32(token->data));
        return ZKT_OK;
    default:
        return refuse(state, "unknown ext type; 1 integer, 2 text and 3 resource are known");
    }
}

// Room for nodes is counted when a head announces them, before it is allocated: nested heads that
// announce much and hold nothing would else cost memory at each level.
static enum zkt_err
announce(struct state *state, uint64_t nodes_count)
{
    if (nodes_count > (uint64_t)(state->reader->end - state->reader->at)) {
        return refuse(state, "cut short");
    }
    state->nodes_count += nodes_count;
    if (state->nodes_count > LIMIT_VALUE_COUNT) {
        return problem_set(state->problem, ZKT_TOO_LARGE, ": more than %d values",
                           LIMIT_VALUE_COUNT);
    }
    return ZKT_OK;
}

static enum zkt_err
read_items(struct state *state, uint32_t depth, uint32_t len, struct value *out)
{
    *out = value_list();
    enum zkt_err announced = announce(state, len);
    if (announced != ZKT_OK) {
        return announced;
    }
    out->items = arena_alloc(state->arena, value_capacity(len) * sizeof *out->items);
    for (uint32_t item_index = 0; item_index < len; item_index++) {
        enum zkt_err err = read_one(state, depth + 1, &out->items[item_index]);
        if (err != ZKT_OK) {
            problem_in(state->problem, "[%u]", item_index);
            return err;
        }
    }
    out->len = len;
    return ZKT_OK;
}

// Keys must differ: pairwise in small maps, sorted in large ones.
static bool
keys_differ(struct arena *arena, const struct value *map);

static enum zkt_err
read_members(struct state *state, uint32_t depth, uint32_t len, struct value *out)
{
    *out = value_map();
    enum zkt_err announced = announce(state, (uint64_t)len * 2);
    if (announced != ZKT_OK) {
        return announced;
    }
    out->members = arena_alloc(state->arena, value_capacity(len) * sizeof *out->members);
    for (uint32_t member_index = 0; member_index < len; member_index++) {
        struct member *member = &out->members[member_index];
        enum zkt_err err = read_one(state, depth + 1, &member->key);
        if (err != ZKT_OK) {
            return err;
        }
        if (member->key.type != VALUE_STRING) {
            return refuse(state, "a key of the map is no text");
        }
        err = read_one(state, depth + 1, &member->value);
        if (err != ZKT_OK) {
            problem_in(state->problem, ".%.64s", member->key.text);
            return err;
        }
    }
    out->len = len;
    return keys_differ(state->arena, out) ? ZKT_OK : refuse(state, "a key of the map comes twice");
}

static enum zkt_err
read_one(struct state *state, uint32_t depth, struct value *out)
{
    struct token token;
    if (depth > LIMIT_VALUE_DEPTH) {
        return problem_set(state->problem, ZKT_TOO_LARGE, ": nested deeper than %d",
                           LIMIT_VALUE_DEPTH);
    }
    if (!reader_next(state->reader, &token)) {
        return refuse(state, "cut short, or not msgpack");
    }
    switch (token.type) {
    case TOKEN_NIL:
        *out = value_null();
        return ZKT_OK;
    case TOKEN_BOOL:
        *out = value_bool(token.boolean);
        return ZKT_OK;
    case TOKEN_INT:
        *out = value_int(token.integer);
        return ZKT_OK;
    case TOKEN_UINT:
        *out = value_uint(state->arena, token.natural);
        return ZKT_OK;
    case TOKEN_DOUBLE:
        *out = value_double(token.number);
        return ZKT_OK;
    case TOKEN_STRING:
        if (!text_is_utf8(token.data, token.len)) {
            return refuse(state, "text is not valid UTF-8; what is not goes as ext 2");
        }
        *out = value_string(state->arena, token.data, token.len);
        return ZKT_OK;
    case TOKEN_BINARY:
        if (!state->bytes_allowed) {
            return refuse(state, "bytes have no place in a value; use a resource");
        }
        *out = value_string(state->arena, token.data, token.len);
        return ZKT_OK;
    case TOKEN_EXT:
        return read_ext(state, &token, out);
    case TOKEN_LIST:
        return read_items(state, depth, token.len, out);
    case TOKEN_MAP:
        break;
    }
    return read_members(state, depth, token.len, out);
}

enum zkt_err
msgpack_read_value(struct reader *reader, struct arena *arena, struct value *out,
                   struct problem *problem)
{
    struct state state = {.reader = reader, .arena = arena, .problem = problem, .nodes_count = 1};
    return read_one(&state, 0, out);
}

enum zkt_err
msgpack_read_rows(struct reader *reader, struct arena *arena, struct value *out,
                  struct problem *problem)
{
    struct state state = {.reader = reader,
                          .arena = arena,
                          .problem = problem,
                          .nodes_count = 1,
                          .bytes_allowed = true};
    return read_one(&state, 0, out);
}

enum zkt_err
msgpack_read_members(struct reader *reader, uint32_t count, struct arena *arena, struct value *out,
                     struct problem *problem)
{
    struct state state = {.reader = reader, .arena = arena, .problem = problem, .nodes_count = 1};
    return read_members(&state, 0, count, out);
}

enum zkt_err
msgpack_parse_value(struct span span, struct arena *arena, struct value *out,
                    struct problem *problem)
{
    struct reader reader = reader_of(span);
    enum zkt_err err = msgpack_read_value(&reader, arena, out, problem);
    if (err == ZKT_OK && !reader_is_at_end(&reader)) {
        return problem_set(problem, ZKT_INVALID, ": something follows the value");
    }
    return err;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct span *left = a;
    const struct span *right = b;
    return span_compare(*left, *right);
}

static bool
few_keys_differ(const struct value *map)
{
    for (uint32_t member_index = 1; member_index < map->len; member_index++) {
        const struct value *key = &map->members[member_index].key;
        for (uint32_t earlier_index = 0; earlier_index < member_index; earlier_index++) {
            const struct value *earlier = &map->members[earlier_index].key;
            if (key->len == earlier->len && memcmp(key->text, earlier->text, key->len) == 0) {
                return false;
            }
        }
    }
    return true;
}

static bool
keys_differ(struct arena *arena, const struct value *map)
{
    enum { FEW = 16 };
    if (map->len <= FEW) {
        return few_keys_differ(map);
    }
    struct span *keys = arena_alloc(arena, map->len * sizeof *keys);
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        const struct value *key = &map->members[member_index].key;
        keys[member_index] = span_of(key->text, key->len);
    }
    qsort(keys, map->len, sizeof *keys, compare_keys);
    for (uint32_t key_index = 1; key_index < map->len; key_index++) {
        if (compare_keys(&keys[key_index - 1], &keys[key_index]) == 0) {
            return false;
        }
    }
    return true;
}
