// state.h: the index of the local store, for the files of store/local/ alone. It is memory:
// records_* keep what must survive.
//
// One owner each: slabs own entries, analyses and cached bodies; maps own consumers, instances and
// objects. Nothing here knows a clock, a file or a socket; completions of the records come in by
// store_poll.
#pragma once
#include "base/arena.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/number_map.h"
#include "store/local/done_ring.h"
#include "store/local/format.h"
#include "store/local/records.h"
#include "store/local/slab.h"
#include "store/store.h"

enum entry_place {
    ENTRY_WAITING, // in a queue
    ENTRY_HELD,    // in the engine's hands
    ENTRY_SUSPECT, // after a restart: somebody may hold it
    ENTRY_DELAYED, // returned, not before a time
    ENTRY_CHILD,   // held for its transactional parent
    ENTRY_CRASHED,
    ENTRY_DROPPING, // its consumer was dropped; a slice will take it
};
enum entry_flags {
    ENTRY_HAS_OBJECTS = 1,
    ENTRY_IS_STARTED = 2,
    ENTRY_IS_RELEASING = 4, // a child whose parent is Finished
    ENTRY_WAS_RETURNED = 8, // goes into the line of returned tasks, before the queue
    ENTRY_HAS_BLOB = 16,    // its body is shared
    ENTRY_IS_FETCHING = 32, // in its queue; its body is being read
    ENTRY_IS_DAMAGED = 64,  // a held child whose record does not verify
};

enum { GENERATION_MAX = UINT16_MAX };

// One live task, in 48 bytes: a backlog is millions of these. Persistent facts first.
struct entry {
    uint32_t sequence_low;
    uint16_t sequence_high;
    uint16_t attempt;
    uint32_t consumer;
    uint32_t changed_s;  // wall, seconds
    uint16_t generation; // see entry_matched
    uint8_t priority : 4;
    // in memory only
    uint8_t place : 4;
    uint8_t flags;
    uint32_t analysis; // slab index
    uint32_t body;     // slab index of a cached body; 0: only on disk
    uint32_t hash_next;
    uint32_t prev, next; // in the queue, the list of crashed, the parent's children
    uint32_t analysis_prev, analysis_next; // in the analysis
};
_Static_assert(sizeof(struct entry) == 48, "docs/benchmarks.md counts with this size");

static inline uint64_t
entry_sequence(const struct entry *entry)
{
    return (uint64_t)entry->sequence_high << 32 | entry->sequence_low;
}

struct analysis {
    struct uid root;
    uint32_t live_count;
    uint32_t finished_count;
    uint32_t crashed_count;
    uint32_t created_s;
    uint32_t first; // entry
    uint32_t hash_next;
};

// What a task's record says of its origin; kept beside the body while that is in memory.
struct origin {
    struct uid parent, orig, retry_of;
    int64_t created_ms;
};

// A body in memory: of a record that is not durable yet, or lately used. Shared by the copies of a
// wide fan-out.
struct body {
    uint8_t *data;
    struct origin origin;
    uint32_t len;
    uint32_t refs_count;   // entries and holds
    uint64_t number;       // B record; 0: inline in its task
    uint64_t pinned_batch; // not to be dropped before this batch is durable
    uint32_t entry;        // the entry, when it is inline
    uint32_t age_prev, age_next;
    bool is_aged; // in the list of what may be dropped
};

struct queue {
    uint32_t head, tail;
    uint32_t returned_head, returned_tail; // ascending by sequence, dispatched first
    uint64_t waiting_count;
    uint64_t delayed_count; // returned for later: in no line until then
    uint64_t mark_wanted, mark_committing, mark_durable;
};

struct consumer_entry {
    uint32_t number;
    uint64_t generation;
    struct arena arena; // of the bind
    struct bind bind;
    bool is_dropping, is_dirty, is_listed;
    int64_t last_seen_ms;
    uint32_t want;
    uint32_t fetching_count;
    uint64_t crashed_count, suspect_count;
    uint64_t held_count;
    struct list holds;      // struct held
    uint64_t entries_count; // in any place
    bool holds_are_dropped;
    struct queue queues[PRIORITIES_COUNT];
    uint32_t crashed_head, crashed_tail; // by age
    struct heap_node crashing;           // by the time of the oldest
    struct list_link dirty_link, wanting_link, dropping_link;
    struct list_link marked_link; // in store->marked: its marks are being made durable
};

