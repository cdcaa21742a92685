// The local store: life, batches, turns. See store.h for the promises and state.h for who owns
// what.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/local/gone.h"
#include "store/local/state.h"

enum { DELIVERY_BLOCK = 1 << 20, DELIVERY_AHEAD = 1 << 16, FULL_DISK_OPS = 256 };

// ---- Records of the open batch

void
put_record(struct store *store, const struct key *key, const struct bytes *value)
{
    record_put(&store->open, key_span(key), bytes_span(value));
}

void
delete_record(struct store *store, const struct key *key)
{
    record_delete(&store->open, key_span(key));
}

static void
put_number(struct store *store, const char *name, uint64_t number)
{
    struct key key = key_meta(name);
    bytes_clear(&store->value);
    format_number(&key, number, &store->value);
    put_record(store, &key, &store->value);
}

// ---- Life

static void
make_tables(struct store *store)
{
    slab_init(&store->entries, sizeof(struct entry));
    slab_init(&store->analyses, sizeof(struct analysis));
    slab_init(&store->bodies, sizeof(struct body));
    index_hash_init(&store->entry_hash);
    index_hash_init(&store->analysis_hash);
    slab_init(&store->finished, sizeof(struct finished));
    slab_init(&store->finished_roots, sizeof(struct finished_root));
    index_hash_init(&store->finished_hash);
    index_hash_init(&store->finished_root_hash);
    done_ring_init(&store->done, LIMIT_FINISHED_RING);
    number_map_init(&store->consumers);
    number_map_init(&store->holds);
    struct map **maps[] = {&store->blob_refs, &store->identities, &store->instances,
                           &store->objects,   &store->children,   &store->orphans,
                           &store->fetches};
    for (size_t map_index = 0; map_index < sizeof maps / sizeof *maps; map_index++) {
        *maps[map_index] = map_new();
    }
    struct list *lists[] = {&store->dirty_consumers, &store->wanting,         &store->dropping,
                            &store->marked,          &store->dirty_instances, &store->uploads,
                            &store->releases,        &store->resumed,         &store->ready_fetches,
                            &store->done_waiting,    &store->objects_waiting, &store->pages,
                            &store->holds_free};
    for (size_t list_index = 0; list_index < sizeof lists / sizeof *lists; list_index++) {
        list_init(lists[list_index]);
    }
    heap_init(&store->delayed);
    store->gone = gone_new();
    heap_init(&store->crashing);
    arena_init(&store->arena);
}

enum zkt_err
store_open(const struct store_options *options, struct store **store_out, struct problem *problem)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->options = *options;
    store->now_ms = options->now_ms;
    store->instances_aged_ms = options->now_ms;
    store->open_number = 1;
    store->next_fetch = 1;
    store->next_intent = 1;
    store->next_body = 1;
    store->next_sequence = 1;
    make_tables(store);
    enum zkt_err err = ZKT_OK;
    store->records = options->records;
    if (store->records == NULL && options->path == NULL) {
        store->records = records_mem_new();
    } else if (store->records == NULL) {
        err = records_lmdb_open(options->path, options->free_min_bytes, &store->records, problem);
    }
    if (err == ZKT_OK) {
        err = recover(store, problem);
    }
    if (err != ZKT_OK) {
        store_close(&store);
        return err;
    }
    store->durable_sequence = store->next_sequence - 1;
    store->delivery_bound_wanted = store->next_delivery + DELIVERY_BLOCK;
    put_number(store, "delivery", store->delivery_bound_wanted);
    *store_out = store;
    return ZKT_OK;
}

static void
free_children(struct child *child)
{
    while (child != NULL) {
        struct child *next = child->next;
        bytes_fini(&child->objects);
        free(child);
        child = next;
    }
}

static void
free_values(struct map *map, void (*fini)(void *value))
{
    struct map_cursor cursor = {0};
    while (map != NULL && map_next(map, &cursor)) {
        if (fini != NULL) {
            fini(cursor.value);
        }
        free(cursor.value);
    }
}

