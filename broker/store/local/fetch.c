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
        key = key_held(delivery, entry->sequence);
    } else {
        entry_key(store, entry, &key);
    }
    send(store, from, &key);
}

void
start_fetch(struct store *store, enum fetch_why why, uint32_t index)
{
    struct fetch fetch = {.why = why, .entry = index, .sequence = entry_at(store, index)->sequence};
    fetch_entry(store, &fetch);
}

static void
offer_came(struct store *store, const struct fetch *fetch)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct consumer_entry *consumer = consumer_entry_of(store, entry->consumer);
    consumer->fetching_count--;
    if (consumer->is_dropping) {
        entry->place = ENTRY_DROPPING;
        drop_entry(store, fetch->entry);
    } else if (consumer->want == 0) {
        queue_return(store, fetch->entry);
        body_may_go(store, entry->body, fetch->entry);
    } else {
        offer_now(store, fetch->entry);
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

static void
damaged(struct store *store, const struct fetch *fetch, const char *reason)
{
    struct entry *entry = entry_at(store, fetch->entry);
    if (fetch->why == FETCH_OFFER) {
        consumer_entry_of(store, entry->consumer)->fetching_count--;
    }
    if (fetch->why == FETCH_RESUME) {
        store->options.callbacks.on_resumed(store->options.callbacks.arg, fetch->request, NULL,
                                            false);
    }
    if (entry->place == ENTRY_CRASHED || entry->place == ENTRY_CHILD ||
        entry->place == ENTRY_DROPPING) {
        store->damaged_count++;
        struct origin origin = {0};
        struct task empty = {.headers = value_map()};
        bytes_clear(&store->scratch);
        store->options.codec->pack(&empty, &store->scratch);
        entry->body = body_new(store, bytes_span(&store->scratch), 0, &origin);
        body_ref(store, entry->body);
        go_on(store, fetch);
        return;
    }
    end_suspect(store, entry);
    end_damaged(store, fetch->entry, reason);
}

// True: the body is complete; false: a shared body must be read, or the record is damaged.
static bool
take_task(struct store *store, struct fetch *fetch, const struct completion *completion)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct task_record record;
    const char *reason = "record damaged: it is missing";
    if (entry->body != 0) {
        return true;
    }
    if (completion->value.data == NULL ||
        !parse_task(completion->key, completion->value, true, &record, &reason)) {
        damaged(store, fetch, reason);
        return false;
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
        return false;
    }
    body_ref(store, entry->body);
    return true;
}

static bool
take_blob(struct store *store, const struct fetch *fetch, const struct completion *completion)
{
    struct entry *entry = entry_at(store, fetch->entry);
    struct span body;
    uint64_t number;
    const char *reason = "record damaged: its shared body is missing";
    if (entry->body != 0) {
        return true;
    }
    if (completion->value.data == NULL ||
        !parse_blob(completion->key, completion->value, &number, &body, &reason)) {
        damaged(store, fetch, reason);
        return false;
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
    return true;
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
    bool is_there = entry_find(store, fetch->sequence) == fetch->entry;
    if (is_there && (fetch->body_number != 0 ? take_blob(store, fetch, completion)
                                             : take_task(store, fetch, completion))) {
        go_on(store, fetch);
    } else if (!is_there && fetch->why == FETCH_RESUME) {
        store->options.callbacks.on_resumed(store->options.callbacks.arg, fetch->request, NULL,
                                            false);
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
        } else if (fetch->why == FETCH_RESUME) {
            store->options.callbacks.on_resumed(store->options.callbacks.arg, fetch->request, NULL,
                                                false);
        }
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
