// Children of transactional parents: held invisible until the parent is Finished, then released in
// slices by an intent that is in the same commit; dropped before the parent's task is offered
// again. So a retry never doubles a subtree.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/local/state.h"

static struct held *
take_free(struct store *store)
{
    struct list_link *link = list_first(&store->holds_free);
    if (link == NULL) {
        return xmalloc(sizeof(struct held));
    }
    list_remove(link);
    return container_of(link, struct held, link);
}

struct held *
held_new(struct store *store, uint32_t index, uint64_t delivery)
{
    struct entry *entry = entry_at(store, index);
    const struct body *body = body_at(store, entry->body);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    struct held *held = take_free(store);
    *held = (struct held){.entry = index,
                          .body = entry->body,
                          .hold = {.delivery = delivery,
                                   .root = analysis_at(store, entry->analysis)->root,
                                   .parent = body->origin.parent,
                                   .orig = body->origin.orig,
                                   .retry_of = body->origin.retry_of,
                                   .consumer = entry->consumer,
                                   .priority = (enum priority)entry->priority,
                                   .attempt = entry->attempt,
                                   .bind_generation = entry->generation,
                                   .changed_ms = (int64_t)entry->changed_s * 1000,
                                   .body = span_of(body->data, body->len)}};
    uid_routed(store->id, entry_sequence(entry), &held->hold.uid);
    body_ref(store, held->body);
    entry->place = ENTRY_HELD;
    consumer->held_count++;
    list_append(&consumer->holds, &held->link);
    number_map_put(&store->holds, delivery, held);
    return held;
}

void
held_free(struct store *store, struct held *held)
{
    (void)number_map_remove(&store->holds, held->hold.delivery);
    consumer_entry_of(store, held->hold.consumer)->held_count--;
    body_unref(store, held->body);
    free(held->objects);
    held->objects = NULL;
    list_remove(&held->link);
    list_prepend(&store->holds_free, &held->link);
}

static void
write_child(struct store *store, uint64_t delivery, uint64_t sequence, const struct task *child,
            struct span body)
{
    struct bytes uids = {0};
    struct task_record record = {
        .sequence = sequence,
        .priority = child->priority,
        .root = child->root,
        .parent = child->parent,
        .orig = child->uid, // the unrouted uid: what its copies will name as theirs
        .changed_ms = store->now_ms,
        .created_ms = store->now_ms,
        .objects = objects_of(store, child, &uids),
        .body = body};
    struct key key = key_held(delivery, sequence);
    bytes_clear(&store->value);
    format_task(&key, &record, &store->value);
    put_record(store, &key, &store->value);
    bytes_fini(&uids);
}

static uint32_t
child_entry(struct store *store, uint64_t sequence, const struct uid *root, enum priority priority,
            bool has_objects)
{
    uint32_t index = entry_new(store, sequence, root, store->now_ms);
    struct entry *entry = entry_at(store, index);
    entry->place = ENTRY_CHILD;
    entry->priority = priority & 0xf;
    entry->changed_s = (uint32_t)(store->now_ms / 1000);
    entry->flags = has_objects ? ENTRY_HAS_OBJECTS : 0;
    analysis_enter(store, entry->analysis);
    store->state_counts[TASK_DECLARED]++;
    return index;
}

static struct child *
child_new(uint32_t index, const struct uid *uid, const struct uid *parent)
{
    struct child *child = xcalloc(1, sizeof *child);
    child->entry = index;
    child->uid = *uid;
    child->parent = *parent;
    return child;
}

enum zkt_err
store_hold_child(struct store *store, struct hold *parent, const struct task *task, int64_t now_ms)
{
    struct held *held = container_of(parent, struct held, hold);
    store->now_ms = now_ms;
    bytes_clear(&store->scratch);
    store->options.codec->pack(task, &store->scratch);
    struct span body = bytes_span(&store->scratch);
    if (held->children_count >= LIMIT_HELD_CHILDREN ||
        held->children_bytes + body.len > LIMIT_HELD_CHILDREN_BYTES) {
        return ZKT_HELD_LIMIT;
    }
    uint64_t sequence = store->next_sequence++;
    uint32_t index =
        child_entry(store, sequence, &task->root, task->priority, task->resources_count > 0);
    struct entry *entry = entry_at(store, index);
    struct origin origin = {.parent = task->parent, .orig = task->uid, .created_ms = now_ms};
    entry->body = body_new(store, body, 0, &origin);
    body_ref(store, entry->body);
    body_at(store, entry->body)->pinned_batch = store->open_number;
    objects_ref(store, task);
    write_child(store, parent->delivery, sequence, task, body);
    struct child *child = child_new(index, &task->uid, &task->parent);
    *(held->child_last != NULL ? &held->child_last->next : &held->child_first) = child;
    held->child_last = child;
    held->children_count++;
    held->children_bytes += body.len;
    return ZKT_OK;
}