static void
free_holds(struct list *holds)
{
    struct list_link *link;
    while ((link = list_first(holds)) != NULL) {
        struct held *held = container_of(link, struct held, link);
        list_remove(link);
        free_children(held->child_first);
        free(held->objects);
        free(held);
    }
}

static void
free_consumers(struct store *store)
{
    for (size_t index = 0; index < store->numbers_len; index++) {
        struct consumer_entry *consumer = consumer_entry_of(store, store->numbers[index]);
        free_holds(&consumer->holds);
        arena_fini(&consumer->arena);
        free(consumer);
    }
    free_holds(&store->holds_free);
}

static void
fini_instance(void *value)
{
    bytes_fini(&((struct instance_entry *)value)->errors);
}

static void
fini_release(void *value)
{
    free_children(((struct release *)value)->first);
}

static void
fini_fetch(void *value)
{
    free(((struct fetch *)value)->error);
}

static void
free_lists(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->releases)) != NULL) {
        struct release *release = container_of(link, struct release, link);
        list_remove(link);
        free_children(release->first);
        free(release);
    }
    while ((link = list_first(&store->done_waiting)) != NULL) {
        list_remove(link);
        free(container_of(link, struct done_waiting, link));
    }
    while ((link = list_first(&store->objects_waiting)) != NULL) {
        list_remove(link);
        free(container_of(link, struct object_waiting, link));
    }
    while ((link = list_first(&store->resumed)) != NULL) {
        list_remove(link);
        free(container_of(link, struct resumed, link));
    }
    while ((link = list_first(&store->ready_fetches)) != NULL) {
        struct fetch *fetch = container_of(link, struct fetch, ready_link);
        list_remove(link);
        free(fetch->error);
        free(fetch);
    }
    struct heap_node *node;
    while ((node = heap_first(&store->delayed)) != NULL) {
        heap_remove(&store->delayed, node);
        free(container_of(node, struct delayed, node));
    }
    heap_fini(&store->delayed);
    heap_fini(&store->crashing);
}

static void
free_bodies(struct store *store)
{
    // Each body is freed once: through the entry or hold that comes first.
    for (uint32_t index = 1; index < store->bodies.next_index; index++) {
        struct body *body = body_at(store, index);
        if (body->refs_count > 0 && body->data != NULL) {
            free(body->data);
        }
    }
}

void
store_close(struct store **store_p)
{
    struct store *store = *store_p;
    if (store == NULL) {
        return;
    }
    if (store->records != NULL) {
        store->records->ops->destroy(store->records);
    }
    free_lists(store);
    pages_free(store);
    free_bodies(store);
    free_consumers(store);
    free_values(store->instances, fini_instance);
    free_values(store->objects, NULL);
    free_values(store->orphans, fini_release);
    free_values(store->fetches, fini_fetch);
    free_values(store->blob_refs, NULL);
    struct map **maps[] = {&store->blob_refs, &store->identities, &store->instances,
                           &store->objects,   &store->children,   &store->orphans,
                           &store->fetches};
    for (size_t map_index = 0; map_index < sizeof maps / sizeof *maps; map_index++) {
        map_destroy(maps[map_index]);
    }
    gone_destroy(&store->gone);
    slab_fini(&store->entries);
    slab_fini(&store->analyses);
    slab_fini(&store->bodies);
    index_hash_fini(&store->entry_hash);
    index_hash_fini(&store->analysis_hash);
    slab_fini(&store->finished);
    slab_fini(&store->finished_roots);
    index_hash_fini(&store->finished_hash);
    index_hash_fini(&store->finished_root_hash);
    done_ring_fini(&store->done);
    number_map_fini(&store->consumers);
    number_map_fini(&store->holds);
    bytes_fini(&store->open.ops);
    bytes_fini(&store->committing.ops);
    bytes_fini(&store->scratch);
    bytes_fini(&store->value);
    arena_fini(&store->arena);
    free(store->numbers);
    free(store->suspects);
    free(store->suspect_sequences);
    free(store);
    *store_p = NULL;
}

