// front_internal.h: what front_recv.c and front_send.c share.
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "io/front.h"

struct front {
    void *socket;
    void *monitor;
    char address[256];
    struct front_handlers handlers;
    struct front_counts counts;
    struct arena arena;      // of the message being handled
    struct bytes frame;      // scratch of front_send
    struct map *outboxes;    // peer → struct outbox, only of peers with something waiting
    struct list outbox_list; // the same, in order of age
};

// outboxes_fini frees all outboxes.
void
outboxes_fini(struct front *front);
