#include "object/object_mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "object/object_mem_internal.h"

struct object_mem *
object_mem_of(struct object_store *store)
{
    return (struct object_mem *)store;
}

// The place of the first object that is not below uid.
static size_t
lower_bound(const struct object_mem *mem, const struct uid *uid)
{
    size_t low = 0;
    size_t high = mem->objects_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (uid_compare(&mem->objects[middle].info.uid, uid) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mem_object *
find(const struct object_mem *mem, const struct uid *uid)
{
    size_t at = lower_bound(mem, uid);
    bool is_found = at < mem->objects_count && uid_equal(&mem->objects[at].info.uid, uid);
    return is_found ? &mem->objects[at] : NULL;
}

enum zkt_err
object_mem_maybe_fail(struct object_mem *mem, struct problem *problem)
{
    if (mem->failures_left == 0) {
        return ZKT_OK;
    }
    mem->failures_left--;
    return problem_set(problem, ZKT_IO, "told to fail");
}

static enum zkt_err
mem_presign_put(struct object_store *store, const struct object_info *object,
                const uint8_t sha256[32], int64_t now_s, struct bytes *url)
{
    char text[UID_TEXT_SIZE];
    uid_format(&object->uid, text);
    (void)store;
    bytes_printf(url, "mem://%s?put&size=%" PRId64 "&sha=%02x&now=%" PRId64, text, object->size,
                 sha256[0], now_s);
    return ZKT_OK;
}

static enum zkt_err
mem_presign_get(struct object_store *store, const struct uid *uid, int64_t now_s, struct bytes *url)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    (void)store;
    bytes_printf(url, "mem://%s?get&now=%" PRId64, text, now_s);
    return ZKT_OK;
}

static enum zkt_err
mem_head(struct object_store *store, const struct uid *uid, struct object_info *info,
         struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    const struct mem_object *object = find(mem, uid);
    if (err == ZKT_OK && object == NULL) {
        char text[UID_TEXT_SIZE];
        uid_format(uid, text);
        err = problem_set(problem, ZKT_NOT_FOUND, "no object %s", text);
    } else if (err == ZKT_OK) {
        *info = object->info;
    }
    return err;
}

static enum zkt_err
mem_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
           size_t *deleted_count, struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    for (size_t i = 0; i < uids_count; i++) {
        enum zkt_err err = object_mem_maybe_fail(mem, problem);
        if (err != ZKT_OK) {
            return err;
        }
        struct mem_object *object = find(mem, &uids[i]);
        if (object != NULL) {
            free(object->data);
            mem->objects_count--;
            size_t behind = mem->objects_count - (size_t)(object - mem->objects);
            memmove(object, object + 1, behind * sizeof(*object));
        }
        (*deleted_count)++;
    }
    return ZKT_OK;
}

static enum zkt_err
mem_list(struct object_store *store, const struct uid *after, struct object_info *infos,
         size_t infos_max, size_t *infos_count, struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    size_t at = after != NULL ? lower_bound(mem, after) : 0;
    if (after != NULL && find(mem, after) != NULL) {
        at++;
    }
    for (; err == ZKT_OK && at < mem->objects_count && *infos_count < infos_max; at++) {
        infos[(*infos_count)++] = mem->objects[at].info;
    }
    return err;
}

static void
mem_destroy(struct object_store *store)
{
    struct object_mem *mem = object_mem_of(store);
    for (size_t i = 0; i < mem->objects_count; i++) {
        free(mem->objects[i].data);
    }
    free(mem->objects);
    object_mem_parts_fini(mem);
    free(mem);
}

static const struct object_store_ops mem_ops = {
    .presign_put = mem_presign_put,
    .presign_get = mem_presign_get,
    .head = mem_head,
    .delete = mem_delete,
    .list = mem_list,
    .multipart_begin = object_mem_begin,
    .presign_part = object_mem_presign_part,
    .multipart_complete = object_mem_complete,
    .multipart_abort = object_mem_abort,
    .list_pending = object_mem_pending,
    .destroy = mem_destroy,
};

struct object_store *
object_mem_new(void)
{
    struct object_mem *mem = xcalloc(1, sizeof(*mem));
    mem->store = (struct object_store){.ops = &mem_ops, .kind = "mem"};
    return &mem->store;
}

void
object_mem_put(struct object_store *store, const struct uid *uid, const void *data, size_t size,
               int64_t now_ms)
{
    struct object_mem *mem = object_mem_of(store);
    struct mem_object *object = find(mem, uid);
    if (object == NULL) {
        size_t at = lower_bound(mem, uid);
        mem->objects = xrealloc(mem->objects, (mem->objects_count + 1) * sizeof(*mem->objects));
        object = &mem->objects[at];
        memmove(object + 1, object, (mem->objects_count - at) * sizeof(*object));
        mem->objects_count++;
    } else {
        free(object->data);
    }
    *object = (struct mem_object){
        .info = {.uid = *uid, .size = (int64_t)size, .modified_ms = now_ms},
        .data = xmemdup(data, size),
    };
}

void
object_mem_fail(struct object_store *store, unsigned count)
{
    object_mem_of(store)->failures_left = count;
}