uint64_t
store_id(const struct store *store)
{
    return store->id;
}

int
store_fd(const struct store *store)
{
    return store->records->ops->fd(store->records);
}

// ---- Batches

uint64_t
store_batch(const struct store *store)
{
    return store->open_number;
}

// A completion of an analysis that changed no record (nobody took its task) needs a batch of its
// own to be told by.
static bool
has_completion(const struct store *store)
{
    if (list_is_empty(&store->done_waiting)) {
        return false;
    }
    const struct list_link *last = store->done_waiting.head.prev;
    return container_of(last, struct done_waiting, link)->batch == store->open_number;
}

bool
store_batch_is_empty(const struct store *store)
{
    return store->open.ops_count == 0 && list_is_empty(&store->dirty_consumers) &&
           list_is_empty(&store->dirty_instances) && !has_completion(store);
}

size_t
store_batch_bytes(const struct store *store)
{
    return store->open.ops.len;
}

bool
store_batch_is_full(const struct store *store)
{
    uint64_t used_bytes;
    uint64_t free_bytes;
    bool is_full;
    store->records->ops->space(store->records, &used_bytes, &free_bytes, &is_full);
    uint32_t ops_max = is_full ? FULL_DISK_OPS : LIMIT_BATCH_OPS; // small ones fit the reserve
    return store->open.ops_count >= ops_max || store->open.ops.len >= LIMIT_BATCH_BYTES;
}

bool
store_is_committing(const struct store *store)
{
    return store->is_committing;
}

void
store_commit(struct store *store, int64_t now_ms)
{
    zkt_assert(!store->is_committing);
    store->now_ms = now_ms;
    consumers_write_dirty(store);
    instances_write_dirty(store);
    put_number(store, "sequence", store->next_sequence);
    put_number(store, "body", store->next_body);
    put_number(store, "consumer", store->next_consumer);
    put_number(store, "wall", (uint64_t)now_ms);
    put_number(store, "tasks", store->entries.used_count); // how large a restart makes its tables
    put_number(store, "analyses", store->analyses.used_count);
    if (store->next_delivery + DELIVERY_AHEAD > store->delivery_bound_wanted) {
        store->delivery_bound_wanted += DELIVERY_BLOCK;
        put_number(store, "delivery", store->delivery_bound_wanted);
    }
    store->delivery_bound_committing = store->delivery_bound_wanted;
    store->committing_sequence = store->next_sequence - 1;
    struct record_batch empty = store->committing;
    store->committing = store->open;
    store->open = empty;
    store->is_committing = true;
    store->records->ops->commit(store->records, &store->committing, store->open_number);
    store->open_number++;
}

static void
marks_durable(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->marked)) != NULL) {
        struct consumer_entry *consumer = container_of(link, struct consumer_entry, marked_link);
        list_remove(link);
        for (int level = 0; level < PRIORITIES_COUNT; level++) {
            consumer->queues[level].mark_durable = consumer->queues[level].mark_committing;
        }
        consumer_wanting(store, consumer);
    }
}

static void
tell_durable(struct store *store, uint64_t batch)
{
    const struct store_callbacks *callbacks = &store->options.callbacks;
    callbacks->on_durable(callbacks->arg, batch);
    struct list_link *link;
    while ((link = list_first(&store->done_waiting)) != NULL) {
        struct done_waiting *waiting = container_of(link, struct done_waiting, link);
        if (waiting->batch > batch) {
            break;
        }
        list_remove(link);
        callbacks->on_analysis_done(callbacks->arg, &waiting->root, &waiting->counts);
        free(waiting);
    }
}

