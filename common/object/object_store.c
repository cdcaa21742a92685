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

void
object_store_destroy(struct object_store **store_p)
{
    struct object_store *store = *store_p;
    *store_p = NULL;
    if (store != NULL) {
        store->ops->destroy(store);
    }
}
