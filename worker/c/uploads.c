// Uploads: every local resource of a task is declared to the broker, then sent in one PUT or, when
// the broker says that it is large enough, in parts that the broker puts together at the end. While
// it takes long, everything is declared again, so that no upload hold ends before its task comes.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <poll.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "handles.h"
#include "objects.h"

enum {
    PARTS_ASKED = 32,              // addresses asked for at once
    BEGINS_MAX = 3,                // an upload that the store forgot begins anew
    COMPLETE_BYTES_PER_MS = 20000, // a store that reads all of it again needs its time
    ASK_PAUSE_MS = 1000,
};

// The resources of one task, or of a put.
struct bundle {
    struct zkt_client *client;
    struct zkt_resource *const *items;
    size_t items_count;
};

// ---- Declaring

static bool
is_declared_here(const struct zkt_resource *resource)
{
    return resource->source != SOURCE_REMOTE;
}

static struct object_item
item_of(const struct zkt_resource *resource)
{
    struct object_item item = {.uid = resource->model.uid, .size = resource->model.size};
    memcpy(item.sha256, resource->model.sha256, sizeof item.sha256);
    if (resource->source == SOURCE_HELD) {
        item.holder = resource->holder;
        item.take = true;
    }
    return item;
}

// UPLOAD of all resources of the bundle that are not in the object store; request_end is the
// caller's.
static enum zkt_err
declare(const struct bundle *bundle, struct question *request)
{
    request_begin(request, VERB_UPLOAD);
    struct object_item *items =
        arena_alloc(&request->arena, bundle->items_count * sizeof *items + 1);
    size_t items_count = 0;
    for (size_t at = 0; at < bundle->items_count; at++) {
        if (is_declared_here(bundle->items[at])) {
            items[items_count++] = item_of(bundle->items[at]);
        }
    }
    request->command.objects = (struct objects){.items = items, .items_count = items_count};
    return objects_ask(bundle->client, request);
}

static void
declare_again(void *arg)
{
    struct question request;
    enum zkt_err err = declare(arg, &request);
    (void)err; // the next time, or the end of the upload, will tell
    request_end(&request);
}

// A resource that was sent before may still be, or just be deleted, as an object of another
// process: this one becomes a new object. True: some uid changed, ask again.
static bool
renew_uids(const struct bundle *bundle, const struct objects *urls)
{
    bool has_changed = false;
    for (size_t at = 0; at < bundle->items_count; at++) {
        struct zkt_resource *resource = bundle->items[at];
        const struct object_item *item = objects_find(urls, &resource->model.uid);
        if (is_declared_here(resource) && resource->source != SOURCE_HELD && item != NULL &&
            item->code == ZKT_IN_USE) {
            uid_random(&resource->model.uid);
            uid_format(&resource->model.uid, resource->uid_text);
            has_changed = true;
        }
    }
    return has_changed;
}

// ---- In one PUT

static const char *
renew_upload(void *arg, struct problem *problem)
{
    struct moving *moving = arg;
    const struct bundle *bundle = moving->arg;
    request_end(&moving->request);
    const char *url = NULL;
    if (declare(bundle, &moving->request) == ZKT_OK) {
        url = objects_url(moving->client, &moving->request.arena, &moving->request.answer.objects,
                          moving->resource, NULL);
    }
    moving->told_ms = clock_monotonic_ms();
    if (url == NULL) {
        *problem = moving->client->problem;
    }
    return url;
}

static enum zkt_err
send_whole(struct moving *moving, const char *url, int fd, struct problem *problem)
{
    const struct resource *model = &moving->resource->model;
    const struct transfer_want want = {.size = model->size, .sha256 = model->sha256};
    const struct transfer_watch watch = objects_watch(moving, renew_upload);
    return transfer_upload(objects_transfer(moving->client), url, fd, &want, &watch, problem);
}

// ---- In parts

struct parts_sending {
    struct moving *moving;
    int64_t part_size;
    uint32_t first;                         // of the addresses in moving->request
    uint32_t urls_count;                    // 0: none
    char upload[LIMIT_UPLOAD_ID_BYTES + 1]; // empty: to be begun
};

