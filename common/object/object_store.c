#include "object/object_store.h"

#include "base/assert.h"

enum zkt_err
object_store_presign_put(struct object_store *store, const struct object_info *object,
                         const uint8_t sha256[32], int64_t now_s, struct bytes *url)
{
    zkt_assert(object->size >= 0);
    return store->ops->presign_put(store, object, sha256, now_s, url);
}

enum zkt_err
object_store_presign_get(struct object_store *store, const struct uid *uid, int64_t now_s,
                         struct bytes *url)
{
    return store->ops->presign_get(store, uid, now_s, url);
}

enum zkt_err
object_store_head(struct object_store *store, const struct uid *uid, struct object_info *info,
                  struct problem *problem)
{
    return store->ops->head(store, uid, info, problem);
}

enum zkt_err
object_store_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                    size_t *deleted_count, struct problem *problem)
{
    *deleted_count = 0;
    return store->ops->delete (store, uids, uids_count, deleted_count, problem);
}

enum zkt_err
object_store_list(struct object_store *store, const struct uid *after, struct object_info *infos,
                  size_t infos_max, size_t *infos_count, struct problem *problem)
{
    zkt_assert(infos_max > 0);
    *infos_count = 0;
    return store->ops->list(store, after, infos, infos_max, infos_count, problem);
}

enum zkt_err
object_store_multipart_begin(struct object_store *store, const struct object_info *object,
                             const uint8_t sha256[32], struct bytes *upload,
                             struct problem *problem)
{
    zkt_assert(object->size >= 0);
    return store->ops->multipart_begin(store, object, sha256, upload, problem);
}

enum zkt_err
object_store_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                          uint32_t part, int64_t size, int64_t now_s, struct bytes *url)
{
    zkt_assert(part >= 1);
    zkt_assert(part <= OBJECT_PARTS_MAX);
    return store->ops->presign_part(store, uid, upload, part, size, now_s, url);
}

enum zkt_err
object_store_multipart_complete(struct object_store *store, const struct object_info *object,
                                const uint8_t sha256[32], struct span upload,
                                const struct span *etags, size_t etags_count,
                                struct problem *problem)
{
    if (etags_count == 0 || etags_count > OBJECT_PARTS_MAX) {
        return problem_set(problem, ZKT_INVALID, "etags: %zu of them. Name 1 to %d parts",
                           etags_count, OBJECT_PARTS_MAX);
    }
    return store->ops->multipart_complete(store, object, sha256, upload, etags, etags_count,
                                          problem);
}

enum zkt_err
object_store_multipart_abort(struct object_store *store, const struct uid *uid, struct span upload,
                             struct problem *problem)
{
    return store->ops->multipart_abort(store, uid, upload, problem);
}

enum zkt_err
object_store_list_pending(struct object_store *store, const struct object_pending *after,
                          struct object_pending *pendings, size_t pendings_max,
                          size_t *pendings_count, struct problem *problem)
{
    zkt_assert(pendings_max > 0);
    *pendings_count = 0;
    return store->ops->list_pending(store, after, pendings, pendings_max, pendings_count, problem);
}

enum zkt_err
object_store_delete_foreign(struct object_store *store, int64_t before_ms, struct bytes *cursor,
                            size_t *deleted_count, struct problem *problem)
{
    *deleted_count = 0;
    if (store->ops->delete_foreign == NULL) {
        bytes_clear(cursor);
        return ZKT_OK;
    }
    return store->ops->delete_foreign(store, before_ms, cursor, deleted_count, problem);
}

enum zkt_err
object_store_tend(struct object_store *store, int64_t *due_ms, struct problem *problem)
{
    *due_ms = INT64_MAX;
    return store->ops->tend != NULL ? store->ops->tend(store, due_ms, problem) : ZKT_OK;
}

void
object_store_interrupt(struct object_store *store)
{
    if (store->ops->interrupt != NULL) {
        store->ops->interrupt(store);
    }
}

void
object_store_destroy(struct object_store **store_p)
{
    struct object_store *store = *store_p;
    *store_p = NULL;
    if (store != NULL) {
        store->ops->destroy(store);
    }
}
