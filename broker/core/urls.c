#include "core/urls.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/release.h"
#include "core/session.h"
#include "core/wait.h"

enum { SLICE = 256 }; // some 1.5 ms

// An answer under way; its items and their addresses are in its own arena.
struct urls {
    struct list_link link;
    uint64_t session;
    uint64_t command_id;
    enum verb verb;
    struct arena arena;
    struct object_item *items;
    size_t items_count;
    size_t done_count;
};

void
urls_refuse(struct arena *arena, struct object_item *item, enum zkt_err code, const char *text)
{
    item->code = code;
    item->message = span_of_text(arena_copy(arena, text, strlen(text)));
}

static void
sign(struct engine *engine, enum verb verb, struct arena *arena, struct object_item *item)
{
    struct effects *effects = &engine->options.effects;
    struct bytes url = {0};
    if (item->code != ZKT_OK) {
        return;
    }
    item->code = verb == VERB_UPLOAD ? effects->presign_put(effects->arg, item, &url)
                                     : effects->presign_get(effects->arg, &item->uid, &url);
    if (item->code == ZKT_OK) {
        item->url = span_of(arena_copy(arena, url.data, url.len), url.len);
    } else {
        urls_refuse(arena, item, item->code, "no address can be given for this object");
    }
    bytes_fini(&url);
}

static void
answer(struct engine *engine, struct session *session, uint64_t command_id,
       const struct object_item *items, size_t items_count)
{
    struct command urls = {.verb = VERB_URLS,
                           .id = command_id,
                           .objects = {.items = items, .items_count = items_count}};
    release_answer(engine, session, &urls);
}

static void
copy_texts(struct arena *arena, struct object_item *items, size_t items_count)
{
    for (size_t at = 0; at < items_count; at++) {
        struct span *text = items[at].code == ZKT_OK ? &items[at].url : &items[at].message;
        if (text->len > 0) {
            *text = span_of(arena_copy(arena, text->data, text->len), text->len);
        }
    }
}

static void
begin(struct engine *engine, struct session *session, const struct command *command,
      const struct object_item *items)
{
    struct urls *urls = xcalloc(1, sizeof *urls);
    size_t items_count = command->objects.items_count;
    arena_init(&urls->arena);
    urls->session = session->number;
    urls->command_id = command->id;
    urls->verb = command->verb;
    urls->items =
        (struct object_item *)arena_copy(&urls->arena, items, items_count * sizeof *items);
    urls->items_count = items_count;
    copy_texts(&urls->arena, urls->items, items_count);
    list_append(&engine->urls, &urls->link);
    session->requests_count++;
}

void
urls_answer(struct engine *engine, struct session *session, const struct command *command,
            struct object_item *items)
{
    size_t items_count = command->objects.items_count;
    if (items_count > SLICE) {
        struct problem problem = {0};
        if (session_may_ask(session, &problem) != ZKT_OK) {
            session_error(engine, session, command, &problem);
            return;
        }
        begin(engine, session, command, items);
        return;
    }
    for (size_t at = 0; at < items_count; at++) {
        sign(engine, command->verb, release_arena(engine), &items[at]);
    }
    answer(engine, session, command->id, items, items_count);
}

static void
end(struct urls *urls)
{
    list_remove(&urls->link);
    arena_fini(&urls->arena);
    free(urls);
}

// The answer may have to wait for a batch: it lives in the arena of answers until then.
static void
finish(struct engine *engine, struct urls *urls, struct session *session)
{
    struct arena *arena = release_arena(engine);
    struct object_item *items =
        (struct object_item *)arena_copy(arena, urls->items, urls->items_count * sizeof *items);
    copy_texts(arena, items, urls->items_count);
    session->requests_count--;
    answer(engine, session, urls->command_id, items, urls->items_count);
}

bool
urls_turn(struct engine *engine)
{
    struct list_link *link = list_first(&engine->urls);
    if (link == NULL) {
        return false;
    }
    struct urls *urls = container_of(link, struct urls, link);
    struct session *session = number_map_get(&engine->sessions, urls->session);
    size_t slice_end = urls->done_count + SLICE;
    for (; session != NULL && urls->done_count < urls->items_count && urls->done_count < slice_end;
         urls->done_count++) {
        sign(engine, urls->verb, &urls->arena, &urls->items[urls->done_count]);
    }
    if (session == NULL) {
        end(urls); // nobody asks any more
    } else if (urls->done_count == urls->items_count) {
        finish(engine, urls, session);
        end(urls);
    } else {
        list_remove(link);
        list_append(&engine->urls, link); // each in its turn
    }
    return !list_is_empty(&engine->urls);
}

bool
urls_is_empty(const struct engine *engine)
{
    return list_is_empty(&engine->urls);
}

void
urls_destroy_all(struct engine *engine)
{
    struct list_link *link = list_first(&engine->urls);
    while (link != NULL) {
        struct list_link *next = list_next(&engine->urls, link);
        end(container_of(link, struct urls, link));
        link = next;
    }
}
