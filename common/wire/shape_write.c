#include "wire/shape.h"

#include <string.h>

#include "base/assert.h"
#include "base/uid.h"

enum { BIN8_MAX = 255 };

static bool
is_zero(const struct field *field, const char *from)
{
    const char *at = from + field->offset;
    switch ((enum field_kind)field->kind) {
    case FIELD_U32:
    case FIELD_CODE:
    case FIELD_NAME:
        return *(const uint32_t *)(const void *)at == 0;
    case FIELD_U64:
    case FIELD_I64:
        return *(const uint64_t *)(const void *)at == 0;
    case FIELD_BOOL:
        return !*(const bool *)at;
    case FIELD_TEXT:
    case FIELD_STRING:
    case FIELD_BINARY:
        return ((const struct span *)(const void *)at)->len == 0;
    case FIELD_UID:
        return uid_is_none((const void *)at);
    case FIELD_VALUE:
        return ((const struct value *)(const void *)at)->type == VALUE_NULL;
    case FIELD_LIST:
    case FIELD_NUMBERS:
        return *(const size_t *)(const void *)(from + field->has_offset) == 0;
    case FIELD_SHA256:
    case FIELD_STRUCT:
        break;
    }
    return false;
}

static bool
is_written(const struct field *field, const char *from)
{
    bool has_flag = field->kind == FIELD_SHA256 || field->kind == FIELD_STRUCT;
    if (has_flag && field->has_offset != NO_OFFSET) {
        return *(const bool *)(from + field->has_offset);
    }
    return (field->flags & FIELD_OMIT_ZERO) == 0 || !is_zero(field, from);
}

static void
write_bytes(msgpack_packer *packer, const void *data, size_t len)
{
    if (len <= BIN8_MAX) { // most are uids: in one piece
        struct bytes *out = packer->data;
        uint8_t *at = bytes_reserve(out, len + 2);
        at[0] = 0xc4;
        at[1] = (uint8_t)len;
        memcpy(at + 2, data, len);
        out->len += len + 2;
        return;
    }
    msgpack_pack_bin(packer, len);
    msgpack_pack_bin_body(packer, data, len);
}

static void
write_list(msgpack_packer *packer, const struct field *field, const char *from)
{
    const char *items = *(const char *const *)(const void *)(from + field->offset);
    size_t count = *(const size_t *)(const void *)(from + field->has_offset);
    msgpack_pack_array(packer, count);
    for (size_t item_index = 0; item_index < count; item_index++) {
        if (field->kind == FIELD_NUMBERS) {
            msgpack_pack_uint64(packer, ((const uint64_t *)(const void *)items)[item_index]);
        } else {
            shape_write(packer, field->shape, items + item_index * field->shape->size);
        }
    }
}

static void
write_field(msgpack_packer *packer, const struct field *field, const char *from)
{
    const void *at = from + field->offset;
    const struct span *span = at;
    switch ((enum field_kind)field->kind) {
    case FIELD_U32:
    case FIELD_CODE:
        msgpack_pack_uint32(packer, *(const uint32_t *)at);
        break;
    case FIELD_U64:
        msgpack_pack_uint64(packer, *(const uint64_t *)at);
        break;
    case FIELD_I64:
        msgpack_pack_int64(packer, *(const int64_t *)at);
        break;
    case FIELD_BOOL:
        if (*(const bool *)at) {
            msgpack_pack_true(packer);
        } else {
            msgpack_pack_false(packer);
        }
        break;
    case FIELD_TEXT:
    case FIELD_STRING:
        pack_string(packer, span->data, span->len);
        break;
    case FIELD_BINARY:
        write_bytes(packer, span->data, span->len);
        break;
    case FIELD_UID:
        write_bytes(packer, at, sizeof(struct uid));
        break;
    case FIELD_SHA256:
        write_bytes(packer, at, 32);
        break;
    case FIELD_NAME:
        at = field->names[*(const uint32_t *)at];
        pack_string(packer, at, strlen(at));
        break;
    case FIELD_VALUE:
        pack_value(packer, at);
        break;
    case FIELD_STRUCT:
        shape_write(packer, field->shape, at);
        break;
    case FIELD_LIST:
    case FIELD_NUMBERS:
        write_list(packer, field, from);
        break;
    }
}

// A short text in one piece: names are a third of what is written.
static void
write_name(msgpack_packer *packer, const struct field *field)
{
    uint8_t *at = bytes_reserve(packer->data, (size_t)field->name_len + 1);
    *at = (uint8_t)(0xa0 | field->name_len);
    memcpy(at + 1, field->name, field->name_len);
    ((struct bytes *)packer->data)->len += (size_t)field->name_len + 1;
}

uint32_t
shape_write_fields(msgpack_packer *packer, const struct shape *shape, const void *from)
{
    uint32_t written_count = 0;
    for (size_t field_index = 0; field_index < shape->fields_count; field_index++) {
        const struct field *field = &shape->fields[field_index];
        if (is_written(field, from)) {
            write_name(packer, field);
            write_field(packer, field, from);
            written_count++;
        }
    }
    return written_count;
}

size_t
map_begin(msgpack_packer *packer)
{
    struct bytes *out = packer->data;
    size_t head = out->len;
    bytes_append_byte(out, 0);
    return head;
}

void
map_end(msgpack_packer *packer, size_t head, uint32_t pairs_count)
{
    struct bytes *out = packer->data;
    zkt_assert(pairs_count <= MAP_PAIRS_MAX);
    out->data[head] = (uint8_t)(0x80 | pairs_count);
}

void
shape_write(msgpack_packer *packer, const struct shape *shape, const void *from)
{
    size_t head = map_begin(packer);
    map_end(packer, head, shape_write_fields(packer, shape, from));
}