struct instance_entry {
    struct uid instance;
    uint64_t last_number;
    uint32_t consumer;
    bool is_missing; // recorded before the restart, not heard of since
    int64_t seen_ms;
    struct bytes errors;
    struct list_link dirty_link;
};

struct object_entry {
    struct uid object;
    uint32_t refs_count;
    bool is_upload, is_deleting;
    struct upload_value upload;
    struct list_link upload_link; // by age
};

// A hold and what the store must know of it.
struct held {
    struct hold hold;      // first
    struct list_link link; // in its consumer's holds, or free
    uint32_t entry;
    uint32_t body;
    struct child *child_first, *child_last;
    uint32_t children_count;
    size_t children_bytes;
    int64_t started_ms;
    struct uid *objects; // of its task, sorted; owned; NULL: not asked for yet, or none
    size_t objects_count;
    bool knows_objects;
};

// One held child: its entry, and what its record says of it.
struct child {
    struct child *next;
    uint32_t entry;
    struct uid uid, parent; // the unrouted uid; the routed parent
    bool is_fetching;
    uint64_t delivery;
    struct bytes objects; // of a recovered one: the body may be on disk only
};

// What the fetcher was asked for.
enum fetch_why {
    FETCH_OFFER,
    FETCH_CHILD,
    FETCH_DROP,
    FETCH_ROW,
    FETCH_SKELETON,
    FETCH_RESUME,
    FETCH_SETTLE,
    FETCH_RETRY,
};
struct fetch {
    enum fetch_why why;
    uint32_t consumer; // of an offer
    uint32_t entry;
    uint64_t sequence;
    struct page_request *page;
    size_t row_index;
    struct origin origin; // of the task whose shared body is being read
    uint64_t body_number; // not 0: second step, the shared body
    uint64_t delivery;    // of a resume; of a retry: the new sequence
    uint64_t request;     // of a resume
    bool is_started;
    struct list_link ready_link;
    enum outcome outcome; // of a settle
    char *error;
    size_t error_len;
};
// An answer to store_resume that needs no record.
struct resumed {
    struct list_link link;
    uint64_t request;
    bool is_taken;
};

// Children whose parent is Finished, released in slices.
struct release {
    struct list_link link;
    uint64_t number; // of the intent
    uint64_t delivery;
    struct child *first, *last;
};
enum intent_what { INTENT_RELEASE = 1 };

struct delayed {
    struct heap_node node;
    uint32_t entry;
};

// A finished task that stays for the tree.
struct finished {
    uint64_t sequence;
    int64_t ended_ms;
    uint32_t root; // slab index of its finished_root
    uint32_t hash_next;
    uint32_t next;      // by age
    uint32_t root_next; // of its analysis, by age
};
struct finished_root {
    struct uid root;
    uint32_t first, last;
    uint32_t hash_next;
};

struct done_waiting {
    struct list_link link;
    uint64_t batch;
    struct uid root;
    struct analysis_counts counts;
};
struct object_waiting {
    struct list_link link;
    uint64_t batch;
    struct uid object;
};

struct store {
    struct store_options options;
    struct records *records;
    uint64_t id;
    struct record_batch open, committing;
    uint64_t open_number; // of the open batch
    bool is_committing, has_failed;
    bool has_unpolled;     // store_poll stopped before the last completion
    uint64_t unrefs_count; // references to objects given up, ever: they count in slices
    uint64_t next_sequence;
    uint64_t durable_batch;
    uint64_t durable_sequence, committing_sequence;
    uint64_t next_delivery, delivery_bound_durable, delivery_bound_committing,
        delivery_bound_wanted;
    uint64_t next_intent;
    uint64_t next_body;
    uint32_t next_consumer;
    int64_t now_ms;

    struct slab entries, analyses, bodies;
    uint64_t live_analyses_count; // with something Declared, Spawned or Started
    struct index_hash entry_hash, analysis_hash;
    struct map *body_numbers; // B number → body index + 1, while in memory
    struct map *blob_refs;    // B number → struct blob
    uint64_t body_bytes;
    uint32_t aged_head, aged_tail;

    struct number_map consumers; // number → consumer_entry
    struct map *identities;      // identity → consumer_entry
    uint32_t *numbers;           // ascending, of all consumers
    size_t numbers_len, numbers_capacity;
    struct list dirty_consumers, wanting, dropping, marked;
    int64_t instances_aged_ms;

