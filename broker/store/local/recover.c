// What a restart reads: the headers of all records, in key order, never the bodies. A task whose
// header does not verify is set aside as a Q record and health turns red; a consumer or a number of
// ours that does not verify ends the start: nothing is guessed. Tasks at or below the dispatch mark
// of a consumer that had workers are suspect; all others wait.
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/local/scan.h"
#include "store/local/state.h"

// A suspect task whose body is shared.
struct suspect_body {
    struct store *store;
    uint32_t index;
    uint64_t number;
    struct origin origin;
};

// Tables that grow one by one cost a restart twice the time.
enum { RESERVE_MAX = 1 << 28 };

enum { SEEN_VERSION = 1, SEEN_STORE = 2, SEEN_SEQUENCE = 4, SEEN_ALL = 7 };

struct recovery {
    struct store *store;
    struct problem *problem;
    bool has_failed;
    bool is_new;
    unsigned seen; // numbers without which nothing can go on
    struct suspect_body *shared;
    size_t shared_len, shared_capacity;
    bool has_workers; // of the consumer being read
    uint32_t consumer;
};

static void
hex_of(struct span key, char text[2 * RECORD_KEY_MAX + 1])
{
    hex_format(key.data, key.len < RECORD_KEY_MAX ? key.len : RECORD_KEY_MAX, text);
}

static bool
corrupt(struct recovery *recovery, struct span key, const char *reason)
{
    char text[2 * RECORD_KEY_MAX + 1];
    hex_of(key, text);
    problem_set(recovery->problem, ZKT_STORE_CORRUPT,
                "the store's record %c %s is damaged: %s. Look with zkarton store check",
                key.len > 0 ? key.data[0] : '?', text, reason);
    recovery->has_failed = true;
    return false;
}

static bool
unknown_version(struct recovery *recovery, uint64_t number)
{
    problem_set(recovery->problem, ZKT_STORE_VERSION,
                "the store has format %llu; this broker knows %d", (unsigned long long)number,
                STORE_FORMAT_VERSION);
    recovery->has_failed = true;
    return false;
}

// Keeps what cannot be read for a person to look at, out of the way.
static bool
set_aside(struct recovery *recovery, struct span key, struct span value, const char *reason)
{
    struct store *store = recovery->store;
    char text[2 * RECORD_KEY_MAX + 1];
    hex_of(key, text);
    log_error("RECORD-DAMAGED", "key=%s reason=\"%s\"", text, reason);
    struct key aside = {.len = 1};
    aside.bytes[0] = RECORD_DAMAGED;
    size_t len = key.len < RECORD_KEY_MAX - 1 ? key.len : RECORD_KEY_MAX - 1;
    memcpy(aside.bytes + 1, key.data, len);
    aside.len += len;
    record_put(&store->open, key_span(&aside), value);
    record_delete(&store->open, key);
    store->damaged_count++;
    return true;
}

static bool
visit_meta(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    uint64_t number;
    const char *reason;
    struct span name = span_of(key.data + 1, key.len - 1);
    recovery->is_new = false;
    if (span_equal(name, span_of_text("version")) && value.len > 0 &&
        value.data[0] != STORE_FORMAT_VERSION) {
        return unknown_version(recovery, value.data[0]);
    }
    if (!parse_number(key, value, &number, &reason)) {
        return corrupt(recovery, key, reason);
    }
    if (span_equal(name, span_of_text("version"))) {
        recovery->seen |= SEEN_VERSION;
        if (number != STORE_FORMAT_VERSION) {
            return unknown_version(recovery, number);
        }
    } else if (span_equal(name, span_of_text("store"))) {
        recovery->seen |= SEEN_STORE;
        store->id = number;
    } else if (span_equal(name, span_of_text("tasks"))) {
        index_hash_reserve(&store->entry_hash, number < RESERVE_MAX ? number : RESERVE_MAX);
    } else if (span_equal(name, span_of_text("analyses"))) {
        index_hash_reserve(&store->analysis_hash, number < RESERVE_MAX ? number : RESERVE_MAX);
    } else if (span_equal(name, span_of_text("sequence"))) {
        recovery->seen |= SEEN_SEQUENCE;
        store->next_sequence = number;
    } else if (span_equal(name, span_of_text("delivery"))) {
        store->next_delivery = number;
    } else if (span_equal(name, span_of_text("body"))) {
        store->next_body = number;
    } else if (span_equal(name, span_of_text("consumer"))) {
        store->next_consumer = (uint32_t)number;
    }
    return true;
}

