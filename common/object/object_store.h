// object_store.h: the seam to the bytes of resources. A store hands out presigned URLs, so that
// bytes never pass through a session; it says what it holds and deletes what nobody refers to any
// more.
//
// Threads: after its creation a store is constant; presign_* is called from the loop, the others
// from the janitor, at the same time. Objects never change: one uid, one content.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"

struct object_store;

struct object_info {
    struct uid uid;
    int64_t size;
    int64_t modified_ms; // wall clock
};

struct object_store_ops {
    enum zkt_err (*presign_put)(struct object_store *store, const struct object_info *object,
                                const uint8_t sha256[32], int64_t now_s, struct bytes *url);
    enum zkt_err (*presign_get)(struct object_store *store, const struct uid *uid, int64_t now_s,
                                struct bytes *url);
    enum zkt_err (*head)(struct object_store *store, const struct uid *uid,
                         struct object_info *info, struct problem *problem);
    enum zkt_err (*delete)(struct object_store *store, const struct uid *uids, size_t uids_count,
                           size_t *deleted_count, struct problem *problem);
    enum zkt_err (*list)(struct object_store *store, const struct uid *after,
                         struct object_info *infos, size_t infos_max, size_t *infos_count,
                         struct problem *problem);
    void (*destroy)(struct object_store *store);
};

// The first member of every implementation.
struct object_store {
    const struct object_store_ops *ops;
    const char *kind; // as WELCOME tells it: "dir", "s3", "mem"
};

// A URL for one PUT of exactly these bytes (uid, size, sha256); appended to url.
ZKT_MUST enum zkt_err
object_store_presign_put(struct object_store *store, const struct object_info *object,
                         const uint8_t sha256[32], int64_t now_s, struct bytes *url);
// A URL for GET and HEAD of one object, whether it exists or not; appended to url.
ZKT_MUST enum zkt_err
object_store_presign_get(struct object_store *store, const struct uid *uid, int64_t now_s,
                         struct bytes *url);
// NOT_FOUND, or IO with the reason.
ZKT_MUST enum zkt_err
object_store_head(struct object_store *store, const struct uid *uid, struct object_info *info,
                  struct problem *problem);
// Deletes in order; what does not exist counts as deleted. On failure the first *deleted_count are
// gone for good and the rest may be tried again.
ZKT_MUST enum zkt_err
object_store_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                    size_t *deleted_count, struct problem *problem);
// The next objects in the order of their uids, behind `after` (NULL: from the first). What exists
// during the whole walk appears exactly once. *infos_count 0: the end.
ZKT_MUST enum zkt_err
object_store_list(struct object_store *store, const struct uid *after, struct object_info *infos,
                  size_t infos_max, size_t *infos_count, struct problem *problem);
void
object_store_destroy(struct object_store **store_p);