static void
committed(struct store *store, const struct completion *completion)
{
    store->is_committing = false;
    store->durable_batch = completion->tag;
    store->durable_sequence = store->committing_sequence;
    store->delivery_bound_durable = store->delivery_bound_committing;
    store->commits_count++;
    store->commit_ns_sum += (uint64_t)completion->elapsed_ns;
    if ((uint64_t)completion->elapsed_ns > store->commit_ns_max) {
        store->commit_ns_max = (uint64_t)completion->elapsed_ns;
    }
    marks_durable(store);
    tell_durable(store, completion->tag);
}

void
store_poll(struct store *store)
{
    struct completion completion;
    uint64_t slice_end = store->unrefs_count + LIMIT_INTENT_SLICE;
    fetches_ready(store);
    store->has_unpolled = false;
    while (!store->has_failed) {
        if (store->unrefs_count >= slice_end) { // dropped tasks that came from the disk
            store->has_unpolled = true;
            break;
        }
        if (!store->records->ops->poll(store->records, &completion)) {
            break;
        }
        switch (completion.kind) {
        case COMPLETED_COMMIT:
            committed(store, &completion);
            break;
        case COMPLETED_COMMIT_FAILED:
            store->has_failed = true; // final: nothing of this batch or later is released
            store->options.callbacks.on_failed(store->options.callbacks.arg, completion.tag,
                                               completion.reason);
            break;
        case COMPLETED_FETCH:
            fetch_came(store, &completion);
            break;
        }
        store->records->ops->done(store->records, &completion);
    }
}

bool
store_turn(struct store *store, int64_t now_ms)
{
    if (store->has_failed) {
        return false;
    }
    store->now_ms = now_ms;
    delayed_due(store, now_ms);
    bool has_more = false;
    if (!store_batch_is_full(store)) {
        has_more = releases_turn(store, now_ms);
        has_more = drops_turn(store) || has_more;
        has_more = crashed_age(store, now_ms) || has_more;
        has_more = finished_age(store, now_ms) || has_more;
        has_more = objects_age(store, now_ms) || has_more;
        instances_age(store, now_ms);
    }
    has_more = objects_tell(store) || has_more;
    offer_all(store);
    bodies_trim(store);
    return has_more || store->has_unpolled || !list_is_empty(&store->ready_fetches) ||
           !list_is_empty(&store->resumed);
}

enum store_pressure
store_pressure(const struct store *store)
{
    uint64_t used_bytes;
    uint64_t free_bytes;
    bool is_full;
    store->records->ops->space(store->records, &used_bytes, &free_bytes, &is_full);
    if (is_full) {
        return STORE_DISK;
    }
    uint64_t tasks_count = store->entries.used_count;
    uint64_t tasks_max = store->options.tasks_max != 0 ? store->options.tasks_max : UINT64_MAX / 8;
    uint64_t bytes_max = store->options.bytes_max != 0 ? store->options.bytes_max : UINT64_MAX / 8;
    if (tasks_count >= tasks_max / 4 * 5 + tasks_max % 4 || used_bytes >= bytes_max / 4 * 5) {
        return STORE_HARD;
    }
    return tasks_count >= tasks_max || used_bytes >= bytes_max ? STORE_SOFT : STORE_OK;
}

void
store_stats(const struct store *store, struct store_stats *out)
{
    uint64_t free_bytes;
    bool is_full;
    *out = (struct store_stats){.tasks_count = store->entries.used_count,
                                .analyses_count = store->live_analyses_count,
                                .objects_count = map_len(store->objects),
                                .uploads_count = store->uploads_count,
                                .deletes_count = store->deletions_count,
                                .intents_count = store->intents_count,
                                .commits_count = store->commits_count,
                                .commit_ns_sum = store->commit_ns_sum,
                                .commit_ns_max = store->commit_ns_max,
                                .damaged_count = store->damaged_count,
                                .body_cache_bytes = store->body_bytes,
                                .suspects_count = store->suspects_count,
                                .fetches_count = map_len(store->fetches)};
    memcpy(out->state_counts, store->state_counts, sizeof out->state_counts);
    store->records->ops->space(store->records, &out->used_bytes, &free_bytes, &is_full);
}
