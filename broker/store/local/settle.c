// How a hold ends, what becomes of crashed and finished tasks, and what a restart leaves in doubt.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/local/state.h"

void
entry_key(const struct store *store, const struct entry *entry, struct key *key)
{
    (void)store;
    *key = entry->place == ENTRY_CRASHED
               ? key_crashed(entry->consumer, entry_sequence(entry))
               : key_task(entry->consumer, (enum priority)entry->priority, entry_sequence(entry));
}

static uint64_t
blob_number(const struct store *store, const struct entry *entry)
{
    return entry->body != 0 ? body_at(store, entry->body)->number : 0;
}

// A copy of a shared body is gone; the last one takes the record along.
void
blob_unref(struct store *store, uint64_t number)
{
    struct blob *blob = number != 0 ? map_get(store->blob_refs, &number, sizeof number) : NULL;
    if (blob == NULL || --blob->refs_count > 0) {
        return;
    }
    struct key key = key_body(number);
    delete_record(store, &key);
    map_remove(store->blob_refs, &number, sizeof number);
    free(blob);
}

// Writes the record of an entry whose body is in memory under the key of its place.
static void
write_entry(struct store *store, const struct entry *entry, struct span error)
{
    const struct body *body = body_at(store, entry->body);
    struct task task = {0};
    struct arena arena;
    struct bytes uids = {0};
    arena_init(&arena);
    if ((entry->flags & ENTRY_HAS_OBJECTS) != 0) {
        store->options.codec->unpack(span_of(body->data, body->len), &arena, &task);
    }
    struct task_record record = {.sequence = entry_sequence(entry),
                                 .consumer = entry->consumer,
                                 .priority = (enum priority)entry->priority,
                                 .attempt = entry->attempt,
                                 .root = analysis_at(store, entry->analysis)->root,
                                 .parent = body->origin.parent,
                                 .orig = body->origin.orig,
                                 .retry_of = body->origin.retry_of,
                                 .changed_ms = store->now_ms,
                                 .created_ms = body->origin.created_ms,
                                 .generation = entry->generation,
                                 .body_number = body->number,
                                 .objects = objects_of(store, &task, &uids),
                                 .error = error};
    if (body->number == 0) {
        record.body = span_of(body->data, body->len);
    }
    struct key key;
    entry_key(store, entry, &key);
    bytes_clear(&store->value);
    format_task(&key, &record, &store->value);
    put_record(store, &key, &store->value);
    body_at(store, entry->body)->pinned_batch = store->open_number;
    bytes_fini(&uids);
    arena_fini(&arena);
}

// ---- Finished tasks that stay for the tree (finished.c)

// The skeleton of a finished task: its headers and resources, without payloads, at most
// LIMIT_SKELETON_BYTES.
static void
write_skeleton(struct store *store, const struct entry *entry, int64_t started_ms)
{
    if (store->options.finished_ttl_ms <= 0 || entry->body == 0) {
        return;
    }
    const struct body *body = body_at(store, entry->body);
    struct task task = {0};
    struct arena arena;
    arena_init(&arena);
    struct bytes skeleton = {0};
    if (store->options.codec->unpack(span_of(body->data, body->len), &arena, &task)) {
        task.payload = (struct span){0};
        task.payload_persistent = (struct span){0};
        store->options.codec->pack(&task, &skeleton);
        if (skeleton.len > LIMIT_SKELETON_BYTES) {
            bytes_clear(&skeleton);
            task.resources_count = 0;
            task.headers = value_map();
            store->options.codec->pack(&task, &skeleton);
        }
    }
    struct uid root = analysis_at(store, entry->analysis)->root;
    struct key key = key_finished(&root, entry_sequence(entry));
    struct task_record record = {.sequence = entry_sequence(entry),
                                 .consumer = entry->consumer,
                                 .priority = (enum priority)entry->priority,
                                 .attempt = entry->attempt,
                                 .root = root,
                                 .parent = body->origin.parent,
                                 .orig = body->origin.orig,
                                 .retry_of = body->origin.retry_of,
                                 .changed_ms = store->now_ms,
                                 .created_ms = body->origin.created_ms,
                                 .started_ms = started_ms,
                                 .generation = entry->generation,
                                 .body = bytes_span(&skeleton)};
    bytes_clear(&store->value);
    format_task(&key, &record, &store->value);
    put_record(store, &key, &store->value);
    finished_remember(store, &root, entry_sequence(entry), store->now_ms);
    bytes_fini(&skeleton);
    arena_fini(&arena);
}

