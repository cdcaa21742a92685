// object_mem_internal.h: what object_mem.c and object_mem_parts.c share.
#pragma once
#include "object/object_mem.h"

struct mem_object {
    struct object_info info;
    uint8_t *data; // owned
};

struct mem_part {
    struct bytes data;
    uint32_t version; // stands in the ETag; 0: not sent yet
};

struct mem_upload {
    struct object_pending pending;
    struct mem_part *parts; // part 1 first; owned
    size_t parts_count;
};

struct object_mem {
    struct object_store store;  // first
    struct mem_object *objects; // sorted by uid; owned
    size_t objects_count;
    struct mem_upload *uploads; // sorted by uid, then upload; owned
    size_t uploads_count;
    uint32_t versions_count;
    unsigned failures_left;
};

struct object_mem *
object_mem_of(struct object_store *store);
// IO as often as object_mem_fail said.
ZKT_MUST enum zkt_err
object_mem_maybe_fail(struct object_mem *mem, struct problem *problem);
void
object_mem_parts_fini(struct object_mem *mem);

// Of the seam.
enum zkt_err
object_mem_begin(struct object_store *store, const struct object_info *object,
                 const uint8_t sha256[32], struct bytes *upload, struct problem *problem);
enum zkt_err
object_mem_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                        uint32_t part, int64_t size, int64_t now_s, struct bytes *url);
enum zkt_err
object_mem_complete(struct object_store *store, const struct object_info *object,
                    const uint8_t sha256[32], struct span upload, const struct span *etags,
                    size_t etags_count, struct problem *problem);
enum zkt_err
object_mem_abort(struct object_store *store, const struct uid *uid, struct span upload,
                 struct problem *problem);
enum zkt_err
object_mem_pending(struct object_store *store, const struct object_pending *after,
                   struct object_pending *pendings, size_t pendings_max, size_t *pendings_count,
                   struct problem *problem);
