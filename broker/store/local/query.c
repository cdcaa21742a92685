// Pages of tasks for QUERY: a bounded walk of the index, bodies read by the fetcher, one answer
// when all rows are there. The cursor is a place in the table of tasks, so what exists throughout a
// walk appears exactly once.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/memory.h"
#include "store/local/state.h"

enum { WALK_MAX = 20000, ROWS_MAX = LIMIT_PAGE_ROWS };

struct page_row {
    uint64_t sequence;
    enum task_state state;
    int64_t started_ms;
    struct value value; // VALUE_NULL: could not be read
};
struct page_request {
    struct list_link link; // in store->pages
    uint64_t request;
    enum store_query what;
    struct arena arena;
    struct page_row *rows;
    size_t rows_len, missing_count;
    char next[32];
};

// ---- Rows

static struct value
uid_text(struct arena *arena, const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    if (uid_is_none(uid)) {
        return value_null();
    }
    uid_format(uid, text);
    return value_text(arena, text);
}

static struct value
span_text(struct arena *arena, struct span span)
{
    return value_string(arena, span.data, span.len);
}

static struct value
resources_value(struct arena *arena, const struct task *task)
{
    struct value list = value_list();
    for (size_t resource_index = 0; resource_index < task->resources_count; resource_index++) {
        const struct resource *resource = &task->resources[resource_index];
        struct value map = value_map();
        value_put(arena, &map, "uid", uid_text(arena, &resource->uid));
        value_put(arena, &map, "name", span_text(arena, resource->name));
        value_put(arena, &map, "bucket", span_text(arena, resource->bucket));
        value_put(arena, &map, "size",
                  resource->size >= 0 ? value_int(resource->size) : value_null());
        if (resource->has_sha256) {
            char hex[65];
            hex_format(resource->sha256, sizeof resource->sha256, hex);
            value_put(arena, &map, "sha256", value_text(arena, hex));
        }
        value_put(arena, &map, "flags", value_int(resource->flags));
        if (resource->metadata.type == VALUE_MAP) {
            value_put(arena, &map, "metadata", value_copy(arena, &resource->metadata));
        }
        value_append(arena, &list, map);
    }
    return list;
}

static void
put_body(const struct store *store, struct arena *arena, struct value *row, struct span body,
         bool has_payload)
{
    struct task task = {0};
    if (body.len == 0 || !store->options.codec->unpack(body, arena, &task)) {
        return;
    }
    value_put(arena, row, "headers", task.headers);
    if (task.header_keys.type == VALUE_LIST) {
        value_put(arena, row, "persistent_headers", task.header_keys);
    }
    if (has_payload) {
        value_put(arena, row, "payload", span_text(arena, task.payload));
        value_put(arena, row, "payload_persistent", span_text(arena, task.payload_persistent));
    }
    value_put(arena, row, "resources", resources_value(arena, &task));
}

struct row_facts {
    uint64_t sequence;
    uint32_t consumer;
    uint32_t attempt;
    enum priority priority;
    enum task_state state;
    int64_t changed_ms, started_ms;
    struct uid root;
    struct origin origin;
    struct span error, body;
};

static struct value
make_row(const struct store *store, struct arena *arena, const struct row_facts *facts,
         bool has_payload)
{
    struct value row = value_map();
    struct uid uid;
    const struct consumer_entry *consumer = consumer_entry_of(store, facts->consumer);
    uid_routed(store->id, facts->sequence, &uid);
    value_put(arena, &row, "uid", uid_text(arena, &uid));
    value_put(arena, &row, "root", uid_text(arena, &facts->root));
    value_put(arena, &row, "parent", uid_text(arena, &facts->origin.parent));
    value_put(arena, &row, "orig", uid_text(arena, &facts->origin.orig));
    value_put(arena, &row, "retry_of", uid_text(arena, &facts->origin.retry_of));
    value_put(arena, &row, "identity",
              consumer != NULL ? span_text(arena, consumer->bind.identity) : value_null());
    value_put(arena, &row, "state", value_text(arena, task_state_name(facts->state)));
    value_put(arena, &row, "priority", value_text(arena, priority_name(facts->priority)));
    value_put(arena, &row, "attempt", value_int(facts->attempt));
    value_put(arena, &row, "changed_ms", value_int(facts->changed_ms));
    value_put(arena, &row, "created_ms", value_int(facts->origin.created_ms));
    value_put(arena, &row, "started_ms",
              facts->started_ms > 0 ? value_int(facts->started_ms) : value_null());
    value_put(arena, &row, "error",
              facts->error.len > 0 ? span_text(arena, facts->error) : value_null());
    put_body(store, arena, &row, facts->body, has_payload);
    return row;
}

static void
free_page(struct page_request *page)
{
    list_remove(&page->link);
    arena_fini(&page->arena);
    free(page->rows);
    free(page);
}

