// Bodies that are not in memory: asked for by key, answered by store_poll. What waited for a body
// goes on then.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "store/local/state.h"

static void
send(struct store *store, const struct fetch *from, const struct key *key)
{
    struct fetch *fetch = xcalloc(1, sizeof *fetch);
    *fetch = *from;
    uint64_t tag = store->next_fetch++;
    map_put(store->fetches, &tag, sizeof tag, fetch);
    store->records->ops->fetch(store->records, key_span(key), tag);
}

void
fetch_entry(struct store *store, const struct fetch *from)
{
    const struct entry *entry = entry_at(store, from->entry);
    if (entry->body != 0) {
        struct fetch *fetch = xcalloc(1, sizeof *fetch);
        *fetch = *from;
        fetch->ready_link = (struct list_link){0};
        list_append(&store->ready_fetches, &fetch->ready_link);
        return;
    }
    struct key key;
    if (entry->place == ENTRY_CHILD) {
        uint64_t delivery = child_delivery(store, from->entry);
        key = key_held(delivery, entry_sequence(entry));
    } else {
        entry_key(store, entry, &key);
    }
    send(store, from, &key);
}

void
start_fetch(struct store *store, enum fetch_why why, uint32_t index)
{
    const struct entry *entry = entry_at(store, index);
    struct fetch fetch = {
        .why = why, .entry = index, .consumer = entry->consumer, .sequence = entry_sequence(entry)};
    fetch_entry(store, &fetch);
}

static void
offer_came(struct store *store, const struct fetch *fetch)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    entry->flags &= (uint8_t)~ENTRY_IS_FETCHING;
    if (entry->place == ENTRY_WAITING && consumer->want > 0 && !consumer->is_dropping) {
        consumer_wanting(store, consumer); // the next turn offers it: its body stays until then
    } else if (entry->body != 0) {
        body_may_go(store, entry->body, fetch->entry);
    }
}

// One read for an offer less, whatever became of its task.
static void
offer_fetched(struct store *store, const struct fetch *fetch)
{
    struct consumer_entry *consumer =
        fetch->why == FETCH_OFFER ? consumer_entry_of(store, fetch->consumer) : NULL;
    if (consumer != NULL) {
        consumer->fetching_count--;
    }
}

static void
go_on(struct store *store, const struct fetch *fetch)
{
    switch (fetch->why) {
    case FETCH_OFFER:
        offer_came(store, fetch);
        break;
    case FETCH_DROP:
        drop_entry(store, fetch->entry);
        break;
    case FETCH_RESUME:
        resume_fetched(store, fetch);
        break;
    case FETCH_SETTLE:
        settle_fetched(store, fetch);
        break;
    case FETCH_RETRY:
        retry_fetched(store, fetch);
        break;
    case FETCH_CHILD: // the next turn goes on with the release
    case FETCH_ROW:
    case FETCH_SKELETON:
        break;
    }
}

// Who asked for a task that cannot be had is told so.
static void
answer_no(struct store *store, const struct fetch *fetch)
{
    const struct store_callbacks *callbacks = &store->options.callbacks;
    if (fetch->why == FETCH_RESUME) {
        callbacks->on_resumed(callbacks->arg, fetch->request, NULL, false);
    } else if (fetch->why == FETCH_RETRY) {
        callbacks->on_retried(callbacks->arg, fetch->request, NULL);
    }
}

// What a damaged record referred to is let go as far as its header tells.
static void
let_go(struct store *store, const struct fetch *fetch, const struct completion *completion)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct task_record header;
    const char *unused;
    bool is_known = fetch->body_number == 0 && completion->value.data != NULL &&
                    parse_task(completion->key, completion->value, false, &header, &unused);
    if (is_known && (entry->flags & ENTRY_HAS_OBJECTS) != 0) {
        objects_unref_uids(store, header.objects, NULL);
    }
    if ((entry->flags & ENTRY_HAS_BLOB) != 0) {
        blob_unref(store, is_known ? header.body_number : fetch->body_number);
    }
    entry->flags &= (uint8_t) ~(ENTRY_HAS_OBJECTS | ENTRY_HAS_BLOB);
}