// ---- Ending

// An entry out of every list goes, with its record and references.
static void
end_entry(struct store *store, uint32_t index, bool is_finished)
{
    struct entry *entry = entry_at(store, index);
    struct key key;
    bool was_live = entry->place != ENTRY_CRASHED;
    entry_key(store, entry, &key);
    delete_record(store, &key);
    if ((entry->flags & ENTRY_HAS_OBJECTS) != 0 && entry->body != 0) {
        const struct body *body = body_at(store, entry->body);
        struct uid task;
        uid_routed(store->id, entry_sequence(entry), &task);
        objects_unref(store, span_of(body->data, body->len), &task);
    }
    uint64_t number = blob_number(store, entry);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    consumer->entries_count--;
    store->state_counts[entry_state(entry)]--;
    if (was_live) {
        analysis_leave(store, entry->analysis, is_finished, false);
    }
    entry_free(store, index);
    blob_unref(store, number);
}

static void
crashing_changed(struct store *store, struct consumer_entry *consumer)
{
    if (consumer->crashed_head == 0) {
        heap_remove(&store->crashing, &consumer->crashing);
        return;
    }
    int64_t changed_ms = (int64_t)entry_at(store, consumer->crashed_head)->changed_s * 1000;
    heap_update(&store->crashing, &consumer->crashing, changed_ms);
}

void
crashed_append(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    bool is_first = consumer->crashed_head == 0;
    entry->place = ENTRY_CRASHED;
    entry->next = 0;
    entry->prev = consumer->crashed_tail;
    *(is_first ? &consumer->crashed_head : &entry_at(store, consumer->crashed_tail)->next) = index;
    consumer->crashed_tail = index;
    consumer->crashed_count++;
    store->state_counts[TASK_CRASHED]++;
    if (is_first) {
        crashing_changed(store, consumer);
    }
}

static void
crashed_remove(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    bool was_first = entry->prev == 0;
    *(was_first ? &consumer->crashed_head : &entry_at(store, entry->prev)->next) = entry->next;
    *(entry->next != 0 ? &entry_at(store, entry->next)->prev : &consumer->crashed_tail) =
        entry->prev;
    entry->prev = entry->next = 0;
    if (was_first) {
        crashing_changed(store, consumer);
    }
}

static void
crash_entry(struct store *store, uint32_t index, struct span error)
{
    struct entry *entry = entry_at(store, index);
    struct key key;
    entry_key(store, entry, &key);
    delete_record(store, &key);
    store->state_counts[entry_state(entry)]--;
    entry->flags &= (uint8_t)~ENTRY_IS_STARTED;
    entry->changed_s = (uint32_t)(store->now_ms / 1000);
    crashed_append(store, index);
    write_entry(store, entry, error);
    body_may_go(store, entry->body, index);
    analysis_leave(store, entry->analysis, false, true);
}

void
store_settle(struct store *store, struct hold *hold, enum outcome outcome, struct span error,
             int64_t now_ms)
{
    struct held *held = container_of(hold, struct held, hold);
    uint32_t index = held->entry;
    int64_t started_ms = held->started_ms;
    store->now_ms = now_ms;
    if (outcome == OUTCOME_FINISHED) {
        held_release_children(store, held);
        write_skeleton(store, entry_at(store, index), started_ms);
        held_free(store, held);
        end_entry(store, index, true);
    } else {
        held_drop_children(store, held);
        held_free(store, held);
        crash_entry(store, index, error);
    }
}