void
pages_free(struct store *store)
{
    struct list_link *link;
    while ((link = list_first(&store->pages)) != NULL) {
        free_page(container_of(link, struct page_request, link));
    }
}

static void
finish(struct store *store, struct page_request *page)
{
    struct value rows = value_list();
    for (size_t row_index = 0; row_index < page->rows_len; row_index++) {
        if (page->rows[row_index].value.type == VALUE_MAP) {
            value_append(&page->arena, &rows, page->rows[row_index].value);
        }
    }
    store->options.callbacks.on_result(store->options.callbacks.arg, page->request, ZKT_OK, &rows,
                                       span_of_text(page->next));
    free_page(page);
}

// ---- Rows from the index

static void
ask(struct store *store, struct page_request *page, size_t row_index, enum fetch_why why,
    const struct key *key)
{
    struct fetch *fetch = xcalloc(1, sizeof *fetch);
    *fetch = (struct fetch){.why = why, .page = page, .row_index = row_index};
    uint64_t tag = store->next_fetch++;
    map_put(store->fetches, &tag, sizeof tag, fetch);
    page->missing_count++;
    store->records->ops->fetch(store->records, key_span(key), tag);
}

static struct value
row_of_entry(struct store *store, struct page_request *page, const struct entry *entry)
{
    const struct body *body = body_at(store, entry->body);
    struct row_facts facts = {.sequence = entry_sequence(entry),
                              .consumer = entry->consumer,
                              .attempt = entry->attempt,
                              .priority = (enum priority)entry->priority,
                              .state = entry_state(entry),
                              .changed_ms = (int64_t)entry->changed_s * 1000,
                              .root = analysis_at(store, entry->analysis)->root,
                              .origin = body->origin,
                              .body = span_of(body->data, body->len)};
    facts.started_ms = facts.state == TASK_STARTED ? facts.changed_ms : 0;
    return make_row(store, &page->arena, &facts, page->what == QUERY_TASK);
}

static void
add_row(struct store *store, struct page_request *page, uint32_t index)
{
    const struct entry *entry = entry_at(store, index);
    struct page_row *row = &page->rows[page->rows_len++];
    *row = (struct page_row){.sequence = entry_sequence(entry), .state = entry_state(entry)};
    if (entry->body == 0 || entry->place == ENTRY_CRASHED) { // the error is in the record alone
        struct key key;
        if (entry->place == ENTRY_CHILD) {
            key = key_held(child_delivery(store, index), entry_sequence(entry));
        } else {
            entry_key(store, entry, &key);
        }
        ask(store, page, page->rows_len - 1, FETCH_ROW, &key);
        return;
    }
    row->value = row_of_entry(store, page, entry);
}

// Its record was not there: it moved while it was asked for, or is not durable yet.
static void
row_from_memory(struct store *store, struct page_request *page, struct page_row *row)
{
    uint32_t index = entry_find(store, row->sequence);
    if (index != 0 && entry_at(store, index)->body != 0) {
        row->value = row_of_entry(store, page, entry_at(store, index));
    }
}

void
page_fetched(struct store *store, const struct fetch *fetch, struct span key, struct span value)
{
    struct page_request *page = fetch->page;
    struct page_row *row = &page->rows[fetch->row_index];
    struct task_record record;
    struct span blob;
    uint64_t number;
    const char *reason;
    bool has_payload = page->what == QUERY_TASK;
    page->missing_count--;
    if (value.data != NULL && key.data[0] == RECORD_BODY) {
        if (row->value.type == VALUE_MAP && parse_blob(key, value, &number, &blob, &reason)) {
            put_body(store, &page->arena, &row->value,
                     span_of(arena_copy(&page->arena, blob.data, blob.len), blob.len), has_payload);
        }
    } else if (value.data != NULL && parse_task(key, value, true, &record, &reason)) {
        struct row_facts facts = {.sequence = record.sequence,
                                  .consumer = record.consumer,
                                  .attempt = record.attempt,
                                  .priority = record.priority,
                                  .state =
                                      fetch->why == FETCH_SKELETON ? TASK_FINISHED : row->state,
                                  .changed_ms = record.changed_ms,
                                  .started_ms = record.started_ms,
                                  .root = record.root,
                                  .origin = {.parent = record.parent,
                                             .orig = record.orig,
                                             .retry_of = record.retry_of,
                                             .created_ms = record.created_ms},
                                  .error = record.error};
        facts.body =
            span_of(arena_copy(&page->arena, record.body.data, record.body.len), record.body.len);
        row->value = make_row(store, &page->arena, &facts, has_payload);
        if (record.body_number != 0) {
            struct key body_key = key_body(record.body_number);
            ask(store, page, fetch->row_index, FETCH_ROW, &body_key);
        }
    }
    if (row->value.type != VALUE_MAP && fetch->why == FETCH_ROW) {
        row_from_memory(store, page, row);
    }
    if (page->missing_count == 0) {
        finish(store, page);
    }
}