// What cannot be read is never offered: a waiting task is Crashed, what is on its way out goes on
// without its body, a retry is called off.
static void
damaged(struct store *store, const struct fetch *fetch, const struct completion *completion,
        const char *reason)
{
    struct entry *entry = entry_at(store, fetch->entry);
    answer_no(store, fetch);
    if (entry->place == ENTRY_CHILD) {
        entry->flags |=
            ENTRY_IS_DAMAGED; // ended by the next turn; its parent's list has its objects
        return;
    }
    let_go(store, fetch, completion);
    entry->flags &= (uint8_t)~ENTRY_IS_FETCHING;
    if (fetch->why == FETCH_RETRY) {
        retry_failed(store, fetch->entry);
    } else if (fetch->why == FETCH_DROP) {
        go_on(store, fetch);
    } else if (entry->place != ENTRY_DROPPING && entry->place != ENTRY_CRASHED) {
        end_damaged(store, fetch->entry, reason);
    }
}

enum taken { TAKEN_WHOLE, TAKEN_PART, TAKEN_NOT };

static enum taken
take_task(struct store *store, struct fetch *fetch, const struct completion *completion)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct task_record record;
    const char *reason = "record damaged: it is missing";
    if (entry->body != 0) {
        return TAKEN_WHOLE;
    }
    if (completion->value.data == NULL ||
        !parse_task(completion->key, completion->value, true, &record, &reason)) {
        damaged(store, fetch, completion, reason);
        return TAKEN_NOT;
    }
    fetch->origin = (struct origin){.parent = record.parent,
                                    .orig = record.orig,
                                    .retry_of = record.retry_of,
                                    .created_ms = record.created_ms};
    struct blob *blob = record.body_number != 0 ? map_get(store->blob_refs, &record.body_number,
                                                          sizeof record.body_number)
                                                : NULL;
    if (record.body_number == 0) {
        entry->body = body_new(store, record.body, 0, &fetch->origin);
    } else if (blob != NULL && blob->body != 0) {
        entry->body = blob->body;
    } else {
        fetch->body_number = record.body_number;
        struct key key = key_body(record.body_number);
        send(store, fetch, &key);
        return TAKEN_PART;
    }
    body_ref(store, entry->body);
    return TAKEN_WHOLE;
}

static enum taken
take_blob(struct store *store, const struct fetch *fetch, const struct completion *completion)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct span body;
    uint64_t number;
    const char *reason = "record damaged: its shared body is missing";
    if (entry->body != 0) {
        return TAKEN_WHOLE;
    }
    if (completion->value.data == NULL ||
        !parse_blob(completion->key, completion->value, &number, &body, &reason)) {
        damaged(store, fetch, completion, reason);
        return TAKEN_NOT;
    }
    struct blob *blob = map_get(store->blob_refs, &number, sizeof number);
    if (blob != NULL && blob->body != 0) {
        entry->body = blob->body;
    } else {
        entry->body = body_new(store, body, number, &fetch->origin);
        if (blob != NULL) {
            blob->body = entry->body;
        }
    }
    body_ref(store, entry->body);
    return TAKEN_WHOLE;
}

void
fetch_came(struct store *store, const struct completion *completion)
{
    struct fetch *fetch = map_remove(store->fetches, &completion->tag, sizeof completion->tag);
    if (fetch == NULL) {
        return;
    }
    if (fetch->why == FETCH_ROW || fetch->why == FETCH_SKELETON) {
        page_fetched(store, fetch, completion->key, completion->value);
        free(fetch);
        return;
    }
    // The entry may have gone meanwhile, and its place in the slab may be another's.
    enum taken taken = TAKEN_NOT;
    if (entry_find(store, fetch->sequence) != fetch->entry) {
        answer_no(store, fetch);
    } else if (fetch->body_number != 0) {
        taken = take_blob(store, fetch, completion);
    } else {
        taken = take_task(store, fetch, completion);
    }
    if (taken == TAKEN_WHOLE) {
        go_on(store, fetch);
    }
    if (taken != TAKEN_PART) {
        offer_fetched(store, fetch);
        free(fetch->error); // else the second step has it
    }
    free(fetch);
}

void
fetches_ready(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->ready_fetches)) != NULL) {
        struct fetch *fetch = container_of(link, struct fetch, ready_link);
        list_remove(link);
        if (fetch->page != NULL) {
            page_finish(store, fetch->page);
        } else if (entry_find(store, fetch->sequence) == fetch->entry) {
            go_on(store, fetch);
        } else {
            answer_no(store, fetch);
        }
        free(fetch->error);
        free(fetch);
    }
    while ((link = list_first(&store->resumed)) != NULL) {
        struct resumed *resumed = container_of(link, struct resumed, link);
        list_remove(link);
        store->options.callbacks.on_resumed(store->options.callbacks.arg, resumed->request, NULL,
                                            resumed->is_taken);
        free(resumed);
    }
}
