// Path of a task, step 6 of 10: fork, queue. From core/route.c, to records.h.
//
// Per consumer and priority a queue in order of sequence, and a line of returned tasks that goes
// first; strict priority, FIFO inside (S20, P3). Only durable tasks at or below the durable
// dispatch mark are offered: what was never offered cannot be held by anybody, so after a restart
// only what is at or below the mark is in doubt.
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/state.h"

enum { MARK_AHEAD_MIN = 256, FETCH_AHEAD_MAX = 256, SHARED_BODY_MIN = 2048 };

static struct queue *
queue_of(const struct store *store, const struct entry *entry)
{
    return &consumer_entry_of(store, entry->consumer)->queues[entry->priority];
}

void
consumer_dirty(struct store *store, struct consumer_entry *consumer)
{
    if (!list_is_linked(&consumer->dirty_link)) {
        list_append(&store->dirty_consumers, &consumer->dirty_link);
    }
}

void
consumer_wanting(struct store *store, struct consumer_entry *consumer)
{
    if (!list_is_linked(&consumer->wanting_link)) {
        list_append(&store->wanting, &consumer->wanting_link);
    }
}

void
queue_append(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    struct queue *queue = &consumer->queues[entry->priority];
    entry->place = ENTRY_WAITING;
    entry->next = 0;
    entry->prev = queue->tail;
    *(queue->tail != 0 ? &entry_at(store, queue->tail)->next : &queue->head) = index;
    queue->tail = index;
    queue->waiting_count++;
    if (consumer->want > 0) {
        // Somebody waits and will get this one: the mark moves by this task's own commit.
        bool is_next = queue->waiting_count <= (uint64_t)consumer->want * 2;
        if (is_next && entry_sequence(entry) > queue->mark_wanted) {
            queue->mark_wanted = entry_sequence(entry);
            consumer_dirty(store, consumer);
        }
        consumer_wanting(store, consumer);
    }
}

// Into the line of returned tasks, which is in order of sequence.
void
queue_return(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    struct queue *queue = &consumer->queues[entry->priority];
    entry->place = ENTRY_WAITING;
    entry->flags |= ENTRY_WAS_RETURNED;
    if (entry->body != 0) {
        body_may_go(store, entry->body, index);
    }
    uint32_t after = queue->returned_tail;
    while (after != 0 && entry_sequence(entry_at(store, after)) > entry_sequence(entry)) {
        after = entry_at(store, after)->prev;
    }
    entry->prev = after;
    entry->next = after != 0 ? entry_at(store, after)->next : queue->returned_head;
    *(after != 0 ? &entry_at(store, after)->next : &queue->returned_head) = index;
    *(entry->next != 0 ? &entry_at(store, entry->next)->prev : &queue->returned_tail) = index;
    queue->waiting_count++;
    if (consumer->want > 0) {
        consumer_wanting(store, consumer);
    }
}

void
queue_remove(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct queue *queue = queue_of(store, entry);
    zkt_assert(entry->place == ENTRY_WAITING);
    bool is_returned = (entry->flags & ENTRY_WAS_RETURNED) != 0;
    uint32_t *head = is_returned ? &queue->returned_head : &queue->head;
    uint32_t *tail = is_returned ? &queue->returned_tail : &queue->tail;
    *(entry->prev != 0 ? &entry_at(store, entry->prev)->next : head) = entry->next;
    *(entry->next != 0 ? &entry_at(store, entry->next)->prev : tail) = entry->prev;
    entry->prev = 0;
    entry->next = 0;
    entry->flags &= (uint8_t)~ENTRY_WAS_RETURNED;
    queue->waiting_count--;
}

// ---- Forking

