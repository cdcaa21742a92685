#include "wire/task_body.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/msgpack_value.h"
#include "wire/protocol_table.h"
#include "wire/shape.h"

enum { BODY_VERSION = 1, HEAD_BYTES = 8 };

// The headers that came packed and did not change go as they came; returns how many they are.
static uint32_t
pack_kept(const struct task *task, struct bytes *out)
{
    if (task->headers_packed.len == 0) {
        return 0;
    }
    struct reader reader = reader_of(task->headers_packed);
    struct token head;
    if (!reader_next(&reader, &head)) {
        return 0;
    }
    bytes_append(out, reader.at, (size_t)(reader.end - reader.at));
    return head.len;
}

static void
pack_body(const struct task *task, struct bytes *out)
{
    size_t start = out->len;
    memset(bytes_reserve(out, HEAD_BYTES), 0, HEAD_BYTES);
    out->len += HEAD_BYTES;
    msgpack_packer packer = packer_on(out);
    uint32_t headers_count = pack_kept(task, out);
    for (uint32_t member_index = headers_count; member_index < task->headers.len; member_index++) {
        const struct member *member = &task->headers.members[member_index];
        if (value_is_text(&member->key, "receiver")) {
            continue;
        }
        pack_value(&packer, &member->key);
        pack_value(&packer, &member->value);
        headers_count++;
    }
    size_t headers_len = out->len - start - HEAD_BYTES;
    uint32_t fields_count = shape_write_fields(&packer, &body_shape, task);
    uint8_t *head = out->data + start;
    head[0] = BODY_VERSION;
    head[1] = (uint8_t)fields_count;
    put_u16(head + 2, (uint16_t)headers_count);
    put_u32(head + 4, (uint32_t)headers_len);
}

struct parts {
    uint16_t headers_count;
    uint8_t fields_count;
    struct span headers;
    struct span fields;
};

static bool
split(struct span body, struct parts *parts)
{
    if (body.len < HEAD_BYTES || body.data[0] != BODY_VERSION) {
        return false;
    }
    size_t headers_len = get_u32(body.data + 4);
    if (headers_len > body.len - HEAD_BYTES) {
        return false;
    }
    parts->fields_count = body.data[1];
    parts->headers_count = get_u16(body.data + 2);
    parts->headers = span_of(body.data + HEAD_BYTES, headers_len);
    parts->fields =
        span_of(body.data + HEAD_BYTES + headers_len, body.len - HEAD_BYTES - headers_len);
    return true;
}

static bool
read_headers(const struct parts *parts, struct arena *arena, struct value *out)
{
    struct reader reader = reader_of(parts->headers);
    return msgpack_read_members(&reader, parts->headers_count, arena, out, NULL) == ZKT_OK &&
           reader_is_at_end(&reader);
}

static bool
read_fields(const struct parts *parts, struct arena *arena, struct task *out)
{
    // The body may go before what was read of it.
    const char *copy = arena_copy(arena, parts->fields.data, parts->fields.len);
    struct decoder decoder = {
        .reader = reader_of(span_of(copy, parts->fields.len)), .arena = arena, .is_delivery = true};
    return shape_read_fields(&decoder, &body_shape, parts->fields_count, out) == ZKT_OK &&
           reader_is_at_end(&decoder.reader);
}

static bool
unpack_body(struct span body, struct arena *arena, struct task *out)
{
    struct parts parts;
    if (!split(body, &parts) || parts.fields_count > body_shape.fields_count) {
        return false;
    }
    out->header_keys = value_null();
    out->payload = (struct span){0};
    out->payload_persistent = (struct span){0};
    out->resources = NULL;
    out->resources_count = 0;
    return read_headers(&parts, arena, &out->headers) && read_fields(&parts, arena, out);
}

static bool
unpack_headers(struct span body, struct arena *arena, struct task *out)
{
    struct parts parts;
    if (!split(body, &parts) || !read_headers(&parts, arena, &out->headers)) {
        return false;
    }
    out->header_keys = value_null();
    // hp, if it is there, comes first.
    struct reader reader = reader_of(parts.fields);
    struct token key;
    if (parts.fields_count > 0 && reader_next(&reader, &key) && key.type == TOKEN_STRING &&
        key.len == 2 && memcmp(key.data, "hp", 2) == 0) {
        return msgpack_read_value(&reader, arena, &out->header_keys, NULL) == ZKT_OK &&
               out->header_keys.type == VALUE_LIST;
    }
    return true;
}

const struct task_codec wire_task_codec = {
    .pack = pack_body, .headers = unpack_headers, .unpack = unpack_body};

static void
pack_raw(msgpack_packer *packer, struct span raw)
{
    packer->callback(packer->data, (const char *)raw.data, raw.len);
}

void
pack_delivered_task(msgpack_packer *packer, const struct task *task, struct span body,
                    struct span receiver)
{
    struct parts parts;
    bool is_whole = split(body, &parts);
    zkt_assert(is_whole); // the store verifies a body before it offers the task
    size_t head = map_begin(packer);
    uint32_t ids_count = shape_write_fields(packer, &task_ids_shape, task);
    map_end(packer, head, ids_count + 1 + parts.fields_count);
    pack_string(packer, "headers", 7);
    msgpack_pack_map(packer, (size_t)parts.headers_count + 1);
    pack_raw(packer, parts.headers);
    pack_string(packer, "receiver", 8);
    pack_string(packer, receiver.data, receiver.len);
    pack_raw(packer, parts.fields);
}