static bool
visit_consumer(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    uint32_t number;
    struct consumer_value record;
    const char *reason;
    if (!parse_consumer(key, value, &number, &record, &reason)) {
        return corrupt(recovery, key, reason);
    }
    struct consumer_entry *consumer = consumer_make(store, number);
    if (!bind_unpack(store, consumer, &record)) {
        return corrupt(recovery, key, "its bind cannot be read");
    }
    for (int level = 0; level < PRIORITIES_COUNT; level++) {
        struct queue *queue = &consumer->queues[level];
        queue->mark_wanted = queue->mark_committing = queue->mark_durable = record.marks[level];
    }
    if (consumer->is_dropping) {
        list_append(&store->dropping, &consumer->dropping_link);
        store->intents_count++;
    }
    if (number > store->next_consumer) {
        store->next_consumer = number;
    }
    return true;
}

static bool
visit_instance(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    struct uid uid;
    struct instance_value record;
    const char *reason;
    if (!parse_instance(key, value, &uid, &record, &reason)) {
        return corrupt(recovery, key, reason);
    }
    struct instance_entry *instance = instance_make(recovery->store, &uid);
    instance->last_number = record.last_number;
    instance->consumer = record.consumer;
    instance->seen_ms = record.seen_ms;
    instance->is_missing = record.consumer != 0;
    bytes_append(&instance->errors, record.errors.data, record.errors.len);
    return true;
}

static void
ref_objects(struct store *store, struct span uids)
{
    for (size_t at = 0; at + sizeof(struct uid) <= uids.len; at += sizeof(struct uid)) {
        struct uid uid;
        memcpy(&uid, uids.data + at, sizeof uid);
        object_ref_uid(store, &uid);
    }
}

static void
ref_blob(struct store *store, struct entry *entry, uint64_t number)
{
    if (number == 0) {
        return;
    }
    struct blob *blob = map_get(store->blob_refs, &number, sizeof number);
    if (blob == NULL) {
        blob = xcalloc(1, sizeof *blob);
        map_put(store->blob_refs, &number, sizeof number, blob);
    }
    blob->refs_count++;
    entry->flags |= ENTRY_HAS_BLOB;
}

static uint32_t
adopt(struct store *store, const struct task_record *record)
{
    uint32_t index = entry_new(store, record->sequence, &record->root, record->created_ms);
    struct entry *entry = entry_at(store, index);
    entry->consumer = record->consumer;
    entry_matched(entry, record->generation);
    entry->changed_s = (uint32_t)(record->changed_ms / 1000);
    entry->attempt = (uint16_t)(record->attempt < UINT16_MAX ? record->attempt : UINT16_MAX);
    entry->priority = record->priority & 0xf;
    entry->flags = record->objects.len > 0 ? ENTRY_HAS_OBJECTS : 0;
    ref_objects(store, record->objects);
    ref_blob(store, entry, record->body_number);
    if (record->sequence >= store->next_sequence) {
        store->next_sequence = record->sequence + 1;
    }
    return index;
}

static void
suspect(struct store *store, uint32_t index)
{
    if (store->suspects_len == store->suspects_capacity) {
        store->suspects_capacity = store->suspects_capacity * 2 + 64;
        store->suspects =
            xrealloc(store->suspects, store->suspects_capacity * sizeof *store->suspects);
        store->suspect_sequences = xrealloc(
            store->suspect_sequences, store->suspects_capacity * sizeof *store->suspect_sequences);
    }
    store->suspects[store->suspects_len] = index;
    store->suspect_sequences[store->suspects_len++] = entry_sequence(entry_at(store, index));
    make_suspect(store, index);
}

