// Bytes of resources: presigned URLs from the broker, then plain HTTP (B2, B4). Here: asking, and
// downloads; uploads.c sends.
#include "objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "handles.h"

enum {
    ASK_LOOK_MS = 2000,
    SLOW_LOOK_MS = 60000,
    NAME_LEN_MAX = 200,
    KEEP_ALIVE_MS = 5 * 60 * 1000
};

// ---- Names

const char *
objects_name(struct arena *arena, const struct zkt_resource *resource)
{
    struct bytes text = {0};
    const struct span name = resource->model.name;
    for (size_t at = 0; at < name.len && text.len < NAME_LEN_MAX; at++) {
        uint8_t byte = name.data[at];
        if (byte < 0x20 || byte >= 0x7f || byte == '\\') {
            bytes_printf(&text, "\\x%02x", byte);
        } else {
            bytes_append_byte(&text, byte);
        }
    }
    if (text.len >= NAME_LEN_MAX) {
        bytes_append_text(&text, "…");
    }
    const char *copy = arena_copy(arena, bytes_text(&text), text.len);
    bytes_fini(&text);
    return copy;
}

void
objects_fail(struct zkt_client *client, const struct zkt_resource *resource)
{
    struct arena arena;
    arena_init(&arena);
    problem_in(&client->problem, "%s: ", objects_name(&arena, resource));
    arena_fini(&arena);
}

// ---- Watching

static bool
is_stopped(const struct zkt_client *client)
{
    return client->is_stopped != NULL && client->is_stopped(client->stop_arg);
}

static bool
on_progress(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    struct moving *moving = arg;
    struct zkt_client *client = moving->client;
    if (client->options.on_progress != NULL) {
        client->options.on_progress(client->options.arg, moving->resource->name_text, done_bytes,
                                    total_bytes);
    }
    if (moving->keep_alive != NULL && clock_monotonic_ms() - moving->told_ms > KEEP_ALIVE_MS) {
        moving->told_ms = clock_monotonic_ms();
        moving->keep_alive(moving->arg);
    }
    return !is_stopped(client);
}

static void
on_wait(void *arg, const struct problem *problem)
{
    struct moving *moving = arg;
    struct zkt_client *client = moving->client;
    if (client->on_wait == NULL && client->options.on_notice == NULL) {
        return;
    }
    struct arena arena;
    arena_init(&arena);
    const char *text = arena_printf(&arena, "%s: object store unreachable, retrying: %s",
                                    objects_name(&arena, moving->resource), problem->text);
    if (client->on_wait != NULL) {
        client->on_wait(client->stop_arg, text);
    } else {
        client->options.on_notice(client->options.arg, text);
    }
    arena_fini(&arena);
}

struct transfer_watch
objects_watch(struct moving *moving, const char *(*renew)(void *arg, struct problem *problem))
{
    return (struct transfer_watch){
        .on_progress = on_progress, .arg = moving, .on_wait = on_wait, .renew = renew};
}

struct transfer *
objects_transfer(struct zkt_client *client)
{
    if (client->transfer == NULL) {
        client->transfer = transfer_new();
        transfer_patience(client->transfer,
                          client->is_stopped != NULL ? WORKER_PATIENCE_MS : CLIENT_PATIENCE_MS);
        // A task is not Crashed for what its worker was not told.
        transfer_trust(client->transfer, client->io->options.ca_file, client->is_stopped != NULL);
    }
    return client->transfer;
}

// ---- Asking

