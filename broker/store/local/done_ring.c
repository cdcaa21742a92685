#include "store/local/done_ring.h"

#include <stdlib.h>

#include "base/memory.h"

struct done_place {
    struct uid root;
    struct analysis_counts counts;
    uint64_t number; // of the completion that lies here, from 1; 0: none
    uint64_t older;  // the one before it in its bucket
};

void
done_ring_init(struct done_ring *ring, size_t capacity)
{
    *ring = (struct done_ring){.capacity = capacity};
    ring->places = xcalloc(capacity, sizeof *ring->places);
    ring->heads = xcalloc(capacity, sizeof *ring->heads);
}

void
done_ring_fini(struct done_ring *ring)
{
    free(ring->places);
    free(ring->heads);
    *ring = (struct done_ring){0};
}

static uint64_t *
head_of(const struct done_ring *ring, const struct uid *root)
{
    return &ring->heads[uid_hash(root) & (ring->capacity - 1)];
}

static struct done_place *
place_of(const struct done_ring *ring, uint64_t number)
{
    return &ring->places[number & (ring->capacity - 1)];
}

void
done_ring_put(struct done_ring *ring, const struct uid *root, const struct analysis_counts *counts)
{
    uint64_t *head = head_of(ring, root);
    uint64_t number = ++ring->last_number;
    *place_of(ring, number) =
        (struct done_place){.root = *root, .counts = *counts, .number = number, .older = *head};
    *head = number;
}

const struct analysis_counts *
done_ring_find(const struct done_ring *ring, const struct uid *root)
{
    uint64_t number = *head_of(ring, root);
    while (number != 0) {
        const struct done_place *place = place_of(ring, number);
        if (place->number != number) {
            return NULL; // overwritten, as everything older
        }
        if (uid_equal(&place->root, root)) {
            return &place->counts;
        }
        number = place->older;
    }
    return NULL;
}
