// A ring, the oldest overwritten, with a map over it.
#include "store/local/gone.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/memory.h"

struct gone_object {
    struct uid object;
    struct uid task;
    int64_t at_ms;
};

struct gone {
    struct map *map; // object → its place in ring
    struct gone_object ring[LIMIT_GONE_OBJECTS];
    size_t next;
};

struct gone *
gone_new(void)
{
    struct gone *gone = xcalloc(1, sizeof *gone);
    gone->map = map_new();
    return gone;
}

void
gone_destroy(struct gone **gone_p)
{
    struct gone *gone = *gone_p;
    *gone_p = NULL;
    if (gone != NULL) {
        map_destroy(&gone->map);
        free(gone);
    }
}

void
gone_add(struct gone *gone, const struct uid *object, const struct uid *task, int64_t at_ms)
{
    struct gone_object *place = &gone->ring[gone->next];
    gone->next = (gone->next + 1) % LIMIT_GONE_OBJECTS;
    if (map_get(gone->map, &place->object, sizeof place->object) == place) {
        map_remove(gone->map, &place->object, sizeof place->object);
    }
    *place = (struct gone_object){.object = *object, .task = *task, .at_ms = at_ms};
    map_put(gone->map, object, sizeof *object, place);
}

bool
gone_find(const struct gone *gone, const struct uid *object, struct uid *task, int64_t *at_ms)
{
    const struct gone_object *place = map_get(gone->map, object, sizeof *object);
    if (place == NULL) {
        return false;
    }
    *task = place->task;
    *at_ms = place->at_ms;
    return true;
}
