// Consumers and instances: their records are written once a batch, at its end, when something of
// them changed.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/state.h"

enum { INSTANCE_TTL_MS = 24 * 3600 * 1000, ERROR_BYTES = 16 };

struct consumer_entry *
consumer_entry_of(const struct store *store, uint32_t number)
{
    return number_map_get(&store->consumers, number);
}

struct consumer_entry *
consumer_make(struct store *store, uint32_t number)
{
    struct consumer_entry *consumer = xcalloc(1, sizeof *consumer);
    consumer->number = number;
    arena_init(&consumer->arena);
    list_init(&consumer->holds);
    number_map_put(&store->consumers, number, consumer);
    if (store->numbers_len == store->numbers_capacity) {
        store->numbers_capacity = store->numbers_capacity * 2 + 16;
        store->numbers = xrealloc(store->numbers, store->numbers_capacity * sizeof *store->numbers);
    }
    store->numbers[store->numbers_len++] = number; // numbers only grow
    return consumer;
}

// ---- The bind as bytes: the codec of tasks packs it as the headers of one.

static void
bind_pack(struct store *store, const struct consumer_entry *consumer, struct bytes *out)
{
    struct arena arena;
    arena_init(&arena);
    struct task task = {.headers = value_map()};
    const struct bind *bind = &consumer->bind;
    value_put(&arena, &task.headers, "identity",
              value_string(&arena, bind->identity.data, bind->identity.len));
    value_put(&arena, &task.headers, "filters", bind->filters);
    value_put(&arena, &task.headers, "info", bind->info);
    value_put(&arena, &task.headers, "version", bind->version);
    value_put(&arena, &task.headers, "service_version", bind->service_version);
    store->options.codec->pack(&task, out);
    arena_fini(&arena);
}

static struct value
member_of(const struct value *map, const char *key)
{
    const struct value *found = value_get(map, key);
    return found != NULL ? *found : value_null();
}

static void
name_consumer(struct store *store, struct consumer_entry *consumer)
{
    map_put(store->identities, consumer->bind.identity.data, consumer->bind.identity.len, consumer);
}

bool
bind_unpack(struct store *store, struct consumer_entry *consumer,
            const struct consumer_value *value)
{
    struct task task = {0};
    struct span bytes =
        span_of(arena_copy(&consumer->arena, value->bind.data, value->bind.len), value->bind.len);
    if (!store->options.codec->headers(bytes, &consumer->arena, &task)) {
        return false;
    }
    const struct value *identity = value_get(&task.headers, "identity");
    if (identity == NULL || identity->type != VALUE_STRING) {
        return false;
    }
    consumer->bind = (struct bind){.identity = span_of(identity->text, identity->len),
                                   .filters = member_of(&task.headers, "filters"),
                                   .persistent = value->is_persistent,
                                   .is_async = value->is_async,
                                   .info = member_of(&task.headers, "info"),
                                   .version = member_of(&task.headers, "version"),
                                   .service_version = member_of(&task.headers, "service_version")};
    consumer->generation = value->generation;
    consumer->is_dropping = value->is_dropping;
    consumer->last_seen_ms = value->last_seen_ms;
    if (!consumer->is_dropping) {
        name_consumer(store, consumer);
    }
    return true;
}

void
consumers_write_dirty(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->dirty_consumers)) != NULL) {
        struct consumer_entry *consumer = container_of(link, struct consumer_entry, dirty_link);
        list_remove(link);
        bytes_clear(&store->scratch);
        bind_pack(store, consumer, &store->scratch);
        struct consumer_value value = {.generation = consumer->generation,
                                       .is_persistent = consumer->bind.persistent,
                                       .is_async = consumer->bind.is_async,
                                       .is_dropping = consumer->is_dropping,
                                       .last_seen_ms = consumer->last_seen_ms,
                                       .bind = bytes_span(&store->scratch)};
        for (int level = 0; level < PRIORITIES_COUNT; level++) {
            struct queue *queue = &consumer->queues[level];
            value.marks[level] = queue->mark_wanted;
            queue->mark_committing = queue->mark_wanted;
        }
        struct key key = key_consumer(consumer->number);
        bytes_clear(&store->value);
        format_consumer(&key, &value, &store->value);
        put_record(store, &key, &store->value);
        list_append(&store->marked, &consumer->marked_link);
    }
}