static void
requeue(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    if (consumer_entry_of(store, entry->consumer)->is_dropping) {
        entry->place = ENTRY_DROPPING;
        drop_entry(store, index);
        return;
    }
    queue_return(store, index);
}

static void
unstart(struct store *store, struct entry *entry)
{
    if ((entry->flags & ENTRY_IS_STARTED) != 0) {
        entry->flags &= (uint8_t)~ENTRY_IS_STARTED;
        store->state_counts[TASK_STARTED]--;
        store->state_counts[TASK_SPAWNED]++;
    }
}

void
store_return(struct store *store, struct hold *hold, bool count_attempt, int64_t not_before_ms,
             int64_t now_ms)
{
    struct held *held = container_of(hold, struct held, hold);
    uint32_t index = held->entry;
    struct entry *entry = entry_at(store, index);
    store->now_ms = now_ms;
    held_drop_children(store, held);
    unstart(store, entry);
    if (count_attempt) {
        entry->attempt = (uint16_t)(entry->attempt < UINT16_MAX ? entry->attempt + 1 : UINT16_MAX);
        write_entry(store, entry, (struct span){0});
    }
    held_free(store, held);
    if (not_before_ms > now_ms) {
        struct delayed *delayed = xcalloc(1, sizeof *delayed);
        delayed->entry = index;
        entry->place = ENTRY_DELAYED;
        consumer_entry_of(store, entry->consumer)->queues[entry->priority].delayed_count++;
        heap_push(&store->delayed, &delayed->node, not_before_ms);
        return;
    }
    requeue(store, index);
}

static void
end_delay(struct store *store, struct delayed *delayed)
{
    const struct entry *entry = entry_at(store, delayed->entry);
    consumer_entry_of(store, entry->consumer)->queues[entry->priority].delayed_count--;
    heap_remove(&store->delayed, &delayed->node);
    requeue(store, delayed->entry);
    free(delayed);
}

void
delayed_drop(struct store *store, uint32_t consumer)
{
    size_t at = 0;
    while (at < store->delayed.len) {
        struct delayed *delayed = container_of(store->delayed.slots[at], struct delayed, node);
        if (entry_at(store, delayed->entry)->consumer != consumer) {
            at++;
            continue;
        }
        end_delay(store, delayed); // another takes its slot
        at = 0;
    }
}

void
delayed_due(struct store *store, int64_t now_ms)
{
    struct heap_node *node;
    while ((node = heap_first(&store->delayed)) != NULL && node->key <= now_ms) {
        struct delayed *delayed = container_of(node, struct delayed, node);
        end_delay(store, delayed);
    }
}

void
store_started(struct store *store, struct hold *hold, int64_t now_ms)
{
    struct held *held = container_of(hold, struct held, hold);
    struct entry *entry = entry_at(store, held->entry);
    if ((entry->flags & ENTRY_IS_STARTED) == 0) {
        entry->flags |= ENTRY_IS_STARTED;
        entry->changed_s = (uint32_t)(now_ms / 1000);
        held->started_ms = now_ms;
        store->state_counts[TASK_SPAWNED]--;
        store->state_counts[TASK_STARTED]++;
    }
}

void
store_rematched(struct store *store, struct hold *hold, uint64_t generation)
{
    struct held *held = container_of(hold, struct held, hold);
    hold->bind_generation = generation;
    entry_matched(entry_at(store, held->entry), generation);
}

bool
crashed_age(struct store *store, int64_t now_ms)
{
    struct heap_node *node;
    store->now_ms = now_ms;
    uint64_t slice_end = store->unrefs_count + LIMIT_INTENT_SLICE; // tasks and what they let go
    for (uint64_t dropped_count = 0; (node = heap_first(&store->crashing)) != NULL &&
                                     node->key + store->options.crashed_ttl_ms <= now_ms;
         dropped_count++) {
        if (store->unrefs_count + dropped_count >= slice_end) {
            return true;
        }
        drop_entry(store, container_of(node, struct consumer_entry, crashing)->crashed_head);
    }
    return false;
}

