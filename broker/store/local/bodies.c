// Bodies in memory: those not durable yet are pinned, fresh ones stay until the cache is full,
// oldest first.
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/state.h"

struct body *
body_at(const struct store *store, uint32_t index)
{
    return slab_at(&store->bodies, index);
}

// What a body takes: its bytes, its place in the slab, and the allocator's own.
static size_t
cost_of(size_t len)
{
    enum { ALLOCATOR_BYTES = 16 };
    return sizeof(struct body) + ALLOCATOR_BYTES + len;
}

uint32_t
body_new(struct store *store, struct span data, uint64_t number, const struct origin *origin)
{
    uint32_t index = slab_take(&store->bodies);
    struct body *body = body_at(store, index);
    body->data = xmemdup(data.data, data.len);
    body->len = (uint32_t)data.len;
    body->number = number;
    body->origin = *origin;
    store->body_bytes += cost_of(data.len);
    return index;
}

static void
age_remove(struct store *store, uint32_t index)
{
    struct body *body = body_at(store, index);
    if (!body->is_aged) {
        return;
    }
    *(body->age_prev != 0 ? &body_at(store, body->age_prev)->age_next : &store->aged_head) =
        body->age_next;
    *(body->age_next != 0 ? &body_at(store, body->age_next)->age_prev : &store->aged_tail) =
        body->age_prev;
    body->is_aged = false;
}

void
body_ref(struct store *store, uint32_t index)
{
    body_at(store, index)->refs_count++;
}

static void
body_free(struct store *store, uint32_t index)
{
    struct body *body = body_at(store, index);
    age_remove(store, index);
    if (body->number != 0) {
        struct blob *blob = map_get(store->blob_refs, &body->number, sizeof body->number);
        if (blob != NULL) {
            blob->body = 0;
        }
    }
    store->body_bytes -= cost_of(body->len);
    free(body->data);
    *body = (struct body){0};
    slab_give(&store->bodies, index);
}

void
body_unref(struct store *store, uint32_t index)
{
    struct body *body = body_at(store, index);
    zkt_assert(body->refs_count > 0);
    if (--body->refs_count == 0) {
        body_free(store, index);
    }
}

// body_may_go puts an inline body that only its waiting entry refers to into the line of what may
// be dropped.
void
body_may_go(struct store *store, uint32_t index, uint32_t entry)
{
    struct body *body = body_at(store, index);
    if (body->is_aged || body->number != 0) {
        return;
    }
    body->entry = entry;
    body->is_aged = true;
    body->age_next = 0;
    body->age_prev = store->aged_tail;
    *(store->aged_tail != 0 ? &body_at(store, store->aged_tail)->age_next : &store->aged_head) =
        index;
    store->aged_tail = index;
}

void
bodies_trim(struct store *store)
{
    size_t cap =
        store->options.body_cache_bytes != 0 ? store->options.body_cache_bytes : (size_t)64 << 20;
    uint64_t durable = store->open_number - 1 - store->is_committing;
    while (store->body_bytes > cap && store->aged_head != 0) {
        uint32_t index = store->aged_head;
        struct body *body = body_at(store, index);
        if (body->pinned_batch > durable) {
            return; // they lie in order of their batches
        }
        if (body->refs_count > 1) {
            age_remove(store, index); // a hold has it; it comes back with its return
            continue;
        }
        entry_at(store, body->entry)->body = 0;
        body_free(store, index);
    }
}