// ---- Walks

static bool
is_wanted(const struct store *store, const struct store_page *wanted, const struct entry *entry)
{
    if (wanted->consumer != 0 && entry->consumer != wanted->consumer) {
        return false;
    }
    if (wanted->has_state && entry_state(entry) != wanted->state) {
        return false;
    }
    return uid_is_none(&wanted->root) ||
           uid_equal(&analysis_at(store, entry->analysis)->root, &wanted->root);
}

static uint32_t
cursor_of(struct span text)
{
    uint64_t number = 0;
    for (size_t digit_index = 0; digit_index < text.len && digit_index < 10; digit_index++) {
        uint8_t digit = text.data[digit_index];
        if (digit < '0' || digit > '9') {
            return 0;
        }
        number = number * 10 + (uint64_t)(digit - '0');
    }
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static void
walk_tasks(struct store *store, struct page_request *page, const struct store_page *wanted,
           size_t rows_max)
{
    uint32_t index = cursor_of(wanted->cursor) + 1;
    uint32_t end = store->entries.next_index;
    for (uint32_t steps = 0; index < end && steps < WALK_MAX && page->rows_len < rows_max;
         steps++, index++) {
        // A free slot is linked through its first bytes and is found under no sequence.
        if (entry_find(store, entry_sequence(entry_at(store, index))) == index &&
            is_wanted(store, wanted, entry_at(store, index))) {
            add_row(store, page, index);
        }
    }
    if (index < end) {
        snprintf(page->next, sizeof page->next, "%u", index - 1);
    }
}

static void
walk_tree(struct store *store, struct page_request *page, const struct store_page *wanted,
          size_t rows_max)
{
    // The cursor counts rows: live tasks first, newest first, then the skeletons of finished ones.
    uint32_t skip = cursor_of(wanted->cursor);
    uint32_t at = 0;
    uint32_t analysis = analysis_find(store, &wanted->root);
    uint32_t index = analysis != 0 ? analysis_at(store, analysis)->first : 0;
    for (; index != 0 && page->rows_len < rows_max;
         index = entry_at(store, index)->analysis_next, at++) {
        if (at >= skip) {
            add_row(store, page, index);
        }
    }
    uint64_t sequence;
    uint32_t finished = finished_first(store, &wanted->root, &sequence);
    for (; finished != 0 && page->rows_len < rows_max;
         finished = finished_next(store, finished, &sequence), at++) {
        if (at >= skip) {
            struct key key = key_finished(&wanted->root, sequence);
            page->rows_len++;
            ask(store, page, page->rows_len - 1, FETCH_SKELETON, &key);
        }
    }
    if (index != 0 || finished != 0) {
        snprintf(page->next, sizeof page->next, "%u", at);
    }
}

static void
walk_one(struct store *store, struct page_request *page, const struct uid *uid)
{
    uint64_t sequence;
    uint32_t index = uid_sequence(uid, store->id, &sequence) ? entry_find(store, sequence) : 0;
    if (index != 0) {
        add_row(store, page, index);
        return;
    }
    // A finished one may have left its skeleton.
    struct uid root;
    if (uid_sequence(uid, store->id, &sequence) && finished_find(store, sequence, &root)) {
        struct key key = key_finished(&root, sequence);
        page->rows_len++;
        ask(store, page, 0, FETCH_SKELETON, &key);
    }
}

void
store_page(struct store *store, const struct store_page *wanted, uint64_t request)
{
    struct page_request *page = xcalloc(1, sizeof *page);
    size_t rows_max =
        wanted->rows_max > 0 && wanted->rows_max < ROWS_MAX ? wanted->rows_max : ROWS_MAX;
    list_append(&store->pages, &page->link);
    page->request = request;
    page->what = wanted->what;
    page->rows = xcalloc(rows_max + 1, sizeof *page->rows);
    arena_init(&page->arena);
    page->missing_count = 1; // until all are asked for
    if (wanted->what == QUERY_TASKS) {
        walk_tasks(store, page, wanted, rows_max);
    } else if (wanted->what == QUERY_TREE) {
        walk_tree(store, page, wanted, rows_max);
    } else {
        walk_one(store, page, &wanted->uid);
    }
    page->missing_count--;
    if (page->missing_count > 0) {
        return;
    }
    struct fetch *ready = xcalloc(1, sizeof *ready);
    ready->why = FETCH_ROW;
    ready->page = page;
    list_append(&store->ready_fetches, &ready->ready_link);
}

void
page_finish(struct store *store, struct page_request *page)
{
    finish(store, page);
}
