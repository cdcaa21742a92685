// References to objects, counted in the commit that changes the tasks (design promise 8): an object
// lives exactly as long as a body refers to it, or an upload hold younger than the grace. At zero
// the same batch writes a delete intent.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/gone.h"
#include "store/local/state.h"

static struct object_entry *
find(const struct store *store, const struct uid *uid)
{
    return map_get(store->objects, uid, sizeof *uid);
}

static struct object_entry *
get(struct store *store, const struct uid *uid)
{
    struct object_entry *object = find(store, uid);
    if (object == NULL) {
        object = xcalloc(1, sizeof *object);
        object->object = *uid;
        map_put(store->objects, uid, sizeof *uid, object);
    }
    return object;
}

struct span
objects_of(struct store *store, const struct task *task, struct bytes *out)
{
    (void)store;
    for (size_t resource_index = 0; resource_index < task->resources_count; resource_index++) {
        bytes_append(out, &task->resources[resource_index].uid, sizeof(struct uid));
    }
    return bytes_span(out);
}

static void
end_upload(struct store *store, struct object_entry *object)
{
    if (!object->is_upload) {
        return;
    }
    struct key key = key_uid(RECORD_UPLOAD, &object->object);
    delete_record(store, &key);
    object->is_upload = false;
    list_remove(&object->upload_link);
    store->uploads_count--;
}

// The intent is durable with this batch; the engine hears of it then, and the janitor deletes.
static void
begin_delete(struct store *store, struct object_entry *object, const struct uid *task)
{
    static const struct uid none;
    struct key key = key_uid(RECORD_DELETION, &object->object);
    bytes_clear(&store->value);
    format_number(&key, (uint64_t)store->now_ms, &store->value);
    put_record(store, &key, &store->value);
    object->is_deleting = true;
    store->deletions_count++;
    gone_add(store->gone, &object->object, task != NULL ? task : &none, store->now_ms);
    struct object_waiting *waiting = xcalloc(1, sizeof *waiting);
    waiting->batch = store->open_number;
    waiting->object = object->object;
    list_append(&store->objects_waiting, &waiting->link);
}

void
object_ref_uid(struct store *store, const struct uid *uid)
{
    get(store, uid)->refs_count++;
}

void
objects_ref(struct store *store, const struct task *task)
{
    for (size_t resource_index = 0; resource_index < task->resources_count; resource_index++) {
        struct object_entry *object = get(store, &task->resources[resource_index].uid);
        object->refs_count++;
        end_upload(store, object);
    }
}

static void
unref(struct store *store, const struct uid *uid, const struct uid *task)
{
    struct object_entry *object = find(store, uid);
    store->unrefs_count++;
    if (object == NULL || object->refs_count == 0) {
        return;
    }
    if (--object->refs_count == 0 && !object->is_upload && !object->is_deleting) {
        begin_delete(store, object, task);
    }
}

void
objects_unref_uids(struct store *store, struct span uids, const struct uid *task)
{
    for (size_t at = 0; at + sizeof(struct uid) <= uids.len; at += sizeof(struct uid)) {
        struct uid uid;
        memcpy(&uid, uids.data + at, sizeof uid);
        unref(store, &uid, task);
    }
}

void
objects_unref(struct store *store, struct span body, const struct uid *task)
{
    struct task ended = {0};
    struct arena arena;
    arena_init(&arena);
    if (store->options.codec->unpack(body, &arena, &ended)) {
        for (size_t resource_index = 0; resource_index < ended.resources_count; resource_index++) {
            unref(store, &ended.resources[resource_index].uid, task);
        }
    }
    arena_fini(&arena);
}

// Else a peer could take over another's object by its uid, or lose its own to a delete under way.
bool
store_object_may_upload(const struct store *store, const struct uid *uid,
                        const struct uid *instance)
{
    const struct object_entry *object = find(store, uid);
    return object == NULL ||
           (!object->is_deleting && uid_equal(&object->upload.instance, instance));
}

void
store_upload(struct store *store, const struct uid *uid, const struct uid *instance, int64_t size,
             const uint8_t sha256[32], int64_t now_ms)
{
    struct object_entry *object = get(store, uid);
    store->now_ms = now_ms;
    if (object->is_upload) {
        list_remove(&object->upload_link);
    } else {
        store->uploads_count++;
    }
    object->is_upload = true;
    object->upload = (struct upload_value){.instance = *instance, .size = size, .at_ms = now_ms};
    memcpy(object->upload.sha256, sha256, sizeof object->upload.sha256);
    list_append(&store->uploads, &object->upload_link);
    struct key key = key_uid(RECORD_UPLOAD, uid);
    bytes_clear(&store->value);
    format_upload(&key, &object->upload, &store->value);
    put_record(store, &key, &store->value);
}

bool
objects_tell(struct store *store)
{
    const struct store_callbacks *callbacks = &store->options.callbacks;
    struct list_link *link;
    for (int slice = LIMIT_INTENT_SLICE; (link = list_first(&store->objects_waiting)) != NULL;
         slice--) {
        struct object_waiting *waiting = container_of(link, struct object_waiting, link);
        if (waiting->batch > store->durable_batch) {
            return false;
        }
        if (slice == 0) {
            return true;
        }
        list_remove(link);
        callbacks->on_object_unreferenced(callbacks->arg, &waiting->object);
        free(waiting);
    }
    return false;
}

