// Finished tasks that stay for the tree ([store] finished_ttl): which there are, by age, by
// sequence and by analysis. Their records are skeletons (settle.c). Nothing here is copied as it
// grows or searched from end to end: there may be millions.
#include "base/assert.h"
#include "store/local/state.h"

static struct finished *
finished_at(const struct store *store, uint32_t index)
{
    return slab_at(&store->finished, index);
}

static struct finished_root *
root_at(const struct store *store, uint32_t index)
{
    return slab_at(&store->finished_roots, index);
}

static uint64_t
hash_finished(const void *item)
{
    return hash_sequence(((const struct finished *)item)->sequence);
}

static uint64_t
hash_root(const void *item)
{
    return uid_hash(&((const struct finished_root *)item)->root);
}

static struct index_hash_items
items_of(const struct store *store)
{
    return (struct index_hash_items){.slab = &store->finished,
                                     .link_offset = offsetof(struct finished, hash_next),
                                     .hash = hash_finished};
}

static struct index_hash_items
roots_of(const struct store *store)
{
    return (struct index_hash_items){.slab = &store->finished_roots,
                                     .link_offset = offsetof(struct finished_root, hash_next),
                                     .hash = hash_root};
}

static uint32_t
root_find(const struct store *store, const struct uid *root)
{
    uint32_t index = index_hash_first(&store->finished_root_hash, uid_hash(root));
    while (index != 0 && !uid_equal(&root_at(store, index)->root, root)) {
        index = root_at(store, index)->hash_next;
    }
    return index;
}

static uint32_t
root_get(struct store *store, const struct uid *root)
{
    uint32_t index = root_find(store, root);
    if (index == 0) {
        index = slab_take(&store->finished_roots);
        root_at(store, index)->root = *root;
        struct index_hash_items roots = roots_of(store);
        index_hash_put(&store->finished_root_hash, &roots, index);
    }
    return index;
}

void
finished_remember(struct store *store, const struct uid *root, uint64_t sequence, int64_t ended_ms)
{
    uint32_t index = slab_take(&store->finished);
    uint32_t root_index = root_get(store, root);
    struct finished *finished = finished_at(store, index);
    *finished = (struct finished){.sequence = sequence, .ended_ms = ended_ms, .root = root_index};
    struct index_hash_items items = items_of(store);
    index_hash_put(&store->finished_hash, &items, index);
    struct finished_root *of_root = root_at(store, root_index);
    *(of_root->last != 0 ? &finished_at(store, of_root->last)->root_next : &of_root->first) = index;
    of_root->last = index;
    *(store->finished_last != 0 ? &finished_at(store, store->finished_last)->next
                                : &store->finished_first) = index;
    store->finished_last = index;
}

// The oldest of all is the oldest of its analysis: both lines are in the order of remembering.
static void
drop_first(struct store *store)
{
    uint32_t index = store->finished_first;
    struct finished *finished = finished_at(store, index);
    uint32_t root_index = finished->root;
    struct finished_root *of_root = root_at(store, root_index);
    struct key key = key_finished(&of_root->root, finished->sequence);
    delete_record(store, &key);
    store->finished_first = finished->next;
    if (store->finished_first == 0) {
        store->finished_last = 0;
    }
    zkt_assert(of_root->first == index);
    of_root->first = finished->root_next;
    if (of_root->first == 0) {
        struct index_hash_items roots = roots_of(store);
        index_hash_remove(&store->finished_root_hash, &roots, root_index);
        slab_give(&store->finished_roots, root_index);
    }
    struct index_hash_items items = items_of(store);
    index_hash_remove(&store->finished_hash, &items, index);
    slab_give(&store->finished, index);
}

enum { AGE_SLICE = 2000 }; // some turns end as many tasks; to forget one is quickly done

bool
finished_age(struct store *store, int64_t now_ms)
{
    for (int slice = AGE_SLICE; store->finished_first != 0; slice--) {
        const struct finished *first = finished_at(store, store->finished_first);
        if (first->ended_ms + store->options.finished_ttl_ms > now_ms) {
            return false;
        }
        if (slice == 0) {
            return true;
        }
        drop_first(store);
    }
    return false;
}

uint32_t
finished_first(const struct store *store, const struct uid *root, uint64_t *sequence)
{
    uint32_t root_index = root_find(store, root);
    uint32_t index = root_index != 0 ? root_at(store, root_index)->first : 0;
    *sequence = index != 0 ? finished_at(store, index)->sequence : 0;
    return index;
}

uint32_t
finished_next(const struct store *store, uint32_t index, uint64_t *sequence)
{
    uint32_t next = finished_at(store, index)->root_next;
    *sequence = next != 0 ? finished_at(store, next)->sequence : 0;
    return next;
}

bool
finished_find(const struct store *store, uint64_t sequence, struct uid *root)
{
    uint32_t index = index_hash_first(&store->finished_hash, hash_sequence(sequence));
    while (index != 0 && finished_at(store, index)->sequence != sequence) {
        index = finished_at(store, index)->hash_next;
    }
    if (index != 0) {
        *root = root_at(store, finished_at(store, index)->root)->root;
    }
    return index != 0;
}