// Somebody may report or resume a suspect at once, so its body is read now: what a report ends is
// in the batch that its answer waits for. A body that does not verify is found out by the fetcher.
static void
load_suspect(struct recovery *recovery, uint32_t index, struct span key, struct span value)
{
    struct store *store = recovery->store;
    struct task_record record;
    const char *reason;
    if (!parse_task(key, value, true, &record, &reason)) {
        return;
    }
    struct origin origin = {.parent = record.parent,
                            .orig = record.orig,
                            .retry_of = record.retry_of,
                            .created_ms = record.created_ms};
    if (record.body_number == 0) {
        uint32_t body = body_new(store, record.body, 0, &origin);
        body_ref(store, body);
        entry_at(store, index)->body = body;
        return;
    }
    if (recovery->shared_len == recovery->shared_capacity) {
        recovery->shared_capacity = recovery->shared_capacity * 2 + 16;
        recovery->shared =
            xrealloc(recovery->shared, recovery->shared_capacity * sizeof *recovery->shared);
    }
    recovery->shared[recovery->shared_len++] =
        (struct suspect_body){store, index, record.body_number, origin};
}

// The consumer of a routed task. NULL: there is none, and the record is set aside.
static struct consumer_entry *
routed_to(struct recovery *recovery, const struct scanned_task *task)
{
    struct consumer_entry *consumer =
        task->is_whole ? consumer_entry_of(recovery->store, task->record.consumer) : NULL;
    if (consumer == NULL) {
        set_aside(recovery, task->key, task->value,
                  task->is_whole ? "its consumer is not there" : task->reason);
    }
    return consumer;
}

static void
take_task(void *arg, const struct scanned_task *task)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    struct consumer_entry *consumer = routed_to(recovery, task);
    if (consumer == NULL) {
        return;
    }
    uint32_t index = adopt(store, &task->record);
    struct entry *entry = entry_at(store, index);
    consumer->entries_count++;
    analysis_enter(store, entry->analysis);
    store->state_counts[TASK_SPAWNED]++;
    queue_append(store, index);
    if (recovery->consumer != consumer->number) {
        recovery->consumer = consumer->number;
        recovery->has_workers = store_missing_instances(store, consumer->number) > 0;
    }
    if (recovery->has_workers && !consumer->is_dropping &&
        task->record.sequence <= consumer->queues[task->record.priority].mark_durable) {
        suspect(store, index);
        load_suspect(recovery, index, task->key, task->value);
    }
}

static bool
visit_suspect_body(void *arg, struct span key, struct span value)
{
    struct suspect_body *wanted = arg;
    struct store *store = wanted->store;
    struct span body;
    uint64_t number;
    const char *reason;
    struct blob *blob = map_get(store->blob_refs, &wanted->number, sizeof wanted->number);
    if (blob != NULL && parse_blob(key, value, &number, &body, &reason)) {
        blob->body = body_new(store, body, number, &wanted->origin);
        body_ref(store, blob->body);
        entry_at(store, wanted->index)->body = blob->body;
    }
    return false; // there is one record of this key
}

// Suspects whose bodies are shared get them once all records of tasks were read.
static enum zkt_err
load_shared(struct recovery *recovery)
{
    struct store *store = recovery->store;
    enum zkt_err err = ZKT_OK;
    for (size_t at = 0; at < recovery->shared_len && err == ZKT_OK; at++) {
        struct suspect_body *wanted = &recovery->shared[at];
        struct blob *blob = map_get(store->blob_refs, &wanted->number, sizeof wanted->number);
        if (blob != NULL && blob->body != 0) {
            body_ref(store, blob->body);
            entry_at(store, wanted->index)->body = blob->body;
            continue;
        }
        struct key key = key_body(wanted->number);
        bool is_read = store->records->ops->scan(store->records, key_span(&key), visit_suspect_body,
                                                 wanted, recovery->problem);
        err = is_read ? ZKT_OK : ZKT_IO;
    }
    return err;
}

// Crashed tasks come by consumer; their line is by age.
struct crashed {
    int64_t changed_ms;
    uint32_t index;
};
struct crashed_list {
    struct recovery *recovery;
    struct crashed *items;
    size_t len, capacity;
};

