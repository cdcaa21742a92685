// UPLOAD and DOWNLOAD: presigned addresses for the bytes of resources. An upload is answered when
// its hold is durable, so that the sweeper of objects cannot take it for an orphan (promise 8). A
// download is for an operator, for the instance that uploads the object, or for a worker that holds
// a delivery whose task refers to it.
#include "core/handle.h"

#include <string.h>

#include "base/clock.h"
#include "core/release.h"
#include "core/session.h"
#include "core/urls.h"

// The object that stands in the name of the holder becomes the peer's own. Said again, it is.
static bool
take_over(struct engine *engine, const struct session *session, const struct object_item *item)
{
    struct object_held held;
    const struct uid *owner = &item->holder;
    if (store_object_held(engine->store, &item->uid, &session->instance, &held)) {
        owner = &session->instance;
    } else if (uid_is_none(owner) || !store_object_held(engine->store, &item->uid, owner, &held)) {
        return false;
    }
    bool is_same =
        held.size == item->size && memcmp(held.sha256, item->sha256, sizeof held.sha256) == 0;
    if (is_same && owner == &item->holder) {
        store_upload(engine->store, &item->uid, &session->instance, held.size, held.sha256,
                     engine->wall_ms);
    }
    return is_same;
}

static void
upload_one(struct engine *engine, const struct session *session, struct object_item *item)
{
    struct arena *arena = release_arena(engine);
    if (uid_is_none(&item->uid)) {
        urls_refuse(arena, item, ZKT_INVALID, "uid: must not be all zero");
        return;
    }
    if (item->size < 0) {
        urls_refuse(arena, item, ZKT_INVALID, "size: must not be negative");
        return;
    }
    if (store_pressure(engine->store) == STORE_DISK) {
        urls_refuse(arena, item, ZKT_DISK_FULL, "the disk of the broker is full");
        return;
    }
    const struct uid *instance = &session->instance;
    if (item->take && !take_over(engine, session, item)) {
        urls_refuse(arena, item, ZKT_NOT_FOUND,
                    "holder: holds no such object: it was taken already, or has waited too long");
        return;
    }
    if (!store_object_may_upload(engine->store, &item->uid, instance)) {
        urls_refuse(arena, item, ZKT_IN_USE, "uid: another object has it. Draw a new one");
        return;
    }
    if (!item->take && !uid_is_none(&item->holder)) {
        instance = &item->holder;
    }
    store_upload(engine->store, &item->uid, instance, item->size, item->sha256, engine->wall_ms);
    item->part_size = parts_size(engine, item->size);
}

static struct object_item *
items_copy(struct engine *engine, const struct objects *objects)
{
    size_t size = objects->items_count * sizeof *objects->items;
    struct object_item *items = arena_alloc(release_arena(engine), size + 1);
    if (size > 0) {
        memcpy(items, objects->items, size);
    }
    return items;
}

void
handle_upload(struct engine *engine, struct session *session, const struct command *command)
{
    struct object_item *items = items_copy(engine, &command->objects);
    for (size_t i = 0; i < command->objects.items_count; i++) {
        upload_one(engine, session, &items[i]);
    }
    urls_answer(engine, session, command, items);
}

static bool
may_download(struct engine *engine, const struct session *session, const struct uid *object)
{
    if (session->role == ROLE_OPERATOR) {
        return store_object_is_referenced(engine->store, object);
    }
    if (store_object_may_use(engine->store, object, &session->instance, NULL)) {
        return true;
    }
    struct list_link *link = list_first(&session->leases);
    for (; link != NULL; link = list_next(&session->leases, link)) {
        const struct lease *lease = container_of(link, struct lease, in_session);
        if (store_object_may_use(engine->store, object, &session->instance, lease->hold)) {
            return true;
        }
    }
    return false;
}

// Why not. An operator may know with which task the object went.
static void
refuse_download(struct engine *engine, const struct session *session, struct object_item *item)
{
    struct arena *arena = release_arena(engine);
    struct uid task;
    int64_t at_ms;
    if (session->role != ROLE_OPERATOR ||
        !store_object_gone(engine->store, &item->uid, &task, &at_ms)) {
        urls_refuse(arena, item, ZKT_OBJECT_UNKNOWN,
                    session->role == ROLE_OPERATOR
                        ? "object missing: no task refers to it"
                        : "not an object of a task that this peer holds");
        return;
    }
    char name[UID_TEXT_SIZE];
    char when[TIME_TEXT_SIZE];
    uid_format(&task, name);
    time_format(at_ms, when);
    const char *text =
        uid_is_none(&task)
            ? arena_printf(arena, "object missing: deleted at %s: no task came for it", when)
            : arena_printf(arena, "object missing: deleted with task %s at %s", name, when);
    urls_refuse(arena, item, ZKT_OBJECT_UNKNOWN, text);
}

void
handle_download(struct engine *engine, struct session *session, const struct command *command)
{
    struct object_item *items = items_copy(engine, &command->objects);
    for (size_t i = 0; i < command->objects.items_count; i++) {
        struct object_item *item = &items[i];
        if (!may_download(engine, session, &item->uid)) {
            refuse_download(engine, session, item);
        }
    }
    urls_answer(engine, session, command, items);
}