void
store_put_consumer(struct store *store, const struct bind *bind, int64_t now_ms, uint32_t *number,
                   uint64_t *generation)
{
    struct consumer_entry *consumer =
        map_get(store->identities, bind->identity.data, bind->identity.len);
    bool is_new = consumer == NULL;
    store->now_ms = now_ms;
    if (is_new) {
        consumer = consumer_make(store, ++store->next_consumer);
    }
    bool replaces = is_new || bind_replaces(&consumer->bind, bind);
    bool is_shown = is_new || !value_same(&consumer->bind.info, &bind->info) ||
                    !value_same(&consumer->bind.version, &bind->version) ||
                    consumer->bind.is_async != bind->is_async;
    if (replaces || is_shown) {
        struct arena arena;
        arena_init(&arena);
        struct bind copy = bind_copy(&arena, bind);
        if (!is_new && copy.service_version.type == VALUE_NULL) {
            copy.service_version = value_copy(&arena, &consumer->bind.service_version);
        }
        arena_fini(&consumer->arena);
        consumer->arena = arena;
        consumer->bind = copy;
        name_consumer(store, consumer);
        consumer_dirty(store, consumer);
    }
    consumer->generation += replaces;
    consumer->last_seen_ms = now_ms;
    *number = consumer->number;
    *generation = consumer->generation;
}

void
store_drop_consumer(struct store *store, uint32_t number, int64_t now_ms)
{
    struct consumer_entry *consumer = consumer_entry_of(store, number);
    if (consumer == NULL || consumer->is_dropping) {
        return;
    }
    store->now_ms = now_ms;
    consumer->is_dropping = true;
    consumer->want = 0;
    map_remove(store->identities, consumer->bind.identity.data, consumer->bind.identity.len);
    list_remove(&consumer->wanting_link);
    consumer_dirty(store, consumer);
    list_append(&store->dropping, &consumer->dropping_link);
    store->intents_count++;
}

static void
drop_holds(struct store *store, struct consumer_entry *consumer)
{
    struct list_link *link;
    while ((link = list_first(&consumer->holds)) != NULL) {
        struct held *held = container_of(link, struct held, link);
        store->options.callbacks.on_hold_dropped(store->options.callbacks.arg, &held->hold);
        store_return(store, &held->hold, false, 0, store->now_ms); // goes straight on to be dropped
    }
    delayed_drop(store, consumer->number);
    consumer->holds_are_dropped = true;
}

static uint32_t
any_waiting(const struct consumer_entry *consumer)
{
    for (int level = 0; level < PRIORITIES_COUNT; level++) {
        const struct queue *queue = &consumer->queues[level];
        if (queue->returned_head != 0 || queue->head != 0) {
            return queue->returned_head != 0 ? queue->returned_head : queue->head;
        }
    }
    return 0;
}

// True: the slice was used up, and there is more. A task counts with the objects that it lets go.
static bool
drop_some(struct store *store, struct consumer_entry *consumer)
{
    uint32_t index;
    uint64_t slice_end = store->unrefs_count + LIMIT_INTENT_SLICE;
    uint64_t dropped_count = 0;
    while (store->unrefs_count + dropped_count < slice_end &&
           (index = any_waiting(consumer)) != 0) {
        queue_remove(store, index);
        entry_at(store, index)->place = ENTRY_DROPPING;
        drop_entry(store, index);
        dropped_count++;
    }
    while (store->unrefs_count + dropped_count < slice_end && consumer->crashed_head != 0) {
        drop_entry(store, consumer->crashed_head);
        dropped_count++;
    }
    return store->unrefs_count + dropped_count >= slice_end;
}

