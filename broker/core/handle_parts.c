// PARTS and COMPLETE: uploads in parts. The engine keeps nothing of them but the upload hold: which
// parts there are, the client knows, and what came of them, the object store. To begin and to
// complete goes over the network: the answer waits for the effect's outcome, not the loop.
#include "core/handle.h"

#include <string.h>

#include "core/release.h"
#include "core/session.h"
#include "core/wait.h"

enum { PART_SIZE = 16 << 20, PART_SIZE_UNIT = 1 << 20 };

int64_t
parts_size(const struct engine *engine, int64_t size)
{
    int64_t threshold = engine->options.multipart_threshold;
    if (threshold == 0 || size <= threshold) {
        return 0;
    }
    int64_t least = size / (LIMIT_PARTS - 1) + 1;
    least = (least + PART_SIZE_UNIT - 1) / PART_SIZE_UNIT * PART_SIZE_UNIT;
    int64_t usual = threshold < PART_SIZE ? threshold : PART_SIZE;
    return least > usual ? least : usual;
}

// What the peer declared of the object; its hold lives on from now.
static enum zkt_err
find_item(struct engine *engine, const struct session *session, const struct uid *uid,
          struct object_item *item, struct problem *problem)
{
    struct object_held held;
    if (!store_object_held(engine->store, uid, &session->instance, &held)) {
        return problem_set(problem, ZKT_OBJECT_UNKNOWN,
                           "uid: no object that this peer declared, or no more");
    }
    *item = (struct object_item){.uid = *uid, .size = held.size};
    memcpy(item->sha256, held.sha256, sizeof item->sha256);
    item->part_size = parts_size(engine, held.size);
    if (item->part_size == 0) {
        return problem_set(problem, ZKT_INVALID, "uid: too small an object to come in parts");
    }
    store_upload(engine->store, uid, &session->instance, item->size, item->sha256, engine->wall_ms);
    return ZKT_OK;
}

static uint32_t
parts_count(const struct object_item *item)
{
    return (uint32_t)((item->size + item->part_size - 1) / item->part_size);
}

// Addresses of the parts from `first` on.
static enum zkt_err
answer_urls(struct engine *engine, struct session *session, const struct request_open *request,
            struct span upload, struct problem *problem)
{
    struct effects *effects = &engine->options.effects;
    struct arena *arena = release_arena(engine);
    const struct object_item *item = &request->object;
    uint32_t left_count = parts_count(item) - request->first + 1;
    uint32_t count = request->count < left_count ? request->count : left_count;
    struct upload_part *parts = arena_alloc(arena, count * sizeof *parts);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = request->first + i;
        int64_t left_bytes = item->size - (int64_t)(part - 1) * item->part_size;
        int64_t size = left_bytes < item->part_size ? left_bytes : item->part_size;
        struct bytes url = {0};
        enum zkt_err code =
            effects->presign_part(effects->arg, &item->uid, upload, part, size, &url);
        parts[i] =
            (struct upload_part){.url = span_of(arena_copy(arena, url.data, url.len), url.len)};
        bytes_fini(&url);
        if (code != ZKT_OK) {
            return problem_set(problem, code, "no address can be given for a part");
        }
    }
    struct command urls = {
        .verb = VERB_PART_URLS,
        .id = request->command_id,
        .parts = {.uid = item->uid,
                  .upload = span_of(arena_copy(arena, upload.data, upload.len), upload.len),
                  .part_size = item->part_size,
                  .first = request->first,
                  .items = parts,
                  .items_count = count},
    };
    release_answer(engine, session, &urls);
    return ZKT_OK;
}

static enum zkt_err
open_request(struct engine *engine, struct session *session, const struct request_open *request,
             uint64_t *number, struct problem *problem)
{
    enum zkt_err code = session_may_ask(session, problem);
    if (code != ZKT_OK) {
        return code;
    }
    session->requests_count++;
    *number = request_open_new(engine, request);
    return ZKT_OK;
}

void
handle_parts(struct engine *engine, struct session *session, const struct command *command)
{
    struct effects *effects = &engine->options.effects;
    const struct upload_parts *parts = &command->parts;
    struct problem problem = {0};
    struct request_open request = {.session = session->number,
                                   .command_id = command->id,
                                   .first = parts->first,
                                   .count = parts->count};
    enum zkt_err code = find_item(engine, session, &parts->uid, &request.object, &problem);
    if (code == ZKT_OK && (parts->first == 0 || parts->first > parts_count(&request.object))) {
        code = problem_set(&problem, ZKT_INVALID, "first: the object has parts 1 to %u",
                           parts_count(&request.object));
    }
    if (code == ZKT_OK && parts->count == 0) {
        code = problem_set(&problem, ZKT_INVALID, "count: at least 1");
    }
    if (code == ZKT_OK && parts->upload.len > 0) {
        code = answer_urls(engine, session, &request, parts->upload, &problem);
    } else if (code == ZKT_OK) {
        uint64_t number = 0;
        code = open_request(engine, session, &request, &number, &problem);
        if (code == ZKT_OK) {
            effects->begin_parts(effects->arg, number, &request.object);
        }
    }
    if (code != ZKT_OK) {
        session_error(engine, session, command, &problem);
    }
}

void
handle_complete(struct engine *engine, struct session *session, const struct command *command)
{
    struct effects *effects = &engine->options.effects;
    const struct upload_parts *parts = &command->parts;
    struct problem problem = {0};
    struct request_open request = {.session = session->number, .command_id = command->id};
    enum zkt_err code = find_item(engine, session, &parts->uid, &request.object, &problem);
    if (code == ZKT_OK && parts->items_count != parts_count(&request.object)) {
        code = problem_set(&problem, ZKT_INVALID, "items: the object has %u parts",
                           parts_count(&request.object));
    }
    uint64_t number = 0;
    if (code == ZKT_OK) {
        code = open_request(engine, session, &request, &number, &problem);
    }
    if (code == ZKT_OK) {
        effects->complete_parts(effects->arg, number, &request.object, parts);
    } else {
        session_error(engine, session, command, &problem);
    }
}

// ---- Outcomes

static struct session *
take_request(struct engine *engine, uint64_t number, struct request_open *request)
{
    struct session *session = request_open_take(engine, number, request)
                                  ? number_map_get(&engine->sessions, request->session)
                                  : NULL;
    if (session != NULL) {
        session->requests_count--;
    }
    return session;
}

void
handle_parts_begun(struct engine *engine, uint64_t number, struct span upload,
                   const struct problem *problem)
{
    struct request_open request;
    struct session *session = take_request(engine, number, &request);
    if (session == NULL) {
        return; // an upload that nobody goes on with is aborted by the sweeper
    }
    struct problem own = *problem;
    if (own.code == ZKT_OK) {
        own.code = answer_urls(engine, session, &request, upload, &own);
    }
    if (own.code != ZKT_OK) {
        struct command command = {.verb = VERB_PARTS, .id = request.command_id};
        session_error(engine, session, &command, &own);
    }
}

void
handle_parts_completed(struct engine *engine, uint64_t number, const struct problem *problem)
{
    struct request_open request;
    struct session *session = take_request(engine, number, &request);
    if (session == NULL) {
        return;
    }
    if (problem->code != ZKT_OK) {
        struct command command = {.verb = VERB_COMPLETE, .id = request.command_id};
        session_error(engine, session, &command, problem);
        return;
    }
    struct command completed = {
        .verb = VERB_COMPLETED, .id = request.command_id, .completed = request.object.uid};
    release_answer(engine, session, &completed);
}
