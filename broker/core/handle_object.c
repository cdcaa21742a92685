// UPLOAD and DOWNLOAD: presigned addresses for the bytes of resources. An upload is answered when
// its hold is durable, so that the sweeper of objects cannot take it for an orphan (promise 8). A
// download is for an operator, for the instance that uploads the object, or for a worker that holds
// a delivery whose task refers to it.
#include "core/handle.h"

#include <string.h>

#include "core/release.h"
#include "core/session.h"

static void
set_refusal(struct arena *arena, struct object_item *item, enum zkt_err code, const char *text)
{
    item->code = code;
    item->message = span_of_text(arena_copy(arena, text, strlen(text)));
}

static void
set_url(struct arena *arena, struct object_item *item, enum zkt_err code, struct bytes *url)
{
    if (code == ZKT_OK) {
        item->code = ZKT_OK;
        item->url = span_of(arena_copy(arena, url->data, url->len), url->len);
        return;
    }
    set_refusal(arena, item, code, "no address can be given for this object");
}

static void
answer(struct engine *engine, struct session *session, const struct command *command,
       const struct object_item *items)
{
    struct command urls = {
        .verb = VERB_URLS,
        .id = command->id,
        .objects = {.items = items, .items_count = command->objects.items_count}};
    release_answer(engine, session, &urls);
}

static void
upload_one(struct engine *engine, const struct session *session, struct object_item *item)
{
    struct effects *effects = &engine->options.effects;
    struct arena *arena = release_arena(engine);
    if (uid_is_none(&item->uid)) {
        set_refusal(arena, item, ZKT_INVALID, "uid: must not be all zero");
        return;
    }
    if (item->size < 0) {
        set_refusal(arena, item, ZKT_INVALID, "size: must not be negative");
        return;
    }
    if (store_pressure(engine->store) == STORE_DISK) {
        set_refusal(arena, item, ZKT_DISK_FULL, "the disk of the broker is full");
        return;
    }
    if (!store_object_may_upload(engine->store, &item->uid, &session->instance)) {
        set_refusal(arena, item, ZKT_IN_USE, "uid: another object has it. Draw a new one");
        return;
    }
    struct bytes url = {0};
    enum zkt_err code = effects->presign_put(effects->arg, item, &url);
    if (code == ZKT_OK) {
        store_upload(engine->store, &item->uid, &session->instance, item->size, item->sha256,
                     engine->wall_ms);
    }
    set_url(arena, item, code, &url);
    bytes_fini(&url);
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
    answer(engine, session, command, items);
}

static bool
may_download(const struct engine *engine, const struct session *session, const struct uid *object)
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

void
handle_download(struct engine *engine, struct session *session, const struct command *command)
{
    struct effects *effects = &engine->options.effects;
    struct arena *arena = release_arena(engine);
    struct object_item *items = items_copy(engine, &command->objects);
    for (size_t i = 0; i < command->objects.items_count; i++) {
        struct object_item *item = &items[i];
        if (!may_download(engine, session, &item->uid)) {
            set_refusal(arena, item, ZKT_OBJECT_UNKNOWN,
                        "not an object of a task that this peer holds");
            continue;
        }
        struct bytes url = {0};
        set_url(arena, item, effects->presign_get(effects->arg, &item->uid, &url), &url);
        bytes_fini(&url);
    }
    answer(engine, session, command, items);
}