static enum zkt_err
ask_for_parts(struct parts_sending *sending, uint32_t first)
{
    struct moving *moving = sending->moving;
    struct zkt_client *client = moving->client;
    request_end(&moving->request);
    request_begin(&moving->request, VERB_PARTS);
    sending->urls_count = 0;
    moving->request.command.parts = (struct upload_parts){
        .uid = moving->resource->model.uid,
        .upload = span_of_text(arena_printf(&moving->request.arena, "%s", sending->upload)),
        .first = first,
        .count = PARTS_ASKED};
    enum zkt_err err = objects_ask(client, &moving->request);
    const struct upload_parts *answer = &moving->request.answer.parts;
    if (err != ZKT_OK) {
        return err;
    }
    if (answer->first != first || answer->items_count == 0 || answer->part_size <= 0 ||
        answer->upload.len == 0 || answer->upload.len >= sizeof sending->upload ||
        (sending->upload[0] != '\0' && answer->part_size != sending->part_size)) {
        return client_problem(client, ZKT_INVALID, "the broker's answer to PARTS makes no sense");
    }
    memcpy(sending->upload, answer->upload.data, answer->upload.len);
    sending->upload[answer->upload.len] = '\0';
    sending->part_size = answer->part_size;
    sending->first = first;
    sending->urls_count = (uint32_t)answer->items_count;
    return ZKT_OK;
}

static const char *
part_url(void *arg, uint32_t part, bool is_fresh, struct problem *problem)
{
    struct parts_sending *sending = arg;
    struct moving *moving = sending->moving;
    bool is_known = part >= sending->first && part - sending->first < sending->urls_count;
    if ((!is_known || is_fresh) && ask_for_parts(sending, part) != ZKT_OK) {
        *problem = moving->client->problem;
        return NULL;
    }
    struct span url = moving->request.answer.parts.items[part - sending->first].url;
    return objects_complete_url(&moving->request.arena, moving->client->io->options.address, url);
}

// How long what may pass is tried again.
struct patience {
    int64_t give_up_ms;
    bool is_told;
};

static struct patience
patience_of(const struct zkt_client *client, int64_t more_ms)
{
    int64_t patience_ms = client->is_stopped != NULL ? WORKER_PATIENCE_MS : CLIENT_PATIENCE_MS;
    return (struct patience){.give_up_ms = clock_monotonic_ms() + patience_ms + more_ms};
}

// After an answer with the client's problem: true, ask again.
static bool
wait_to_ask_again(struct moving *moving, struct patience *patience, int64_t done_bytes)
{
    struct zkt_client *client = moving->client;
    const struct transfer_watch watch = objects_watch(moving, NULL);
    struct problem why = client->problem;
    if (!zkt_err_is_retryable(why.code) ||
        clock_monotonic_ms() + ASK_PAUSE_MS > patience->give_up_ms) {
        return false;
    }
    if (!patience->is_told) {
        patience->is_told = true;
        watch.on_wait(moving, &why);
    }
    poll(NULL, 0, ASK_PAUSE_MS);
    if (!watch.on_progress(moving, done_bytes, moving->resource->model.size)) {
        client_problem(client, ZKT_CANCELLED, "cancelled");
        return false;
    }
    client->problem = why;
    return true;
}

static enum zkt_err
begin(struct parts_sending *sending)
{
    struct patience patience = patience_of(sending->moving->client, 0);
    enum zkt_err err;
    do {
        err = ask_for_parts(sending, 1);
    } while (err != ZKT_OK && wait_to_ask_again(sending->moving, &patience, 0));
    return err == ZKT_OK ? ZKT_OK : sending->moving->client->problem.code;
}

// All bytes are there; the broker puts them together, which may take long.
static bool
is_going_on(void *arg)
{
    struct moving *moving = arg;
    const struct transfer_watch watch = objects_watch(moving, NULL);
    int64_t size = moving->resource->model.size;
    return watch.on_progress(moving, size, size);
}

static enum zkt_err
complete(struct parts_sending *sending, const struct upload_part *tags, size_t tags_count)
{
    struct moving *moving = sending->moving;
    struct zkt_client *client = moving->client;
    int64_t size = moving->resource->model.size;
    struct patience patience = patience_of(client, size / COMPLETE_BYTES_PER_MS);
    enum zkt_err err;
    do {
        request_end(&moving->request);
        request_begin(&moving->request, VERB_COMPLETE);
        moving->request.command.parts =
            (struct upload_parts){.uid = moving->resource->model.uid,
                                  .upload = span_of_text(sending->upload),
                                  .items = tags,
                                  .items_count = tags_count};
        err =
            client_ask_watching(client, &moving->request, patience.give_up_ms, is_going_on, moving);
    } while (err != ZKT_OK && wait_to_ask_again(moving, &patience, size));
    return err == ZKT_OK ? ZKT_OK : client->problem.code;
}