static void
write_task(struct store *store, const struct entry *entry, const struct task *task,
           struct span objects, struct span body, uint64_t body_number)
{
    struct task_record record = {.sequence = entry_sequence(entry),
                                 .consumer = entry->consumer,
                                 .priority = (enum priority)entry->priority,
                                 .attempt = entry->attempt,
                                 .root = task->root,
                                 .parent = task->parent,
                                 .orig = task->orig,
                                 .retry_of = task->retry_of,
                                 .changed_ms = store->now_ms,
                                 .created_ms = store->now_ms,
                                 .generation = entry->generation,
                                 .body_number = body_number,
                                 .objects = objects};
    if (body_number == 0) {
        record.body = body;
    }
    struct key key =
        key_task(entry->consumer, (enum priority)entry->priority, entry_sequence(entry));
    bytes_clear(&store->value);
    format_task(&key, &record, &store->value);
    put_record(store, &key, &store->value);
}

static uint64_t
share_body(struct store *store, struct span body, const struct origin *origin, uint32_t *body_index)
{
    uint64_t number = store->next_body++;
    struct key key = key_body(number);
    bytes_clear(&store->value);
    format_blob(&key, body, &store->value);
    put_record(store, &key, &store->value);
    *body_index = body_new(store, body, number, origin);
    struct blob *blob = xcalloc(1, sizeof *blob);
    blob->body = *body_index;
    map_put(store->blob_refs, &number, sizeof number, blob);
    return number;
}

static uint32_t
fork_one(struct store *store, const struct task *task, uint32_t number, struct span objects)
{
    struct consumer_entry *consumer = consumer_entry_of(store, number);
    uint64_t sequence = store->next_sequence++;
    uint32_t index = entry_new(store, sequence, &task->root, store->now_ms);
    struct entry *entry = entry_at(store, index);
    entry->consumer = number;
    entry_matched(entry, consumer->generation);
    entry->changed_s = (uint32_t)(store->now_ms / 1000);
    entry->priority = task->priority & 0xf;
    entry->flags = objects.len > 0 ? ENTRY_HAS_OBJECTS : 0;
    consumer->entries_count++;
    analysis_enter(store, entry->analysis);
    objects_ref(store, task);
    store->state_counts[TASK_SPAWNED]++;
    return index;
}

void
store_submit(struct store *store, const struct task *task, const uint32_t *consumers,
             size_t consumers_count, int64_t now_ms)
{
    store->now_ms = now_ms;
    analysis_prefetch(store, &task->root);
    bytes_clear(&store->scratch);
    store->options.codec->pack(task, &store->scratch);
    analysis_prefetch_item(store, &task->root);
    struct span body = bytes_span(&store->scratch);
    struct bytes uids = {0};
    struct span objects = objects_of(store, task, &uids);
    bool is_shared = consumers_count > 1 && (consumers_count - 1) * body.len > SHARED_BODY_MIN;
    // The unrouted task is of the analysis until it is forked, so that one without takers is done
    // at once (S4).
    uint32_t analysis = analysis_get(store, &task->root, now_ms);
    analysis_enter(store, analysis);
    struct task routed = *task;
    routed.orig = task->uid; // S6
    struct origin origin = {.parent = task->parent, .orig = task->uid, .created_ms = now_ms};
    uint32_t body_index = 0;
    uint64_t body_number = is_shared ? share_body(store, body, &origin, &body_index) : 0;
    for (size_t fork_index = 0; fork_index < consumers_count; fork_index++) {
        uint32_t index = fork_one(store, &routed, consumers[fork_index], objects);
        if (!is_shared) {
            body_index = body_new(store, body, 0, &origin);
        } else {
            entry_at(store, index)->flags |= ENTRY_HAS_BLOB;
            ((struct blob *)map_get(store->blob_refs, &body_number, sizeof body_number))
                ->refs_count++;
        }
        body_ref(store, body_index);
        body_at(store, body_index)->pinned_batch = store->open_number;
        entry_at(store, index)->body = body_index;
        write_task(store, entry_at(store, index), &routed, objects, body, body_number);
        body_may_go(store, body_index, index);
        queue_append(store, index);
    }
    bytes_fini(&uids);
    analysis_leave(store, analysis, false, false);
    analysis_maybe_done(store, analysis);
}

// ---- Offering

void
store_want(struct store *store, uint32_t number, uint32_t n)
{
    struct consumer_entry *consumer = consumer_entry_of(store, number);
    if (consumer == NULL) {
        return;
    }
    consumer->want = n;
    if (n > 0) {
        consumer_wanting(store, consumer);
    }
}