static void
take_crashed(void *arg, const struct scanned_task *task)
{
    struct crashed_list *list = arg;
    struct store *store = list->recovery->store;
    struct consumer_entry *consumer = routed_to(list->recovery, task);
    if (consumer == NULL) {
        return;
    }
    if (list->len == list->capacity) {
        list->capacity = list->capacity * 2 + 64;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    uint32_t index = adopt(store, &task->record);
    consumer->entries_count++;
    analysis_at(store, entry_at(store, index)->analysis)->crashed_count++;
    list->items[list->len++] =
        (struct crashed){.changed_ms = task->record.changed_ms, .index = index};
}

static int
compare_crashed(const void *a, const void *b)
{
    const struct crashed *left = a;
    const struct crashed *right = b;
    return (left->changed_ms > right->changed_ms) - (left->changed_ms < right->changed_ms);
}

static void
take_held(void *arg, const struct scanned_task *task)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    if (!task->is_whole) {
        set_aside(recovery, task->key, task->value, task->reason);
        return;
    }
    uint32_t index = adopt(store, &task->record);
    struct entry *entry = entry_at(store, index);
    entry->place = ENTRY_CHILD;
    analysis_enter(store, entry->analysis);
    store->state_counts[TASK_DECLARED]++;
    child_adopt(store, get_u64(task->key.data + 1), index, &task->record);
}

static void
take_finished(void *arg, const struct scanned_task *task)
{
    struct recovery *recovery = arg;
    const struct task_record *record = &task->record;
    if (!task->is_whole) {
        set_aside(recovery, task->key, task->value, task->reason);
        return;
    }
    finished_remember(recovery->store, &record->root, record->sequence, record->changed_ms);
}

static bool
visit_body(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    (void)value;
    if (key.len != 9) {
        return set_aside(recovery, key, value, "the key has another length");
    }
    uint64_t number = get_u64(key.data + 1);
    if (map_get(store->blob_refs, &number, sizeof number) == NULL) {
        record_delete(&store->open, key);
    }
    if (number >= store->next_body) {
        store->next_body = number + 1;
    }
    return true;
}

static bool
visit_upload(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    struct uid uid;
    struct upload_value record;
    const char *reason;
    if (!parse_upload(key, value, &uid, &record, &reason)) {
        return set_aside(recovery, key, value, reason);
    }
    object_adopt_upload(recovery->store, &uid, &record);
    return true;
}

static bool
visit_deletion(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    uint64_t at_ms;
    const char *reason;
    if (key.len != 17 || !parse_number(key, value, &at_ms, &reason)) {
        return set_aside(recovery, key, value, "it does not verify");
    }
    struct uid uid;
    memcpy(&uid, key.data + 1, sizeof uid);
    object_adopt_deletion(recovery->store, &uid);
    return true;
}

static bool
visit_intent(void *arg, struct span key, struct span value)
{
    struct recovery *recovery = arg;
    uint64_t number;
    struct intent_value record;
    const char *reason;
    if (!parse_intent(key, value, &number, &record, &reason)) {
        return corrupt(recovery, key, reason);
    }
    if (record.what == INTENT_RELEASE) {
        release_adopt(recovery->store, number, record.delivery);
    }
    if (number >= recovery->store->next_intent) {
        recovery->store->next_intent = number + 1;
    }
    return true;
}

static enum zkt_err
scan(struct recovery *recovery, enum record_kind kind,
     bool (*visit)(void *arg, struct span key, struct span value), void *arg)
{
    uint8_t prefix = (uint8_t)kind;
    struct store *store = recovery->store;
    if (!store->records->ops->scan(store->records, span_of(&prefix, 1), visit, arg,
                                   recovery->problem)) {
        return recovery->problem->code != ZKT_OK ? recovery->problem->code : ZKT_IO;
    }
    return recovery->has_failed ? recovery->problem->code : ZKT_OK;
}

struct taking {
    struct store *store;
    void (*take)(void *arg, const struct scanned_task *task);
    void *arg;
};

// The analyses of the next ones are asked for ahead, so that the table of millions costs no wait.
static void
take_some(void *arg, const struct scanned_task *tasks, size_t tasks_len)
{
    enum { BUCKET_AHEAD = 16, ITEM_AHEAD = 8 };
    const struct taking *taking = arg;
    for (size_t step = 0; step < tasks_len + BUCKET_AHEAD; step++) {
        if (step < tasks_len) {
            analysis_prefetch(taking->store, &tasks[step].record.root);
        }
        if (step >= ITEM_AHEAD && step < tasks_len + ITEM_AHEAD) {
            analysis_prefetch_item(taking->store, &tasks[step - ITEM_AHEAD].record.root);
        }
        if (step >= BUCKET_AHEAD) {
            taking->take(taking->arg, &tasks[step - BUCKET_AHEAD]);
        }
    }
}

