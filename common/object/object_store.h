// object_store.h: the seam to the bytes of resources. A store hands out presigned URLs, so that
// bytes never pass through a session; it says what it holds and deletes what nobody refers to any
// more.
//
// Threads: any thread may call anything at any time. presign_* only computes and never waits: the
// loop calls it. Everything else may wait for a disk or a network, for as long as retries take, and
// is called by the janitor and its like. Objects never change: one uid, one content.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"

enum {
    OBJECT_UPLOAD_ID_SIZE = 1025, // with its NUL
    OBJECT_PARTS_MAX = 10000,     // of one upload; counted from 1
};

struct object_store;

struct object_info {
    struct uid uid;
    int64_t size;
    int64_t modified_ms; // wall clock
};

// An object that is being uploaded in parts.
struct object_pending {
    struct uid uid;
    char upload[OBJECT_UPLOAD_ID_SIZE]; // the store's name of this upload
    int64_t started_ms;                 // wall clock
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
    enum zkt_err (*multipart_begin)(struct object_store *store, const struct object_info *object,
                                    const uint8_t sha256[32], struct bytes *upload,
                                    struct problem *problem);
    enum zkt_err (*presign_part)(struct object_store *store, const struct uid *uid,
                                 struct span upload, uint32_t part, int64_t size, int64_t now_s,
                                 struct bytes *url);
    enum zkt_err (*multipart_complete)(struct object_store *store, const struct object_info *object,
                                       const uint8_t sha256[32], struct span upload,
                                       const struct span *etags, size_t etags_count,
                                       struct problem *problem);
    enum zkt_err (*multipart_abort)(struct object_store *store, const struct uid *uid,
                                    struct span upload, struct problem *problem);
    enum zkt_err (*list_pending)(struct object_store *store, const struct object_pending *after,
                                 struct object_pending *pendings, size_t pendings_max,
                                 size_t *pendings_count, struct problem *problem);
    // What only stores over a network need; NULL: nothing to do.
    enum zkt_err (*delete_foreign)(struct object_store *store, int64_t before_ms,
                                   struct bytes *cursor, size_t *deleted_count,
                                   struct problem *problem);
    enum zkt_err (*tend)(struct object_store *store, int64_t *due_ms, struct problem *problem);
    void (*interrupt)(struct object_store *store);
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

// ---- An object in parts, which may be sent at the same time and again one by one

// Begins an upload in parts; its id (text, under OBJECT_UPLOAD_ID_SIZE bytes) is appended to
// upload. Nothing is visible under the uid until it is completed.
ZKT_MUST enum zkt_err
object_store_multipart_begin(struct object_store *store, const struct object_info *object,
                             const uint8_t sha256[32], struct bytes *upload,
                             struct problem *problem);
// A URL for one PUT of part 1..OBJECT_PARTS_MAX, which has size bytes; appended to url. The answer
// to the PUT names the part's ETag.
ZKT_MUST enum zkt_err
object_store_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                          uint32_t part, int64_t size, int64_t now_s, struct bytes *url);
// Makes the object of the parts 1..etags_count; their ETags as their PUTs answered them, quotes
// included. OK too if the upload is gone and the object is there with its size: who does not hear
// the answer asks again. NOT_FOUND: no such upload. INVALID: the parts are not this object (a part
// is missing or has another ETag; the size is another; the hash, where the store knows it): the
// object is not there, the upload may be.
ZKT_MUST enum zkt_err
object_store_multipart_complete(struct object_store *store, const struct object_info *object,
                                const uint8_t sha256[32], struct span upload,
                                const struct span *etags, size_t etags_count,
                                struct problem *problem);
// Ends an upload; its parts go. What does not exist counts as aborted.
ZKT_MUST enum zkt_err
object_store_multipart_abort(struct object_store *store, const struct uid *uid, struct span upload,
                             struct problem *problem);
// The next uploads under way in the order of uid, then upload, behind `after` (NULL: from the
// first). *pendings_count 0: the end.
ZKT_MUST enum zkt_err
object_store_list_pending(struct object_store *store, const struct object_pending *after,
                          struct object_pending *pendings, size_t pendings_max,
                          size_t *pendings_count, struct problem *problem);

// ---- For a store that others use too, or that is reached over a network

// Deletes some of what lies in the same bucket, is older than before_ms and is no object of this
// broker. cursor: empty to begin; empty again at the end. Only when the operator said "all".
ZKT_MUST enum zkt_err
object_store_delete_foreign(struct object_store *store, int64_t before_ms, struct bytes *cursor,
                            size_t *deleted_count, struct problem *problem);
// Renews credentials that end, and looks at a store that was not reached at the start. *due_ms:
// the monotonic time to call it again, INT64_MAX: never. On failure due_ms says when to try again.
ZKT_MUST enum zkt_err
object_store_tend(struct object_store *store, int64_t *due_ms, struct problem *problem);
// Makes every call that waits end soon, and all later ones at once, with CANCELLED: at the end.
void
object_store_interrupt(struct object_store *store);
void
object_store_destroy(struct object_store **store_p);