// ---- Damage

void
end_damaged(struct store *store, uint32_t index, const char *reason)
{
    struct entry *entry = entry_at(store, index);
    struct uid uid;
    uid_routed(store->id, entry_sequence(entry), &uid);
    struct uid root = analysis_at(store, entry->analysis)->root;
    uint32_t consumer = entry->consumer;
    store->damaged_count++;
    char text[UID_TEXT_SIZE];
    uid_format(&uid, text);
    log_error("RECORD-DAMAGED", "task=%s reason=\"%s\"", text, reason);
    struct origin origin = {0};
    struct task empty = {.headers = value_map()};
    bytes_clear(&store->scratch);
    store->options.codec->pack(&empty, &store->scratch);
    if (entry->place == ENTRY_WAITING) {
        queue_remove(store, index);
    }
    end_suspect(store, entry);
    entry->place = ENTRY_HELD; // out of every list
    entry->body = body_new(store, bytes_span(&store->scratch), 0, &origin);
    body_ref(store, entry->body);
    crash_entry(store, index, span_of_text("record damaged"));
    store->options.callbacks.on_task_ended(store->options.callbacks.arg, consumer, &uid, &root,
                                           OUTCOME_CRASHED, "record damaged");
}

static void
crashed_leave(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    if (entry->place == ENTRY_CRASHED && (entry->flags & ENTRY_IS_RELEASING) == 0) {
        crashed_remove(store, index);
        entry->flags |= ENTRY_IS_RELEASING;
    }
}

void
drop_entry(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    crashed_leave(store, index);
    if (entry->body == 0 && (entry->flags & (ENTRY_HAS_OBJECTS | ENTRY_HAS_BLOB)) != 0) {
        start_fetch(store, FETCH_DROP, index); // its record says what it refers to
        return;
    }
    if (entry->place == ENTRY_CRASHED) {
        consumer_entry_of(store, entry->consumer)->crashed_count--;
        analysis_forget_crashed(store, entry->analysis);
    }
    end_entry(store, index, false);
}

// ---- In doubt after a restart

void
make_suspect(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    queue_remove(store, index);
    entry->place = ENTRY_SUSPECT;
    consumer_entry_of(store, entry->consumer)->suspect_count++;
    store->suspects_count++;
}

void
end_suspect(struct store *store, struct entry *entry)
{
    if (entry->place == ENTRY_SUSPECT) {
        consumer_entry_of(store, entry->consumer)->suspect_count--;
        store->suspects_count--;
    }
}

size_t
store_suspect_count(const struct store *store, uint32_t number)
{
    const struct consumer_entry *consumer = consumer_entry_of(store, number);
    return consumer != NULL ? consumer->suspect_count : 0;
}

enum task_place
store_find_task(const struct store *store, const struct uid *uid, uint32_t *consumer,
                uint64_t *delivery)
{
    uint64_t sequence;
    uint32_t index = uid_sequence(uid, store->id, &sequence) ? entry_find(store, sequence) : 0;
    *delivery = 0;
    if (index == 0 || entry_at(store, index)->place == ENTRY_CHILD) {
        *consumer = 0;
        return PLACE_UNKNOWN;
    }
    const struct entry *entry = entry_at(store, index);
    *consumer = entry->consumer;
    switch ((enum entry_place)entry->place) {
    case ENTRY_HELD:
        return PLACE_HELD;
    case ENTRY_SUSPECT:
        return PLACE_SUSPECT;
    case ENTRY_CRASHED:
        return PLACE_CRASHED;
    default:
        return PLACE_WAITING;
    }
}

