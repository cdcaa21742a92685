// packer.h: msgpack-c's packer, writing into struct bytes. Internal to wire/.
#pragma once
#include <msgpack.h>
#include <string.h>

#include "base/bytes.h"
#include "model/value.h"

static inline int
packer_write(void *data, const char *from, size_t len)
{
    struct bytes *bytes = data;
    if (bytes->capacity - bytes->len < len) {
        bytes_reserve(bytes, len);
    }
    if (len > 0) {
        memcpy(bytes->data + bytes->len, from, len);
    }
    bytes->len += len;
    return 0;
}

static inline msgpack_packer
packer_on(struct bytes *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, packer_write);
    return packer;
}

void
pack_value(msgpack_packer *packer, const struct value *value);
// pack_string writes text as str, or as ext 2 when it is not valid UTF-8.
void
pack_string(msgpack_packer *packer, const void *data, size_t len);