static uint32_t
first_waiting(const struct consumer_entry *consumer, enum priority *priority)
{
    for (int level = 0; level < PRIORITIES_COUNT; level++) {
        const struct queue *queue = &consumer->queues[level];
        *priority = (enum priority)level;
        if (queue->returned_head != 0) {
            return queue->returned_head;
        }
        if (queue->head != 0) {
            return queue->head;
        }
    }
    return 0;
}

// Moves the mark ahead of need: over twice of what is wanted, at least MARK_AHEAD_MIN tasks.
static void
raise_mark(struct store *store, struct consumer_entry *consumer, struct queue *queue)
{
    uint64_t ahead = (uint64_t)consumer->want * 2 > MARK_AHEAD_MIN ? (uint64_t)consumer->want * 2
                                                                   : MARK_AHEAD_MIN;
    uint32_t index = queue->head;
    uint64_t sequence = 0;
    for (; index != 0 && ahead > 0; ahead--) {
        sequence = entry_sequence(entry_at(store, index));
        index = entry_at(store, index)->next;
    }
    if (sequence > queue->mark_wanted) {
        queue->mark_wanted = sequence;
        consumer_dirty(store, consumer);
    }
}

void
offer_now(struct store *store, uint32_t index)
{
    struct entry *entry = entry_at(store, index);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    struct held *held = held_new(store, index, store->next_delivery++);
    consumer->want -= consumer->want > 0;
    store->options.callbacks.on_offer(store->options.callbacks.arg, &held->hold);
}

// Asks for the bodies of the next tasks. They stay in their queue, so that none overtakes another.
static void
read_ahead(struct store *store, struct consumer_entry *consumer, uint32_t index)
{
    uint64_t most = consumer->want < FETCH_AHEAD_MAX ? consumer->want : FETCH_AHEAD_MAX;
    if (consumer->fetching_count > most / 2) {
        return;
    }
    for (uint64_t step = 0; step < most && index != 0; step++) {
        struct entry *entry = entry_at(store, index);
        if (entry->body == 0 && (entry->flags & ENTRY_IS_FETCHING) == 0) {
            entry->flags |= ENTRY_IS_FETCHING;
            consumer->fetching_count++;
            start_fetch(store, FETCH_OFFER, index);
        }
        index = entry->next;
    }
}

// False: nothing more can be offered now.
static bool
offer_one(struct store *store, struct consumer_entry *consumer)
{
    enum priority priority;
    uint32_t index = first_waiting(consumer, &priority);
    if (index == 0 || store->next_delivery >= store->delivery_bound_durable) {
        return false;
    }
    struct entry *entry = entry_at(store, index);
    struct queue *queue = &consumer->queues[priority];
    if (entry_sequence(entry) > queue->mark_durable) {
        raise_mark(store, consumer, queue);
        return false;
    }
    if (entry_sequence(entry) > store->durable_sequence) {
        return false;
    }
    if (entry->body == 0) {
        read_ahead(store, consumer, index);
        return false;
    }
    queue_remove(store, index);
    offer_now(store, index);
    if (queue->head != 0 && entry_sequence(entry_at(store, queue->head)) > queue->mark_durable) {
        raise_mark(store, consumer, queue);
    }
    return true;
}

void
offer_all(struct store *store)
{
    struct list again;
    list_init(&again);
    struct list_link *link;
    while ((link = list_first(&store->wanting)) != NULL) {
        struct consumer_entry *consumer = container_of(link, struct consumer_entry, wanting_link);
        list_remove(link);
        while (!consumer->is_dropping && consumer->want > 0) {
            if (!offer_one(store, consumer)) {
                break;
            }
        }
        enum priority priority;
        bool is_waiting = first_waiting(consumer, &priority) != 0;
        if (!consumer->is_dropping && consumer->want > 0 && is_waiting) {
            list_append(&again, link); // the next durable batch may allow more
        }
    }
    while ((link = list_first(&again)) != NULL) {
        list_remove(link);
        list_append(&store->wanting, link);
    }
}
