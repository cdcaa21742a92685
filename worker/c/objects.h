// objects.h: what objects.c (downloads) and uploads.c share: asking the broker for addresses, and
// watching a transfer.
#pragma once
#include "client.h"
#include "object/transfer.h"

// How long a store that is away is waited for. A task is not Crashed for that so soon: its worker
// can be stopped, and it may have a timeout.
enum { CLIENT_PATIENCE_MS = 5 * 60 * 1000, WORKER_PATIENCE_MS = 60 * 60 * 1000 };

// One transfer under way.
struct moving {
    struct zkt_client *client;
    const struct zkt_resource *resource;
    struct question request; // of the last answer with addresses: they live in its arena
    // Called now and then while bytes move, for what has to be said to the broker again; NULL: not.
    void (*keep_alive)(void *arg);
    void *arg;
    int64_t told_ms; // when the broker was last told
};

// objects_ask is client_ask, but it ends soon when the delivery of a worker's client is cancelled.
ZKT_MUST enum zkt_err
objects_ask(struct zkt_client *client, struct question *request);
// objects_url checks the answer of URLS for this resource: its address in arena, or NULL with the
// client's problem set. *part_size may be NULL.
const char *
objects_url(struct zkt_client *client, struct arena *arena, const struct objects *urls,
            const struct zkt_resource *resource, int64_t *part_size);
// objects_complete_url: "http://:5572/…" means: on the host that was dialled. In arena.
char *
objects_complete_url(struct arena *arena, const char *dialled, struct span url);
const struct object_item *
objects_find(const struct objects *urls, const struct uid *uid);
struct transfer *
objects_transfer(struct zkt_client *client);
// objects_watch tells the application of progress and of waiting; renew may be NULL.
struct transfer_watch
objects_watch(struct moving *moving, const char *(*renew)(void *arg, struct problem *problem));
// objects_name is a resource's name for messages: escaped and cut, in arena.
const char *
objects_name(struct arena *arena, const struct zkt_resource *resource);
// objects_fail puts the name of the resource in front of the client's problem.
void
objects_fail(struct zkt_client *client, const struct zkt_resource *resource);