static void
forget_consumer(struct store *store, struct consumer_entry *consumer)
{
    struct key key = key_consumer(consumer->number);
    delete_record(store, &key);
    uint32_t number = consumer->number;
    for (size_t index = 0; index < store->numbers_len; index++) {
        if (store->numbers[index] == number) {
            memmove(store->numbers + index, store->numbers + index + 1,
                    (store->numbers_len - index - 1) * sizeof *store->numbers);
            store->numbers_len--;
            break;
        }
    }
    list_remove(&consumer->dirty_link);
    list_remove(&consumer->wanting_link);
    list_remove(&consumer->dropping_link);
    list_remove(&consumer->marked_link);
    heap_remove(&store->crashing, &consumer->crashing);
    (void)number_map_remove(&store->consumers, number);
    store->intents_count--;
    store->options.callbacks.on_consumer_gone(store->options.callbacks.arg, number);
    arena_fini(&consumer->arena);
    free(consumer);
}

bool
drops_turn(struct store *store)
{
    bool has_more = false;
    struct list_link *link = list_first(&store->dropping);
    while (link != NULL && !store_batch_is_full(store)) {
        struct list_link *next = list_next(&store->dropping, link);
        struct consumer_entry *consumer = container_of(link, struct consumer_entry, dropping_link);
        if (!consumer->holds_are_dropped) {
            drop_holds(store, consumer);
        }
        if (consumer->suspect_count > 0) {
            store_end_grace(store, consumer->number, store->now_ms);
        }
        has_more = drop_some(store, consumer) || has_more;
        if (consumer->entries_count == 0) {
            forget_consumer(store, consumer);
        }
        link = next;
    }
    return has_more || link != NULL;
}

bool
store_consumer(const struct store *store, uint32_t number, struct consumer_record *out)
{
    const struct consumer_entry *consumer = consumer_entry_of(store, number);
    if (consumer == NULL) {
        return false;
    }
    *out = (struct consumer_record){.consumer = number,
                                    .generation = consumer->generation,
                                    .bind = &consumer->bind,
                                    .held_count = consumer->held_count,
                                    .crashed_count = consumer->crashed_count,
                                    .dropping = consumer->is_dropping,
                                    .last_seen_ms = consumer->last_seen_ms,
                                    .oldest_ms = -1};
    for (int level = 0; level < PRIORITIES_COUNT; level++) {
        const struct queue *queue = &consumer->queues[level];
        out->waiting_counts[level] = queue->waiting_count + queue->delayed_count;
        out->delayed_count += queue->delayed_count;
        const uint32_t heads[] = {queue->returned_head, queue->head};
        for (int head_index = 0; head_index < 2; head_index++) {
            int64_t changed_ms = heads[head_index] != 0
                                     ? (int64_t)entry_at(store, heads[head_index])->changed_s * 1000
                                     : -1;
            if (changed_ms >= 0 && (out->oldest_ms < 0 || changed_ms < out->oldest_ms)) {
                out->oldest_ms = changed_ms;
            }
        }
    }
    out->waiting_counts[PRIORITY_NORMAL] += consumer->suspect_count + consumer->fetching_count;
    return true;
}

bool
store_next_consumer(const struct store *store, uint32_t *number)
{
    size_t low = 0;
    size_t high = store->numbers_len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (store->numbers[middle] > *number) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == store->numbers_len) {
        return false;
    }
    *number = store->numbers[low];
    return true;
}

bool
store_find_consumer(const struct store *store, struct span identity, uint32_t *number)
{
    const struct consumer_entry *consumer = map_get(store->identities, identity.data, identity.len);
    if (consumer == NULL) {
        return false;
    }
    *number = consumer->number;
    return true;
}

// ---- Instances

struct instance_entry *
instance_make(struct store *store, const struct uid *uid)
{
    struct instance_entry *instance = map_get(store->instances, uid, sizeof *uid);
    if (instance == NULL) {
        instance = xcalloc(1, sizeof *instance);
        instance->instance = *uid;
        map_put(store->instances, uid, sizeof *uid, instance);
    }
    return instance;
}

static void
instance_dirty(struct store *store, struct instance_entry *instance)
{
    if (!list_is_linked(&instance->dirty_link)) {
        list_append(&store->dirty_instances, &instance->dirty_link);
    }
}

