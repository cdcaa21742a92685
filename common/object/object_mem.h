// object_mem.h: an object store in memory, for tests. One thread.
#pragma once
#include "object/object_store.h"

struct object_store *
object_mem_new(void);
// object_mem_put stores a copy under uid.
void
object_mem_put(struct object_store *store, const struct uid *uid, const void *data, size_t size,
               int64_t now_ms);
// object_mem_fail makes the next count calls that can fail answer IO.
void
object_mem_fail(struct object_store *store, unsigned count);
// object_mem_put_part stores a copy of a part; its ETag is appended. NOT_FOUND: no such upload.
enum zkt_err
object_mem_put_part(struct object_store *store, const struct uid *uid, struct span upload,
                    uint32_t part, struct span data, struct bytes *etag);