static enum zkt_err
send_parts_once(struct parts_sending *sending, int fd, struct problem *problem)
{
    struct moving *moving = sending->moving;
    struct zkt_client *client = moving->client;
    int64_t size = moving->resource->model.size;
    sending->upload[0] = '\0';
    if (begin(sending) != ZKT_OK) {
        *problem = client->problem;
        return problem->code;
    }
    const struct transfer_parts parts = {
        .size = size, .part_size = sending->part_size, .url = part_url, .arg = sending};
    size_t parts_count = (size_t)((size + sending->part_size - 1) / sending->part_size);
    char(*etags)[TRANSFER_ETAG_SIZE] = xcalloc(parts_count, sizeof *etags);
    struct upload_part *tags = xcalloc(parts_count, sizeof *tags);
    const struct transfer_watch watch = objects_watch(moving, NULL);
    enum zkt_err err =
        transfer_upload_parts(objects_transfer(client), &parts, fd, &watch, etags, problem);
    if (err == ZKT_OK) {
        err = resource_verify(moving->resource, fd, problem);
    }
    if (err == ZKT_OK) {
        for (size_t at = 0; at < parts_count; at++) {
            tags[at].etag = span_of_text(etags[at]);
        }
        err = complete(sending, tags, parts_count);
        *problem = client->problem;
    }
    free(tags);
    free(etags);
    return err;
}

static enum zkt_err
send_parts(struct moving *moving, int fd, struct problem *problem)
{
    enum zkt_err err = ZKT_NOT_FOUND;
    for (int begun_count = 0; err == ZKT_NOT_FOUND && begun_count < BEGINS_MAX; begun_count++) {
        struct parts_sending *sending = xcalloc(1, sizeof *sending);
        sending->moving = moving;
        err = send_parts_once(sending, fd, problem);
        free(sending);
    }
    return err;
}

// ---- All of a task

static enum zkt_err
upload_one(struct bundle *bundle, const struct zkt_resource *resource, const char *url,
           int64_t part_size)
{
    struct zkt_client *client = bundle->client;
    struct moving moving = {.client = client,
                            .resource = resource,
                            .keep_alive = declare_again,
                            .arg = bundle,
                            .told_ms = clock_monotonic_ms()};
    int fd = resource_open(resource, &client->problem);
    if (fd == -1) {
        return client->problem.code;
    }
    struct problem problem = {0};
    request_begin(&moving.request, VERB_UPLOAD);
    enum zkt_err err = part_size > 0 && resource->model.size > part_size
                           ? send_parts(&moving, fd, &problem)
                           : send_whole(&moving, url, fd, &problem);
    request_end(&moving.request);
    close(fd);
    client->problem = problem;
    if (err != ZKT_OK) {
        objects_fail(client, resource);
    }
    return err;
}

static enum zkt_err
send_all(struct bundle *bundle, struct question *request)
{
    struct zkt_client *client = bundle->client;
    enum zkt_err err = ZKT_OK;
    for (size_t at = 0; err == ZKT_OK && at < bundle->items_count; at++) {
        const struct zkt_resource *resource = bundle->items[at];
        if (!is_declared_here(resource)) {
            continue;
        }
        int64_t part_size = 0;
        const char *url =
            objects_url(client, &request->arena, &request->answer.objects, resource, &part_size);
        if (url == NULL) {
            objects_fail(client, resource);
            err = client->problem.code;
        } else if (resource->source != SOURCE_HELD) {
            err = upload_one(bundle, resource, url, part_size);
        }
    }
    return err;
}

enum zkt_err
client_upload_resources(struct zkt_client *client, struct zkt_resource *const *resources,
                        size_t resources_count)
{
    struct bundle bundle = {.client = client, .items = resources, .items_count = resources_count};
    size_t local_count = 0;
    for (size_t at = 0; at < resources_count; at++) {
        local_count += is_declared_here(resources[at]) ? 1 : 0;
    }
    if (local_count == 0) {
        return ZKT_OK;
    }
    struct question request;
    enum zkt_err err = declare(&bundle, &request);
    if (err == ZKT_OK && renew_uids(&bundle, &request.answer.objects)) {
        request_end(&request);
        err = declare(&bundle, &request);
    }
    if (err == ZKT_OK) {
        err = send_all(&bundle, &request);
    }
    request_end(&request);
    return err;
}

enum zkt_err
client_upload(struct zkt_client *client, struct zkt_task *task)
{
    enum zkt_err err =
        client_upload_resources(client, task->resources.items, task->resources.count);
    // One may have got another uid: the packed task names it.
    struct resource *models = (struct resource *)(uintptr_t)task->model.resources;
    for (size_t at = 0; at < task->model.resources_count; at++) {
        models[at].uid = task->resources.items[at]->model.uid;
    }
    return err;
}