static void
hold_resumed(struct store *store, const struct fetch *fetch)
{
    uint32_t index = fetch->entry;
    struct entry *entry = entry_at(store, index);
    end_suspect(store, entry);
    struct held *held = held_new(store, index, fetch->delivery);
    held_adopt_children(store, held);
    if (fetch->is_started) {
        store_started(store, &held->hold, store->now_ms);
    }
    store->options.callbacks.on_resumed(store->options.callbacks.arg, fetch->request, &held->hold,
                                        false);
}

void
resume_fetched(struct store *store, const struct fetch *fetch)
{
    struct entry *entry = entry_at(store, fetch->entry);
    if (entry->place == ENTRY_SUSPECT && entry_sequence(entry) == fetch->sequence &&
        entry->body != 0) {
        hold_resumed(store, fetch);
    } else {
        store->options.callbacks.on_resumed(store->options.callbacks.arg, fetch->request, NULL,
                                            true);
    }
}

void
store_resume(struct store *store, uint32_t number, const struct uid *uid, uint64_t delivery,
             bool started, uint64_t request, int64_t now_ms)
{
    uint64_t sequence;
    uint32_t index = uid_sequence(uid, store->id, &sequence) ? entry_find(store, sequence) : 0;
    store->now_ms = now_ms;
    bool is_free = index != 0 && number_map_get(&store->holds, delivery) == NULL;
    struct entry *entry = index != 0 ? entry_at(store, index) : NULL;
    if (!is_free || entry->place != ENTRY_SUSPECT || entry->consumer != number ||
        delivery >= store->next_delivery) {
        struct resumed *resumed = xcalloc(1, sizeof *resumed);
        resumed->request = request;
        resumed->is_taken = index != 0;
        list_append(&store->resumed, &resumed->link); // told by store_poll, as every answer
        return;
    }
    struct fetch fetch = {.why = FETCH_RESUME,
                          .entry = index,
                          .sequence = sequence,
                          .delivery = delivery,
                          .request = request,
                          .is_started = started};
    fetch_entry(store, &fetch);
}

void
store_end_grace(struct store *store, uint32_t number, int64_t now_ms)
{
    store->now_ms = now_ms;
    for (size_t index = 0; index < store->suspects_len; index++) {
        uint32_t suspect = store->suspects[index];
        struct entry *entry = suspect != 0 ? entry_at(store, suspect) : NULL;
        bool is_same = entry != NULL && entry->place == ENTRY_SUSPECT &&
                       entry_sequence(entry) == store->suspect_sequences[index];
        if (!is_same || (number != 0 && entry->consumer != number)) {
            continue;
        }
        end_suspect(store, entry);
        queue_return(store, suspect);
        store->suspects[index] = 0;
    }
    if (number == 0) {
        store->suspects_len = 0;
        orphans_drop(store);
    }
}

void
store_settle_suspect(struct store *store, const struct uid *uid, enum outcome outcome,
                     struct span error, int64_t now_ms)
{
    uint64_t sequence;
    uint32_t index = uid_sequence(uid, store->id, &sequence) ? entry_find(store, sequence) : 0;
    store->now_ms = now_ms;
    if (index == 0 || entry_at(store, index)->place != ENTRY_SUSPECT) {
        return;
    }
    struct fetch fetch = {
        .why = FETCH_SETTLE, .entry = index, .sequence = sequence, .outcome = outcome};
    fetch.error_len = error.len;
    if (entry_at(store, index)->body != 0) {
        // Recovery read it: the end is in the batch that the answer waits for.
        fetch.error = (char *)(uintptr_t)error.data;
        settle_fetched(store, &fetch);
        return;
    }
    fetch.error = xmemdup(error.data, error.len);
    fetch_entry(store, &fetch);
}

