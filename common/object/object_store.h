// object_store.h: what holds the bytes of resources must do (docs/objects.md). An object is named
// by the uid of its resource and never changes. The store makes URLs that are good for a while and
// allow one thing; whoever has the URL needs nothing else. Calls may block; no call comes from two
// threads at once unless the store says that it allows it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"

struct object_put {
    struct uid uid;
    int64_t size; // bytes, exactly
    uint8_t sha256[32];
};
struct object_info {
    struct uid uid;
    int64_t size;
    int64_t modified_ms; // wall
};

struct object_store;

struct object_ops {
    const char *kind; // "dir", "mem"
    enum zkt_err (*presign_put)(struct object_store *store, const struct object_put *put,
                                int64_t now_ms, struct bytes *url, struct problem *problem);
    enum zkt_err (*presign_get)(struct object_store *store, const struct uid *uid, int64_t now_ms,
                                struct bytes *url, struct problem *problem);
    enum zkt_err (*head)(struct object_store *store, const struct uid *uid,
                         struct object_info *info, struct problem *problem);
    enum zkt_err (*remove)(struct object_store *store, const struct uid *uid,
                           struct problem *problem);
    enum zkt_err (*list)(struct object_store *store, const struct uid *after,
                         struct object_info *rows, size_t *rows_count, struct problem *problem);
    void (*destroy)(struct object_store *store);
};

// First member of every implementation.
struct object_store {
    const struct object_ops *ops;
};

// object_presign_put appends a URL that takes one PUT of exactly these bytes; presign_get one that
// gives them. Both are good for the store's url_ttl from now_ms (wall). They touch no disk and no
// network.
ZKT_MUST enum zkt_err
object_presign_put(struct object_store *store, const struct object_put *put, int64_t now_ms,
                   struct bytes *url, struct problem *problem);
ZKT_MUST enum zkt_err
object_presign_get(struct object_store *store, const struct uid *uid, int64_t now_ms,
                   struct bytes *url, struct problem *problem);
// object_head answers NOT_FOUND for an object that is not there (or not whole).
ZKT_MUST enum zkt_err
object_head(struct object_store *store, const struct uid *uid, struct object_info *info,
            struct problem *problem);
// object_remove deletes; an object that is not there is deleted already (OK).
ZKT_MUST enum zkt_err
object_remove(struct object_store *store, const struct uid *uid, struct problem *problem);
// object_list fills at most *rows_count rows with the objects behind `after` (NULL: from the start)
// in the order of their uids, and sets *rows_count; 0: no more.
ZKT_MUST enum zkt_err
object_list(struct object_store *store, const struct uid *after, struct object_info *rows,
            size_t *rows_count, struct problem *problem);
const char *
object_kind(const struct object_store *store);
void
object_store_destroy(struct object_store **store_p);
