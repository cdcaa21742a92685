#include "store/local/records.h"

#include "base/assert.h"

enum { HEAD_BYTES = 5 };

static void
add(struct record_batch *batch, struct span key, uint32_t value_len, struct span value)
{
    zkt_assert(key.len <= RECORD_KEY_MAX);
    uint8_t *at = bytes_reserve(&batch->ops, HEAD_BYTES);
    at[0] = (uint8_t)key.len;
    put_u32(at + 1, value_len);
    batch->ops.len += HEAD_BYTES;
    bytes_append(&batch->ops, key.data, key.len);
    bytes_append(&batch->ops, value.data, value.len);
    batch->ops_count++;
}

void
record_put(struct record_batch *batch, struct span key, struct span value)
{
    zkt_assert(value.len < UINT32_MAX);
    add(batch, key, (uint32_t)value.len, value);
}

void
record_delete(struct record_batch *batch, struct span key)
{
    add(batch, key, UINT32_MAX, (struct span){0});
}

bool
record_next(const struct record_batch *batch, size_t *at, struct span *key, struct span *value)
{
    if (*at >= batch->ops.len) {
        return false;
    }
    const uint8_t *head = batch->ops.data + *at;
    uint32_t value_len = get_u32(head + 1);
    *key = span_of(head + HEAD_BYTES, head[0]);
    *value = (struct span){0};
    *at += HEAD_BYTES + key->len;
    if (value_len != UINT32_MAX) {
        *value = span_of(head + HEAD_BYTES + key->len, value_len);
        *at += value_len;
    }
    return true;
}
