#include "object/object_moving.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

struct object_moving {
    struct object_store store; // first
    struct object_store *from; // borrowed
    struct object_store *to;   // borrowed
};

static struct object_moving *
moving_of(struct object_store *store)
{
    return (struct object_moving *)store;
}

static enum zkt_err
presign_put(struct object_store *store, const struct object_info *object, const uint8_t sha256[32],
            int64_t now_s, struct bytes *url)
{
    return object_store_presign_put(moving_of(store)->to, object, sha256, now_s, url);
}

static enum zkt_err
presign_get(struct object_store *store, const struct uid *uid, int64_t now_s, struct bytes *url)
{
    return object_store_presign_get(moving_of(store)->from, uid, now_s, url);
}

// In the order in which objects move, so that none is missed on its way.
static enum zkt_err
head(struct object_store *store, const struct uid *uid, struct object_info *info,
     struct problem *problem)
{
    struct object_moving *moving = moving_of(store);
    enum zkt_err err = object_store_head(moving->from, uid, info, problem);
    return err == ZKT_NOT_FOUND ? object_store_head(moving->to, uid, info, problem) : err;
}

static enum zkt_err
delete_both(struct object_store *store, const struct uid *uids, size_t uids_count,
            size_t *deleted_count, struct problem *problem)
{
    struct object_moving *moving = moving_of(store);
    size_t from_count = 0;
    struct problem second = {.code = ZKT_OK};
    enum zkt_err err = object_store_delete(moving->from, uids, uids_count, &from_count, problem);
    enum zkt_err to_err = object_store_delete(moving->to, uids, from_count, deleted_count, &second);
    return to_err != ZKT_OK ? problem_set(problem, to_err, "%s", second.text) : err;
}

// Merges two sorted pages; both, whole, if neither store has more.
static size_t
merge(const struct object_info *a, size_t a_count, const struct object_info *b, size_t b_count,
      struct object_info *out, size_t out_max)
{
    size_t count = 0;
    size_t at_a = 0;
    size_t at_b = 0;
    while (count < out_max && (at_a < a_count || at_b < b_count)) {
        // Behind the last one of a page that has any there may be more of its store.
        if ((at_a == a_count && a_count > 0) || (at_b == b_count && b_count > 0)) {
            break;
        }
        int order = a_count == 0 ? 1 : b_count == 0 ? -1 : uid_compare(&a[at_a].uid, &b[at_b].uid);
        out[count++] = order <= 0 ? a[at_a] : b[at_b];
        at_a += order <= 0;
        at_b += order >= 0;
    }
    return count;
}

static enum zkt_err
list(struct object_store *store, const struct uid *after, struct object_info *infos,
     size_t infos_max, size_t *infos_count, struct problem *problem)
{
    struct object_moving *moving = moving_of(store);
    struct object_info *from_infos = xcalloc(infos_max, sizeof *from_infos);
    struct object_info *to_infos = xcalloc(infos_max, sizeof *to_infos);
    size_t from_count = 0;
    size_t to_count = 0;
    enum zkt_err err =
        object_store_list(moving->from, after, from_infos, infos_max, &from_count, problem);
    if (err == ZKT_OK) {
        err = object_store_list(moving->to, after, to_infos, infos_max, &to_count, problem);
    }
    if (err == ZKT_OK) {
        *infos_count = merge(from_infos, from_count, to_infos, to_count, infos, infos_max);
    }
    free(from_infos);
    free(to_infos);
    return err;
}

// ---- In parts: of the new store; what was begun in the old one is begun again

static enum zkt_err
multipart_begin(struct object_store *store, const struct object_info *object,
                const uint8_t sha256[32], struct bytes *upload, struct problem *problem)
{
    return object_store_multipart_begin(moving_of(store)->to, object, sha256, upload, problem);
}

static enum zkt_err
presign_part(struct object_store *store, const struct uid *uid, struct span upload, uint32_t part,
             int64_t size, int64_t now_s, struct bytes *url)
{
    return object_store_presign_part(moving_of(store)->to, uid, upload, part, size, now_s, url);
}

static enum zkt_err
multipart_complete(struct object_store *store, const struct object_info *object,
                   const uint8_t sha256[32], struct span upload, const struct span *etags,
                   size_t etags_count, struct problem *problem)
{
    return object_store_multipart_complete(moving_of(store)->to, object, sha256, upload, etags,
                                           etags_count, problem);
}

static enum zkt_err
multipart_abort(struct object_store *store, const struct uid *uid, struct span upload,
                struct problem *problem)
{
    return object_store_multipart_abort(moving_of(store)->to, uid, upload, problem);
}

static enum zkt_err
list_pending(struct object_store *store, const struct object_pending *after,
             struct object_pending *pendings, size_t pendings_max, size_t *pendings_count,
             struct problem *problem)
{
    return object_store_list_pending(moving_of(store)->to, after, pendings, pendings_max,
                                     pendings_count, problem);
}

static enum zkt_err
delete_foreign(struct object_store *store, int64_t before_ms, struct bytes *cursor,
               size_t *deleted_count, struct problem *problem)
{
    return object_store_delete_foreign(moving_of(store)->to, before_ms, cursor, deleted_count,
                                       problem);
}

static enum zkt_err
tend(struct object_store *store, int64_t *due_ms, struct problem *problem)
{
    return object_store_tend(moving_of(store)->to, due_ms, problem);
}

static void
interrupt(struct object_store *store)
{
    object_store_interrupt(moving_of(store)->from);
    object_store_interrupt(moving_of(store)->to);
}

static void
destroy(struct object_store *store)
{
    free(moving_of(store));
}

static const struct object_store_ops moving_ops = {
    .presign_put = presign_put,
    .presign_get = presign_get,
    .head = head,
    .delete = delete_both,
    .list = list,
    .multipart_begin = multipart_begin,
    .presign_part = presign_part,
    .multipart_complete = multipart_complete,
    .multipart_abort = multipart_abort,
    .list_pending = list_pending,
    .delete_foreign = delete_foreign,
    .tend = tend,
    .interrupt = interrupt,
    .destroy = destroy,
};

struct object_store *
object_moving_new(struct object_store *from, struct object_store *to)
{
    struct object_moving *moving = xcalloc(1, sizeof *moving);
    moving->store = (struct object_store){.ops = &moving_ops, .kind = to->kind};
    moving->from = from;
    moving->to = to;
    return &moving->store;
}
