// object_mem.h: an object store in memory, for tests. Its URLs are "mem:put/…" and "mem:get/…".
#pragma once
#include "object/object_store.h"

struct object_store *
object_mem_new(void);
// object_mem_put stores an object as an upload would; INVALID: size or hash differ.
ZKT_MUST enum zkt_err
object_mem_put(struct object_store *store, const struct object_put *put, const void *data,
               int64_t modified_ms, struct problem *problem);
// object_mem_fail_next lets the next calls of remove and head fail with IO.
void
object_mem_fail_next(struct object_store *store, unsigned calls_count);