enum zkt_err
objects_ask(struct zkt_client *client, struct question *request)
{
    // What the broker has to ask the object store first may take its time, and asked twice it would
    // only take longer.
    bool is_slow = request->command.verb == VERB_PARTS;
    int64_t slow_ms = clock_monotonic_ms() + SLOW_LOOK_MS;
    int64_t deadline_ms = client_deadline(client, 0);
    deadline_ms = is_slow && deadline_ms < slow_ms ? slow_ms : deadline_ms;
    enum zkt_err err;
    bool is_over;
    do {
        int64_t look_ms = clock_monotonic_ms() + (is_slow ? SLOW_LOOK_MS : ASK_LOOK_MS);
        bool is_last = client->is_stopped == NULL || look_ms >= deadline_ms;
        err = client_ask(client, request, is_last ? deadline_ms : look_ms);
        is_over = is_last || (err != ZKT_TIMEOUT && err != ZKT_UNREACHABLE);
    } while (!is_over && !is_stopped(client));
    return is_over ? err : client_problem(client, ZKT_CANCELLED, "the task was cancelled");
}

char *
objects_complete_url(struct arena *arena, const char *dialled, struct span url)
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

const struct object_item *
objects_find(const struct objects *urls, const struct uid *uid)
{
    for (size_t item_index = 0; item_index < urls->items_count; item_index++) {
        if (uid_equal(&urls->items[item_index].uid, uid)) {
            return &urls->items[item_index];
        }
    }
    return NULL;
}

const char *
objects_url(struct zkt_client *client, struct arena *arena, const struct objects *urls,
            const struct zkt_resource *resource, int64_t *part_size)
{
    const struct object_item *item = objects_find(urls, &resource->model.uid);
    if (item == NULL) {
        client_problem(client, ZKT_OBJECT_UNKNOWN, "the broker knows no address for it");
        return NULL;
    }
    if (item->code != ZKT_OK) {
        client_problem(client, item->code, "%.*s", (int)item->message.len,
                       (const char *)item->message.data);
        return NULL;
    }
    if (part_size != NULL) {
        *part_size = item->part_size;
    }
    return objects_complete_url(arena, client->io->options.address, item->url);
}

// ---- Downloads

static const char *
ask_for_download(struct moving *moving)
{
    struct zkt_client *client = moving->client;
    request_end(&moving->request);
    request_begin(&moving->request, VERB_DOWNLOAD);
    struct object_item *item = arena_alloc(&moving->request.arena, sizeof *item);
    *item = (struct object_item){.uid = moving->resource->model.uid};
    moving->request.command.objects = (struct objects){.items = item, .items_count = 1};
    if (objects_ask(client, &moving->request) != ZKT_OK) {
        return NULL;
    }
    return objects_url(client, &moving->request.arena, &moving->request.answer.objects,
                       moving->resource, NULL);
}

static const char *
renew_download(void *arg, struct problem *problem)
{
    struct moving *moving = arg;
    const char *url = ask_for_download(moving);
    if (url == NULL) {
        *problem = moving->client->problem;
    }
    return url;
}

static enum zkt_err
download(struct moving *moving, int fd)
{
    struct zkt_client *client = moving->client;
    const struct resource *model = &moving->resource->model;
    const char *url = ask_for_download(moving);
    if (url == NULL) {
        return client->problem.code;
    }
    const struct transfer_want want = {
        .size = model->size,
        .sha256 = model->has_sha256 ? model->sha256 : NULL,
    };
    const struct transfer_watch watch = objects_watch(moving, renew_download);
    struct problem problem = {0};
    enum zkt_err err =
        transfer_download(objects_transfer(client), url, fd, &want, &watch, &problem);
    client->problem = problem;
    if (err != ZKT_OBJECT_UNKNOWN) {
        return err;
    }
    // The broker knows more of an object that is not there.
    if (ask_for_download(moving) != NULL) {
        client_problem(client, err,
                       "object missing: a task refers to it, but the object store "
                       "does not have it");
    }
    return client->problem.code;
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
    if (resource->source != SOURCE_REMOTE && resource->source != SOURCE_HELD) {
        return copy_local(client, resource, fd);
    }
    struct moving moving = {.client = client, .resource = resource};
    request_begin(&moving.request, VERB_DOWNLOAD);
    enum zkt_err err = download(&moving, fd);
    request_end(&moving.request);
    if (err != ZKT_OK) {
        objects_fail(client, resource);
    }
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