    struct map *instances;
    struct list dirty_instances;
    struct map *objects;
    struct list uploads;
    struct number_map holds; // delivery → held
    struct list holds_free;
    struct map *children; // sequence → child, while only its record has the body
    struct map *orphans; // delivery → struct release: children whose parent nobody has resumed yet
    struct list releases;
    struct heap delayed;
    struct heap crashing; // consumer_entry.crashing: when the oldest crashed task of each is due

    struct map *fetches; // tag → fetch
    struct list resumed, ready_fetches, pages;
    uint32_t *suspects; // entries in doubt since the restart, with their sequences
    uint64_t *suspect_sequences;
    size_t suspects_len, suspects_capacity;
    uint64_t next_fetch;
    struct slab finished, finished_roots;
    struct index_hash finished_hash, finished_root_hash;
    uint32_t finished_first, finished_last; // by age
    struct done_ring done;
    struct list done_waiting, objects_waiting;
    struct gone *gone; // deleted objects, to say why

    uint64_t state_counts[TASK_STATES_COUNT];
    uint64_t commits_count, commit_ns_sum, commit_ns_max, damaged_count, suspects_count,
        intents_count, deletions_count, uploads_count;
    struct bytes scratch, value;
    struct arena arena;
};

struct blob {
    uint32_t refs_count;
    uint32_t body; // slab index; 0: only on disk
};

// ---- store.c
struct entry *
entry_at(const struct store *store, uint32_t index);
struct consumer_entry *
consumer_entry_of(const struct store *store, uint32_t number);
void
put_record(struct store *store, const struct key *key, const struct bytes *value);
void
delete_record(struct store *store, const struct key *key);

// ---- entries.c: the table of tasks
struct index_hash_items
entry_items(const struct store *store);
uint32_t
entry_new(struct store *store, uint64_t sequence, const struct uid *root, int64_t created_ms);
enum task_state
entry_state(const struct entry *entry);
// entry_matched notes the generation under which the headers matched. After 65,535
// replacements of one bind the number does not fit: its tasks are matched again at each delivery.
void
entry_matched(struct entry *entry, uint64_t generation);
void
entry_free(struct store *store, uint32_t index);
uint32_t
entry_find(const struct store *store, uint64_t sequence);
void
entry_key(const struct store *store, const struct entry *entry, struct key *key);

// ---- analysis.c: the one place that counts analyses
uint32_t
analysis_find(const struct store *store, const struct uid *root);
uint32_t
analysis_get(struct store *store, const struct uid *root, int64_t created_ms);
// analysis_prefetch, and some time later analysis_prefetch_item, before analysis_get: among
// millions it is in no cache.
void
analysis_prefetch(const struct store *store, const struct uid *root);
void
analysis_prefetch_item(const struct store *store, const struct uid *root);
struct analysis *
analysis_at(const struct store *store, uint32_t index);
// A task of the analysis became live, or stopped being so.
void
analysis_enter(struct store *store, uint32_t analysis);
void
analysis_leave(struct store *store, uint32_t analysis, bool is_finished, bool is_crashed);
void
analysis_forget_crashed(struct store *store, uint32_t analysis);
void
analysis_maybe_done(struct store *store, uint32_t analysis);

// ---- bodies.c
uint32_t
body_new(struct store *store, struct span data, uint64_t number, const struct origin *origin);
void
body_ref(struct store *store, uint32_t body);
void
body_unref(struct store *store, uint32_t body);
void
body_may_go(struct store *store, uint32_t body, uint32_t entry);
void
bodies_trim(struct store *store);
struct body *
body_at(const struct store *store, uint32_t index);

// ---- queue.c
void
queue_append(struct store *store, uint32_t index);
void
queue_return(struct store *store, uint32_t index);
void
queue_remove(struct store *store, uint32_t index);
// offer_now hands an entry that is out of its queue, with its body in memory, to the engine.
void
offer_now(struct store *store, uint32_t index);
void
offer_all(struct store *store);
void
consumer_dirty(struct store *store, struct consumer_entry *consumer);
void
consumer_wanting(struct store *store, struct consumer_entry *consumer);