void
instances_write_dirty(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->dirty_instances)) != NULL) {
        struct instance_entry *instance = container_of(link, struct instance_entry, dirty_link);
        list_remove(link);
        struct instance_value value = {.last_number = instance->last_number,
                                       .consumer = instance->consumer,
                                       .seen_ms = instance->seen_ms,
                                       .errors = bytes_span(&instance->errors)};
        struct key key = key_uid(RECORD_INSTANCE, &instance->instance);
        bytes_clear(&store->value);
        format_instance(&key, &value, &store->value);
        put_record(store, &key, &store->value);
    }
}

bool
store_instance(const struct store *store, const struct uid *uid, struct instance_record *out)
{
    const struct instance_entry *instance = map_get(store->instances, uid, sizeof *uid);
    *out = (struct instance_record){0};
    if (instance == NULL) {
        return false;
    }
    out->last_number = instance->last_number;
    out->consumer = instance->consumer;
    return true;
}

void
store_put_instance(struct store *store, const struct uid *uid, uint32_t consumer, int64_t now_ms)
{
    struct instance_entry *instance = instance_make(store, uid);
    bool is_same =
        instance->consumer == consumer && !instance->is_missing && instance->seen_ms != 0;
    instance->consumer = consumer;
    instance->is_missing = false;
    if (!is_same) {
        instance->seen_ms = now_ms;
        instance_dirty(store, instance);
    }
}

void
store_drop_instance(struct store *store, const struct uid *uid)
{
    struct instance_entry *instance = map_remove(store->instances, uid, sizeof *uid);
    if (instance == NULL) {
        return;
    }
    struct key key = key_uid(RECORD_INSTANCE, uid);
    delete_record(store, &key);
    list_remove(&instance->dirty_link);
    bytes_fini(&instance->errors);
    free(instance);
}

void
store_note_number(struct store *store, const struct uid *uid, uint64_t number, int64_t now_ms)
{
    struct instance_entry *instance = instance_make(store, uid);
    instance->last_number = number;
    instance->seen_ms = now_ms;
    instance_dirty(store, instance);
}

void
store_note_error(struct store *store, const struct uid *uid, uint64_t number, uint32_t task_index,
                 enum zkt_err code)
{
    struct instance_entry *instance = instance_make(store, uid);
    struct bytes *errors = &instance->errors;
    if (errors->len >= LIMIT_INSTANCE_ERRORS * ERROR_BYTES) {
        memmove(errors->data, errors->data + ERROR_BYTES, errors->len - ERROR_BYTES);
        errors->len -= ERROR_BYTES;
    }
    uint8_t *at = bytes_reserve(errors, ERROR_BYTES);
    put_u64(at, number);
    put_u32(at + 8, task_index);
    put_u32(at + 12, code);
    errors->len += ERROR_BYTES;
    instance_dirty(store, instance);
}

bool
store_remembered_error(const struct store *store, const struct uid *uid, uint64_t number,
                       uint32_t task_index, enum zkt_err *code)
{
    const struct instance_entry *instance = map_get(store->instances, uid, sizeof *uid);
    for (size_t at = 0; instance != NULL && at < instance->errors.len; at += ERROR_BYTES) {
        const uint8_t *error = instance->errors.data + at;
        if (get_u64(error) == number && get_u32(error + 8) == task_index) {
            *code = (enum zkt_err)get_u32(error + 12);
            return true;
        }
    }
    return false;
}

size_t
store_missing_instances(const struct store *store, uint32_t consumer)
{
    size_t missing_count = 0;
    struct map_cursor cursor = {0};
    while (map_next(store->instances, &cursor)) {
        const struct instance_entry *instance = cursor.value;
        missing_count += instance->is_missing && instance->consumer == consumer;
    }
    return missing_count;
}

void
instances_age(struct store *store, int64_t now_ms)
{
    // Once an hour at most: the map is small next to the tasks.
    if (now_ms - store->instances_aged_ms < 3600 * 1000) {
        return;
    }
    store->instances_aged_ms = now_ms;
    struct map_cursor cursor = {0};
    while (map_next(store->instances, &cursor)) {
        const struct instance_entry *instance = cursor.value;
        if ((instance->consumer == 0 || instance->is_missing) &&
            instance->seen_ms + INSTANCE_TTL_MS < now_ms) {
            struct uid uid = instance->instance;
            store_drop_instance(store, &uid);
        }
    }
}