bool
objects_age(struct store *store, int64_t now_ms)
{
    store->now_ms = now_ms;
    struct list_link *link;
    for (int slice = LIMIT_INTENT_SLICE; (link = list_first(&store->uploads)) != NULL; slice--) {
        struct object_entry *object = container_of(link, struct object_entry, upload_link);
        if (object->upload.at_ms + store->options.upload_grace_ms > now_ms) {
            return false;
        }
        if (slice == 0) {
            return true;
        }
        end_upload(store, object);
        if (object->refs_count == 0 && !object->is_deleting) {
            begin_delete(store, object, NULL);
        }
    }
    return false;
}

bool
store_object_held(const struct store *store, const struct uid *uid, const struct uid *instance,
                  struct object_held *out)
{
    const struct object_entry *object = find(store, uid);
    if (object == NULL || !object->is_upload || !uid_equal(&object->upload.instance, instance)) {
        return false;
    }
    out->size = object->upload.size;
    memcpy(out->sha256, object->upload.sha256, sizeof out->sha256);
    return true;
}

bool
store_object_gone(const struct store *store, const struct uid *uid, struct uid *task,
                  int64_t *at_ms)
{
    return gone_find(store->gone, uid, task, at_ms);
}

static int
compare_uids(const void *a, const void *b)
{
    return uid_compare(a, b);
}

// A task may have thousands, and each is asked for: its body is read once.
static void
learn_objects(struct store *store, struct held *held)
{
    struct task task = {0};
    struct arena arena;
    struct bytes uids = {0};
    arena_init(&arena);
    if (store->options.codec->unpack(held->hold.body, &arena, &task)) {
        (void)objects_of(store, &task, &uids);
    }
    arena_fini(&arena);
    held->knows_objects = true;
    held->objects_count = uids.len / sizeof(struct uid);
    held->objects = (struct uid *)uids.data;
    if (held->objects_count > 0) {
        qsort(held->objects, held->objects_count, sizeof(struct uid), compare_uids);
    }
}

static bool
parent_refers(struct store *store, struct hold *parent, const struct uid *uid)
{
    struct held *held = container_of(parent, struct held, hold);
    if (!held->knows_objects) {
        learn_objects(store, held);
    }
    return held->objects_count > 0 && bsearch(uid, held->objects, held->objects_count,
                                              sizeof(struct uid), compare_uids) != NULL;
}

bool
store_object_may_use(struct store *store, const struct uid *uid, const struct uid *instance,
                     struct hold *parent)
{
    const struct object_entry *object = find(store, uid);
    if (object == NULL || object->is_deleting) {
        return false;
    }
    if (uid_equal(&object->upload.instance, instance)) {
        return true; // a SUBMIT that is refused for now and repeated must find its objects again
    }
    return parent != NULL && parent_refers(store, parent, uid);
}

bool
store_object_is_referenced(const struct store *store, const struct uid *uid)
{
    const struct object_entry *object = find(store, uid);
    return object != NULL && (object->refs_count > 0 || object->is_upload);
}

void
store_object_deleted(struct store *store, const struct uid *uid)
{
    struct object_entry *object = find(store, uid);
    if (object == NULL || !object->is_deleting) {
        return;
    }
    struct key key = key_uid(RECORD_DELETION, uid);
    delete_record(store, &key);
    store->deletions_count--;
    object->is_deleting = false;
    if (object->refs_count == 0 && !object->is_upload) {
        map_remove(store->objects, uid, sizeof *uid);
        free(object);
    }
}

void
store_object_found(struct store *store, const struct uid *uid, int64_t now_ms)
{
    if (find(store, uid) == NULL) {
        store->now_ms = now_ms;
        begin_delete(store, get(store, uid), NULL);
    }
}

// ---- After a restart

void
object_adopt_upload(struct store *store, const struct uid *uid, const struct upload_value *upload)
{
    struct object_entry *object = get(store, uid);
    object->is_upload = true;
    object->upload = *upload;
    store->uploads_count++;
    list_append(&store->uploads, &object->upload_link);
}

void
object_adopt_deletion(struct store *store, const struct uid *uid)
{
    struct object_entry *object = get(store, uid);
    object->is_deleting = true;
    store->deletions_count++;
}

static int
compare_ages(const void *a, const void *b)
{
    const struct object_entry *left = *(const struct object_entry *const *)a;
    const struct object_entry *right = *(const struct object_entry *const *)b;
    return (left->upload.at_ms > right->upload.at_ms) - (left->upload.at_ms < right->upload.at_ms);
}

// They were read in the order of their uids.
static void
sort_uploads(struct store *store)
{
    size_t uploads_count = 0;
    struct object_entry **uploads = xmalloc((store->uploads_count + 1) * sizeof(void *));
    struct list_link *link;
    while ((link = list_first(&store->uploads)) != NULL) {
        list_remove(link);
        uploads[uploads_count++] = container_of(link, struct object_entry, upload_link);
    }
    qsort(uploads, uploads_count, sizeof(void *), compare_ages);
    for (size_t at = 0; at < uploads_count; at++) {
        list_append(&store->uploads, &uploads[at]->upload_link);
    }
    free(uploads);
}

void
objects_settle_recovered(struct store *store)
{
    sort_uploads(store);
    struct map_cursor cursor = {0};
    while (map_next(store->objects, &cursor)) {
        const struct object_entry *object = cursor.value;
        if (object->is_deleting) {
            struct object_waiting *waiting = xcalloc(1, sizeof *waiting);
            waiting->object = object->object; // its intent is durable
            list_append(&store->objects_waiting, &waiting->link);
        }
    }
}