// Ends one child: dropped, or released and forked by now. Its objects' references go with its body.
static void
end_child(struct store *store, uint64_t delivery, struct child *child)
{
    struct entry *entry = entry_at(store, child->entry);
    struct key key = key_held(delivery, entry_sequence(entry));
    delete_record(store, &key);
    if (child->objects.len > 0) {
        objects_unref_uids(store, bytes_span(&child->objects), &child->uid);
    } else if (entry->body != 0) {
        struct body *body = body_at(store, entry->body);
        objects_unref(store, span_of(body->data, body->len), &child->uid);
    }
    bytes_fini(&child->objects);
    uint64_t sequence = entry_sequence(entry);
    map_remove(store->children, &sequence, sizeof sequence);
    store->state_counts[TASK_DECLARED]--;
    analysis_leave(store, entry->analysis, false, false);
    entry_free(store, child->entry);
    free(child);
}

static void
drop_list(struct store *store, uint64_t delivery, struct child *first)
{
    while (first != NULL) {
        struct child *next = first->next;
        end_child(store, delivery, first);
        first = next;
    }
}

void
held_drop_children(struct store *store, struct held *held)
{
    drop_list(store, held->hold.delivery, held->child_first);
    held->child_first = held->child_last = NULL;
    held->children_count = 0;
}

static void
begin_release(struct store *store, uint64_t delivery, struct child *first)
{
    struct release *release = xcalloc(1, sizeof *release);
    release->number = store->next_intent++;
    release->delivery = delivery;
    release->first = first;
    struct key key = key_number(RECORD_INTENT, release->number);
    struct intent_value intent = {.what = INTENT_RELEASE, .delivery = delivery};
    bytes_clear(&store->value);
    format_intent(&key, &intent, &store->value);
    put_record(store, &key, &store->value);
    list_append(&store->releases, &release->link);
    store->intents_count++;
}

void
held_release_children(struct store *store, struct held *held)
{
    if (held->child_first == NULL) {
        return;
    }
    begin_release(store, held->hold.delivery, held->child_first);
    held->child_first = held->child_last = NULL;
    held->children_count = 0;
}

// A child whose record does not verify is never forked: it is gone, loudly.
static void
child_lost(struct store *store, const struct child *child)
{
    const struct entry *entry = entry_at(store, child->entry);
    struct uid root = analysis_at(store, entry->analysis)->root;
    store->damaged_count++;
    char text[UID_TEXT_SIZE];
    uid_format(&child->uid, text);
    log_error("RECORD-DAMAGED", "task=%s reason=\"held child\"", text);
    store->options.callbacks.on_task_ended(store->options.callbacks.arg, 0, &child->uid, &root,
                                           OUTCOME_CRASHED, "record damaged");
}

// False: its body must be read first.
static bool
release_one(struct store *store, struct release *release)
{
    struct child *child = release->first;
    struct entry *entry = entry_at(store, child->entry);
    if ((entry->flags & ENTRY_IS_DAMAGED) != 0) {
        release->first = child->next;
        child_lost(store, child);
        end_child(store, release->delivery, child);
        return true;
    }
    if (entry->body == 0) {
        if (!child->is_fetching) {
            child->is_fetching = true;
            start_fetch(store, FETCH_CHILD, child->entry);
        }
        return false;
    }
    const struct body *body = body_at(store, entry->body);
    struct task task = {
        .uid = child->uid, .parent = child->parent, .priority = (enum priority)entry->priority};
    struct arena arena;
    arena_init(&arena);
    task.root = analysis_at(store, entry->analysis)->root;
    if (store->options.codec->unpack(span_of(body->data, body->len), &arena, &task)) {
        store->options.callbacks.on_release(store->options.callbacks.arg, &task, release->number);
    }
    arena_fini(&arena);
    release->first = child->next;
    end_child(store, release->delivery, child);
    return true;
}

