// Bytes of resources: presigned URLs from the broker, then plain HTTP (B2, B4).
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "client.h"
#include "handles.h"
#include "object/transfer.h"

struct progress {
    const struct zkt_client *client;
    const char *name;
};

static bool
on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    const struct progress *progress = arg;
    const zkt_client_options_t *options = &progress->client->options;
    if (options->on_progress != NULL) {
        options->on_progress(options->arg, progress->name, done_bytes, total_bytes);
    }
    return true;
}

static struct transfer *
transfer_of(struct zkt_client *client)
{
    if (client->transfer == NULL) {
        client->transfer = transfer_new();
    }
    return client->transfer;
}

// "http://:5572/…" means: on the host that was dialled.
static char *
complete_url(struct arena *arena, const char *dialled, struct span url)
{
    static const char any_host[] = "http://:";
    const char *host = strstr(dialled, "://");
    const char *host_end = host == NULL ? NULL : strrchr(host, ':');
    if (host_end == NULL || url.len < sizeof any_host ||
        memcmp(url.data, any_host, sizeof any_host - 1) != 0) {
        return arena_copy(arena, url.data, url.len);
    }
    host += 3;
    return arena_printf(arena, "http://%.*s%.*s", (int)(host_end - host), host, (int)(url.len - 7),
                        (const char *)url.data + 7);
}

static enum zkt_err
upload_one(struct zkt_client *client, const struct zkt_resource *resource, const char *url)
{
    int fd = resource_open(resource, &client->problem);
    if (fd == -1) {
        return client->problem.code;
    }
    struct progress progress = {.client = client, .name = resource->name_text};
    enum zkt_err err =
        transfer_upload(transfer_of(client), url, fd, resource->model.size,
                        &(struct transfer_watch){on_progress, &progress}, &client->problem);
    close(fd);
    if (err != ZKT_OK) {
        problem_in(&client->problem, "%s: ", resource->name_text);
    }
    return err;
}

static const struct object_item *
find_url(const struct objects *urls, const struct uid *uid)
{
    for (size_t item_index = 0; item_index < urls->items_count; item_index++) {
        if (uid_equal(&urls->items[item_index].uid, uid)) {
            return &urls->items[item_index];
        }
    }
    return NULL;
}

// Checks one answer of URLS; the URL in arena, or NULL with the client's problem set.
static const char *
usable_url(struct zkt_client *client, struct arena *arena, const struct objects *urls,
           const struct zkt_resource *resource)
{
    const struct object_item *item = find_url(urls, &resource->model.uid);
    if (item == NULL) {
        client_problem(client, ZKT_OBJECT_UNKNOWN, "%s: the broker knows no address for it",
                       resource->name_text);
        return NULL;
    }
    if (item->code != ZKT_OK) {
        client_problem(client, item->code, "%s: %.*s", resource->name_text, (int)item->message.len,
                       (const char *)item->message.data);
        return NULL;
    }
    return complete_url(arena, client->io->options.address, item->url);
}

// UPLOAD of the task's local_count resources that are not in the object store.
static enum zkt_err
ask_for_urls(struct zkt_client *client, const struct zkt_task *task, size_t local_count,
             struct question *request)
{
    request_begin(request, VERB_UPLOAD);
    struct object_item *items = arena_alloc(&request->arena, local_count * sizeof *items);
    size_t items_count = 0;
    for (size_t item_index = 0; item_index < task->resources.count; item_index++) {
        const struct zkt_resource *resource = task->resources.items[item_index];
        if (resource->source != SOURCE_REMOTE) {
            items[items_count] =
                (struct object_item){.uid = resource->model.uid, .size = resource->model.size};
            memcpy(items[items_count].sha256, resource->model.sha256, 32);
            items_count++;
        }
    }
    request->command.objects = (struct objects){.items = items, .items_count = items_count};
    return client_ask(client, request, client_deadline(client, 0));
}

// A resource that was sent before may still be, or just be deleted, as an object of another
// process: this one becomes a new object. True: some uid changed, ask again.
static bool
renew_uids(struct zkt_task *task, const struct objects *urls)
{
    bool has_changed = false;
    for (size_t item_index = 0; item_index < task->resources.count; item_index++) {
        struct zkt_resource *resource = task->resources.items[item_index];
        if (resource->source == SOURCE_REMOTE) {
            continue;
        }
        const struct object_item *item = find_url(urls, &resource->model.uid);
        if (item != NULL && item->code == ZKT_IN_USE) {
            uid_random(&resource->model.uid);
            has_changed = true;
        }
    }
    return has_changed;
}

enum zkt_err
client_upload(struct zkt_client *client, struct zkt_task *task)
{
    size_t local_count = 0;
    for (size_t item_index = 0; item_index < task->resources.count; item_index++) {
        local_count += task->resources.items[item_index]->source == SOURCE_REMOTE ? 0 : 1;
    }
    if (local_count == 0) {
        return ZKT_OK;
    }
    struct question request;
    enum zkt_err err = ask_for_urls(client, task, local_count, &request);
    if (err == ZKT_OK && renew_uids(task, &request.answer.objects)) {
        request_end(&request);
        err = ask_for_urls(client, task, local_count, &request);
    }
    for (size_t item_index = 0; err == ZKT_OK && item_index < task->resources.count; item_index++) {
        const struct zkt_resource *resource = task->resources.items[item_index];
        if (resource->source == SOURCE_REMOTE) {
            continue;
        }
        const char *url = usable_url(client, &request.arena, &request.answer.objects, resource);
        err = url == NULL ? client->problem.code : upload_one(client, resource, url);
    }
    request_end(&request);
    return err;
}

static enum zkt_err
copy_local(struct zkt_client *client, const struct zkt_resource *resource, int fd)
{
    int from_fd = resource_open(resource, &client->problem);
    if (from_fd == -1) {
        return client->problem.code;
    }
    enum zkt_err err = copy_fd(from_fd, fd, &client->problem);
    close(from_fd);
    return err;
}

enum zkt_err
client_fetch(struct zkt_client *client, const struct zkt_resource *resource, int fd)
{
    if (resource->source != SOURCE_REMOTE) {
        return copy_local(client, resource, fd);
    }
    struct question request;
    request_begin(&request, VERB_DOWNLOAD);
    struct object_item item = {.uid = resource->model.uid};
    request.command.objects = (struct objects){.items = &item, .items_count = 1};
    enum zkt_err err = client_ask(client, &request, client_deadline(client, 0));
    if (err == ZKT_OK) {
        const char *url = usable_url(client, &request.arena, &request.answer.objects, resource);
        struct progress progress = {.client = client, .name = resource->name_text};
        const struct transfer_want want = {
            .size = resource->model.size,
            .sha256 = resource->model.has_sha256 ? resource->model.sha256 : NULL,
        };
        err = url == NULL ? client->problem.code
                          : transfer_download(transfer_of(client), url, fd, &want,
                                              &(struct transfer_watch){on_progress, &progress},
                                              &client->problem);
        if (err != ZKT_OK && url != NULL) {
            problem_in(&client->problem, "%s: ", resource->name_text);
        }
    }
    request_end(&request);
    return err;
}

enum zkt_err
zkt_client_download(zkt_client_t *client, const zkt_resource_t *resource, int fd)
{
    client->problem = (struct problem){0};
    if (resource == NULL) {
        return client_problem(client, ZKT_INVALID, "no resource");
    }
    return client_fetch(client, resource, fd);
}