// ---- objects.c
void
objects_ref(struct store *store, const struct task *task);
// The references of a task end; with the last one the object does. task NULL: not known which.
void
objects_unref(struct store *store, struct span body, const struct uid *task);
void
objects_unref_uids(struct store *store, struct span uids, const struct uid *task);
void
object_ref_uid(struct store *store, const struct uid *uid);
struct span
objects_of(struct store *store, const struct task *task, struct bytes *out);
void
object_adopt_upload(struct store *store, const struct uid *uid, const struct upload_value *upload);
void
object_adopt_deletion(struct store *store, const struct uid *uid);
// Delete intents go on; upload holds are in order of age again.
void
objects_settle_recovered(struct store *store);
// objects_tell hands over what nothing refers to any more, as far as that is durable. It, and the
// ages below, do one slice and answer whether there is more.
bool
objects_tell(struct store *store);
bool
objects_age(struct store *store, int64_t now_ms);

// ---- settle.c
// end_damaged makes a task whose body does not verify Crashed.
void
blob_unref(struct store *store, uint64_t number);
void
end_damaged(struct store *store, uint32_t index, const char *reason);
// drop_entry takes a task of a dropped consumer away, whatever its place; its body must be in
// memory if it has objects.
void
drop_entry(struct store *store, uint32_t index);
bool
crashed_age(struct store *store, int64_t now_ms);
// delayed_drop ends the delays of a consumer that was dropped.
void
delayed_drop(struct store *store, uint32_t consumer);
void
delayed_due(struct store *store, int64_t now_ms);
void
make_suspect(struct store *store, uint32_t index);
void
crashed_append(struct store *store, uint32_t index);

// ---- finished.c
void
finished_remember(struct store *store, const struct uid *root, uint64_t sequence, int64_t ended_ms);
bool
finished_age(struct store *store, int64_t now_ms);
// finished_first and finished_next walk those of an analysis, oldest first; 0: no more.
uint32_t
finished_first(const struct store *store, const struct uid *root, uint64_t *sequence);
uint32_t
finished_next(const struct store *store, uint32_t index, uint64_t *sequence);
bool
finished_find(const struct store *store, uint64_t sequence, struct uid *root);

// ---- consumers.c
struct consumer_entry *
consumer_make(struct store *store, uint32_t number);
void
consumers_write_dirty(struct store *store);
// drops_turn and releases_turn answer whether there is more that can be done at once.
bool
drops_turn(struct store *store);
bool
bind_unpack(struct store *store, struct consumer_entry *consumer,
            const struct consumer_value *value);
void
instances_write_dirty(struct store *store);
struct instance_entry *
instance_make(struct store *store, const struct uid *instance);
// start_fetch reads the record of an entry.
void
start_fetch(struct store *store, enum fetch_why why, uint32_t index);
// fetch_entry reads the body of fetch->entry, or goes on at the next poll when it is in memory
// already.
void
fetch_entry(struct store *store, const struct fetch *fetch);
void
fetches_ready(struct store *store);
void
end_suspect(struct store *store, struct entry *entry);
uint64_t
child_delivery(const struct store *store, uint32_t index);
void
instances_age(struct store *store, int64_t now_ms);
void
fetch_came(struct store *store, const struct completion *completion);
void
resume_fetched(struct store *store, const struct fetch *fetch);
void
settle_fetched(struct store *store, const struct fetch *fetch);
void
retry_fetched(struct store *store, const struct fetch *fetch);
void
retry_failed(struct store *store, uint32_t index);

// ---- held.c
// orphans_settle: a task that nobody resumed ended all the same: its children go with it.
void
orphans_settle(struct store *store, const struct uid *parent, enum outcome outcome);
void
child_adopt(struct store *store, uint64_t delivery, uint32_t index,
            const struct task_record *record);
void
release_adopt(struct store *store, uint64_t number, uint64_t delivery);
// held_new puts the entry, whose body is in memory, into the engine's hands.
struct held *
held_new(struct store *store, uint32_t index, uint64_t delivery);
// held_free ends that; the entry stays.
void
held_free(struct store *store, struct held *held);
void
held_drop_children(struct store *store, struct held *held);
void
held_release_children(struct store *store, struct held *held);
bool
releases_turn(struct store *store, int64_t now_ms);
void
held_adopt_children(struct store *store, struct held *held);
void
orphans_drop(struct store *store);

// ---- recover.c
ZKT_MUST enum zkt_err
recover(struct store *store, struct problem *problem);

// ---- query.c
// page_finish answers a page that needed nothing from disk.
void
page_finish(struct store *store, struct page_request *page);
void
pages_free(struct store *store);
void
page_fetched(struct store *store, const struct fetch *fetch, struct span key, struct span value);