void
settle_fetched(struct store *store, const struct fetch *fetch)
{
    struct entry *entry = entry_at(store, fetch->entry);
    if (entry->place == ENTRY_SUSPECT && entry_sequence(entry) == fetch->sequence &&
        entry->body != 0) {
        struct uid uid;
        uid_routed(store->id, entry_sequence(entry), &uid);
        orphans_settle(store, &uid, fetch->outcome);
        end_suspect(store, entry);
        entry->place = ENTRY_HELD;
        if (fetch->outcome == OUTCOME_FINISHED) {
            write_skeleton(store, entry, 0);
            end_entry(store, fetch->entry, true);
        } else {
            crash_entry(store, fetch->entry, span_of(fetch->error, fetch->error_len));
        }
    }
}

// ---- Retry

enum zkt_err
store_retry(struct store *store, const struct uid *uid, uint64_t request, int64_t now_ms)
{
    uint64_t sequence;
    uint32_t index = uid_sequence(uid, store->id, &sequence) ? entry_find(store, sequence) : 0;
    store->now_ms = now_ms;
    if (index == 0 || (entry_at(store, index)->flags & ENTRY_IS_RELEASING) != 0) {
        return ZKT_NOT_FOUND;
    }
    struct entry *entry = entry_at(store, index);
    if (entry->place != ENTRY_CRASHED || consumer_entry_of(store, entry->consumer)->is_dropping) {
        return ZKT_IN_USE;
    }
    // The new task (S12, I4) is made when the body of the old one is there; until then the analysis
    // lives.
    crashed_leave(store, index);
    analysis_enter(store, entry->analysis);
    struct fetch fetch = {
        .why = FETCH_RETRY, .entry = index, .sequence = sequence, .request = request};
    fetch_entry(store, &fetch);
    return ZKT_OK;
}

void
retry_failed(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    entry->flags &= (uint8_t)~ENTRY_IS_RELEASING;
    store->state_counts[TASK_CRASHED]--;
    consumer_entry_of(store, entry->consumer)->crashed_count--;
    crashed_append(store, index);
    analysis_leave(store, entry->analysis, false, false);
}

void
retry_fetched(struct store *store, const struct fetch *fetch)
{
    struct entry *old = entry_at(store, fetch->entry);
    zkt_assert(old->place == ENTRY_CRASHED); // crashed_leave gave it to this retry alone
    zkt_assert(old->body != 0);
    struct uid old_uid;
    uid_routed(store->id, entry_sequence(old), &old_uid);
    const struct body *old_body = body_at(store, old->body);
    struct origin origin = old_body->origin;
    origin.retry_of = old_uid;
    origin.created_ms = store->now_ms;
    struct analysis *analysis = analysis_at(store, old->analysis);
    uint64_t sequence = store->next_sequence++;
    uint32_t index = entry_new(store, sequence, &analysis->root, store->now_ms);
    struct entry *entry = entry_at(store, index);
    old = entry_at(store, fetch->entry);
    entry->consumer = old->consumer;
    consumer_entry_of(store, entry->consumer)->entries_count++;
    entry->generation = old->generation;
    entry->priority = old->priority;
    entry->changed_s = (uint32_t)(store->now_ms / 1000);
    entry->flags = old->flags & ENTRY_HAS_OBJECTS;
    entry->body = body_new(store, span_of(old_body->data, old_body->len), 0, &origin);
    body_ref(store, entry->body);
    struct task task = {0};
    struct arena arena;
    arena_init(&arena);
    if (store->options.codec->unpack(span_of(old_body->data, old_body->len), &arena, &task)) {
        objects_ref(store, &task);
    }
    arena_fini(&arena);
    entry->place = ENTRY_WAITING;
    write_entry(store, entry, (struct span){0});
    body_may_go(store, entry->body, index);
    store->state_counts[TASK_SPAWNED]++;
    consumer_entry_of(store, entry->consumer)->crashed_count--;
    analysis_forget_crashed(store, entry->analysis);
    end_entry(store, fetch->entry, false);
    queue_append(store, index);
    struct uid retried;
    uid_routed(store->id, sequence, &retried);
    store->options.callbacks.on_retried(store->options.callbacks.arg, fetch->request, &retried);
}