static enum zkt_err
scan_of_tasks(struct recovery *recovery, enum record_kind kind,
              void (*take)(void *arg, const struct scanned_task *task), void *arg)
{
    struct store *store = recovery->store;
    struct taking taking = {.store = store, .take = take, .arg = arg};
    if (!scan_tasks(store->records, kind, take_some, &taking, recovery->problem)) {
        return recovery->problem->code != ZKT_OK ? recovery->problem->code : ZKT_IO;
    }
    return ZKT_OK;
}

static void
begin_new(struct store *store)
{
    uint64_t id = get_u64(store->options.store_id.bytes + 8) & 0xffffffffffff;
    store->id = id != 0 ? id : 1;
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {{"version", STORE_FORMAT_VERSION}, {"store", store->id}};
    for (size_t index = 0; index < 2; index++) {
        struct key key = key_meta(numbers[index].name);
        bytes_clear(&store->value);
        format_number(&key, numbers[index].number, &store->value);
        put_record(store, &key, &store->value);
    }
    store->next_delivery = 1;
}

static enum zkt_err
scan_crashed(struct recovery *recovery)
{
    struct crashed_list list = {.recovery = recovery};
    enum zkt_err err = scan_of_tasks(recovery, RECORD_CRASHED, take_crashed, &list);
    if (list.len > 0) {
        qsort(list.items, list.len, sizeof *list.items, compare_crashed);
    }
    for (size_t index = 0; err == ZKT_OK && index < list.len; index++) {
        crashed_append(recovery->store, list.items[index].index);
    }
    free(list.items);
    return err;
}

enum zkt_err
recover(struct store *store, struct problem *problem)
{
    struct problem own = {.code = ZKT_OK};
    struct recovery recovery = {
        .store = store, .problem = problem != NULL ? problem : &own, .is_new = true};
    recovery.problem->code = ZKT_OK;
    const struct {
        enum record_kind kind;
        bool (*visit)(void *arg, struct span key, struct span value);
        void (*take)(void *arg, const struct scanned_task *task); // else
    } steps[] = {{RECORD_META, visit_meta, NULL},         {RECORD_INSTANCE, visit_instance, NULL},
                 {RECORD_CONSUMER, visit_consumer, NULL}, {RECORD_TASK, NULL, take_task},
                 {RECORD_HELD, NULL, take_held},          {RECORD_FINISHED, NULL, take_finished},
                 {RECORD_UPLOAD, visit_upload, NULL},     {RECORD_DELETION, visit_deletion, NULL},
                 {RECORD_INTENT, visit_intent, NULL}};
    enum zkt_err err = ZKT_OK;
    for (size_t step_index = 0; err == ZKT_OK && step_index < sizeof steps / sizeof *steps;
         step_index++) {
        enum record_kind kind = steps[step_index].kind;
        err = steps[step_index].visit != NULL
                  ? scan(&recovery, kind, steps[step_index].visit, &recovery)
                  : scan_of_tasks(&recovery, kind, steps[step_index].take, &recovery);
    }
    if (err == ZKT_OK) {
        err = scan_crashed(&recovery);
    }
    if (err == ZKT_OK) {
        err = scan(&recovery, RECORD_BODY, visit_body, &recovery);
    }
    bool is_empty = store->next_consumer == 0 && store->entries.used_count == 0;
    if (err == ZKT_OK && recovery.seen != SEEN_ALL && !(recovery.is_new && is_empty)) {
        err = problem_set(recovery.problem, ZKT_STORE_CORRUPT,
                          "the store's own numbers (M records) are missing. Look with zkarton "
                          "store check");
    }
    if (err == ZKT_OK) {
        err = load_shared(&recovery);
    }
    if (err == ZKT_OK && recovery.is_new) {
        begin_new(store);
    }
    if (err == ZKT_OK) {
        objects_settle_recovered(store);
    }
    free(recovery.shared);
    return err;
}