void
store_release_matched(struct store *store, uint64_t release, const struct task *task,
                      const uint32_t *consumers, size_t consumers_count, int64_t now_ms)
{
    (void)release; // the child is ended when on_release has returned
    store_submit(store, task, consumers, consumers_count, now_ms);
}

bool
releases_turn(struct store *store, int64_t now_ms)
{
    store->now_ms = now_ms;
    int slice = LIMIT_INTENT_SLICE;
    struct list_link *link = list_first(&store->releases);
    while (link != NULL && slice > 0) {
        struct list_link *next = list_next(&store->releases, link);
        struct release *release = container_of(link, struct release, link);
        while (release->first != NULL && slice-- > 0 && release_one(store, release)) {
        }
        if (release->first == NULL) {
            struct key key = key_number(RECORD_INTENT, release->number);
            delete_record(store, &key);
            list_remove(link);
            free(release);
            store->intents_count--;
        }
        link = next;
    }
    return slice <= 0;
}

// ---- After a restart

uint64_t
child_delivery(const struct store *store, uint32_t index)
{
    uint64_t sequence = entry_sequence(entry_at(store, index));
    const struct child *child = map_get(store->children, &sequence, sizeof sequence);
    return child != NULL ? child->delivery : 0;
}

static struct release *
orphans_of(struct store *store, uint64_t delivery)
{
    struct release *orphans = map_get(store->orphans, &delivery, sizeof delivery);
    if (orphans == NULL) {
        orphans = xcalloc(1, sizeof *orphans);
        orphans->delivery = delivery;
        map_put(store->orphans, &delivery, sizeof delivery, orphans);
    }
    return orphans;
}

void
child_adopt(struct store *store, uint64_t delivery, uint32_t index,
            const struct task_record *record)
{
    struct release *orphans = orphans_of(store, delivery);
    struct child *child = child_new(index, &record->orig, &record->parent);
    bytes_append(&child->objects, record->objects.data, record->objects.len);
    child->delivery = delivery;
    map_put(store->children, &record->sequence, sizeof record->sequence, child);
    struct child **end = &orphans->first;
    if (orphans->last != NULL) {
        end = &orphans->last->next;
    }
    *end = child;
    orphans->last = child;
}

void
release_adopt(struct store *store, uint64_t number, uint64_t delivery)
{
    struct release *release = map_remove(store->orphans, &delivery, sizeof delivery);
    if (release == NULL) {
        release = xcalloc(1, sizeof *release);
        release->delivery = delivery;
    }
    release->number = number;
    list_append(&store->releases, &release->link);
    store->intents_count++;
}

// The children of a hold that is resumed are its again.
void
held_adopt_children(struct store *store, struct held *held)
{
    struct release *orphans =
        map_remove(store->orphans, &held->hold.delivery, sizeof held->hold.delivery);
    if (orphans == NULL) {
        return;
    }
    held->child_first = orphans->first;
    held->child_last = orphans->last;
    for (struct child *child = orphans->first; child != NULL; child = child->next) {
        held->children_count++;
    }
    free(orphans);
}

// Children of deliveries that nobody resumed: their parents run again and send them anew.
void
orphans_drop(struct store *store)
{
    struct map_cursor cursor = {0};
    while (map_next(store->orphans, &cursor)) {
        struct release *orphans = cursor.value;
        map_remove(store->orphans, cursor.key, cursor.key_len);
        drop_list(store, orphans->delivery, orphans->first);
        free(orphans);
    }
}

void
orphans_settle(struct store *store, const struct uid *parent, enum outcome outcome)
{
    struct map_cursor cursor = {0};
    while (map_next(store->orphans, &cursor)) {
        struct release *orphans = cursor.value;
        if (orphans->first == NULL || !uid_equal(&orphans->first->parent, parent)) {
            continue;
        }
        map_remove(store->orphans, cursor.key, cursor.key_len);
        if (outcome == OUTCOME_FINISHED) {
            begin_release(store, orphans->delivery, orphans->first);
        } else {
            drop_list(store, orphans->delivery, orphans->first);
        }
        free(orphans);
    }
}
