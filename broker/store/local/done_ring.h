// done_ring.h: the last analyses that finished, found by their root. The ring is overwritten oldest
// first and its chains go from newer to older, so a chain simply ends where it meets a place that
// was overwritten: nothing is ever taken out, and a completion touches one bucket and one place.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/uid.h"
#include "store/store.h"

struct done_place;

struct done_ring {
    struct done_place *places; // [capacity]
    uint64_t *heads;           // [capacity] number of the newest of a bucket; 0: none
    size_t capacity;           // a power of two
    uint64_t last_number;
};

void
done_ring_init(struct done_ring *ring, size_t capacity);
void
done_ring_fini(struct done_ring *ring);
void
done_ring_put(struct done_ring *ring, const struct uid *root, const struct analysis_counts *counts);
// done_ring_find answers the newest completion of root, borrowed until the next put; NULL: not
// known any more.
const struct analysis_counts *
done_ring_find(const struct done_ring *ring, const struct uid *root);
