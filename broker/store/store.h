// store.h: what a task store must do for the engine. The engine matches; the store forks, counts,
// queues and keeps.
//
// Guarantees: every change is appended to one open batch, in call order; store_commit hands the
// batch over, and on_durable(batch) or on_failed(batch) follows later, from store_poll, never from
// inside another call. One batch is being made durable at a time. What a batch holds is visible to
// later calls at once (memory first), but only durable tasks are offered. Every callback comes on
// the loop's thread, from store_poll or store_turn. Does not guarantee: that an answer comes before
// a later call (a remote store delays and reorders completions of store_get, store_page and
// store_resume). After on_failed nothing may be released any more: the engine stops and the broker
// exits (design promise 11).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"
#include "model/bind.h"
#include "model/task.h"
#include "model/value.h"

struct store;

// A hold is one routed task in this broker's hands: made by the store for on_offer or store_resume,
// read by the engine, ended by store_settle, store_return or a drop of its consumer
// (on_hold_dropped).
struct hold {
    struct uid uid; // of the routed task
    struct uid root;
    struct uid parent;
    struct uid orig;
    struct uid retry_of;
    uint32_t consumer;        // number of the consumer, never reused
    enum priority priority;   // of the analysis
    uint32_t attempt;         // lost attempts so far; the delivery's attempt is attempt + 1
    uint64_t bind_generation; // under which its headers were matched last
    uint64_t delivery;  // fencing number of this hold, drawn by the store, never reused, below 2^53
    int64_t changed_ms; // wall time of the last change of state
    struct span body;   // task_codec's form; valid until the hold ends
    void *user;         // the engine's
};

enum store_pressure { STORE_OK, STORE_SOFT, STORE_HARD, STORE_DISK };

struct analysis_counts {
    uint64_t finished_count;
    uint64_t crashed_count;
    int64_t started_ms; // wall time of the first submit; -1: not known
    int64_t done_ms;
};

// How a task ended, or why it left the store.
enum outcome { OUTCOME_FINISHED, OUTCOME_CRASHED };

struct store_callbacks {
    void *arg;
    // A durable, queued task of a consumer with want > 0: now the engine's. Counts against want.
    void (*on_offer)(void *arg, struct hold *hold);
    // The store ended this hold by itself (its consumer was dropped): revoke it. hold is gone after
    // the call.
    void (*on_hold_dropped)(void *arg, struct hold *hold);
    // A child of a Finished transactional parent is released: match it and call store_submit_child.
    // parent_* are what a child needs (A3, A4); task is borrowed for the call.
    void (*on_release)(void *arg, const struct task *task, uint64_t release);
    // An analysis has nothing Declared, Spawned or Started any more; comes with the durability of
    // the batch.
    void (*on_analysis_done)(void *arg, const struct uid *root,
                             const struct analysis_counts *counts);
    // The last reference of an object is durably gone: delete it, then store_object_deleted.
    void (*on_object_unreferenced)(void *arg, const struct uid *object);
    // A task was moved to Crashed or removed by the store itself (ageing, a damaged body, an
    // intent).
    void (*on_task_ended)(void *arg, uint32_t consumer, const struct uid *uid,
                          const struct uid *root, enum outcome outcome, const char *reason);
    // A consumer (dropped) has no records left.
    void (*on_consumer_gone)(void *arg, uint32_t consumer);
    // Answer to store_get/store_page; rows is a VALUE_LIST borrowed for the call, next empty at the
    // end.
    void (*on_result)(void *arg, uint64_t request, enum zkt_err code, const struct value *rows,
                      struct span next);
    // Answer to store_resume: hold NULL: taken = false: not found (gone), true: held under another
    // delivery.
    void (*on_resumed)(void *arg, uint64_t request, struct hold *hold, bool taken);
    // Answer to store_retry: the new task is in the open batch. retried NULL: its record is damaged
    // or its consumer was dropped meanwhile; nothing changed.
    void (*on_retried)(void *arg, uint64_t request, const struct uid *retried);
    void (*on_durable)(void *arg, uint64_t batch);
    void (*on_failed)(void *arg, uint64_t batch, const char *reason);
};

struct store_options {
    const char *path; // NULL: in memory (records_mem)
    const struct task_codec *codec;
    struct store_callbacks callbacks;
    int64_t now_ms;      // wall
    struct uid store_id; // random; used when the store is new
    int64_t finished_ttl_ms;
    int64_t crashed_ttl_ms;
    uint64_t tasks_max; // soft limit; hard is 5/4 of it
    uint64_t bytes_max; // 0: none
    uint64_t free_min_bytes;
    int64_t upload_grace_ms;
    size_t body_cache_bytes; // 0: 64 MiB
    struct records
        *records; // tests: a ready records implementation (with its faults); NULL: by path
};

// ---- Life. store_open recovers: STORE_LOCKED, STORE_VERSION, STORE_CORRUPT, IO with the reason.
ZKT_MUST enum zkt_err
store_open(const struct store_options *options, struct store **store, struct problem *problem);
void
store_close(struct store **store_p); // after the last commit is durable; stops the threads
uint64_t
store_id(const struct store *store); // the 48 bits of routed uids
// store_fd becomes readable when store_poll has something to do; -1: poll each turn (in memory).
int
store_fd(const struct store *store);
// store_poll takes completions of the committer and the fetcher and makes the callbacks.
void
store_poll(struct store *store);

// ---- Batches.
uint64_t
store_batch(const struct store *store); // number of the open batch
bool
store_batch_is_empty(const struct store *store);
size_t
store_batch_bytes(const struct store *store);
bool
store_batch_is_full(const struct store *store); // do not read the front until it is handed over
bool
store_is_committing(const struct store *store);
// store_commit hands the open batch over; only when none is being committed.
void
store_commit(struct store *store, int64_t now_ms);
enum store_pressure
store_pressure(const struct store *store);

// ---- Consumers.
struct consumer_record {
    uint32_t consumer;
    uint64_t generation;
    const struct bind *bind;                   // the store's copy, valid until replaced or gone
    uint64_t waiting_counts[PRIORITIES_COUNT]; // with those that were returned for later
    uint64_t delayed_count;                    // of these: returned, and not before their time
    uint64_t held_count;                       // offered or started
    uint64_t crashed_count;                    // records
    int64_t oldest_ms;                         // changed of the oldest waiting; -1: none
    bool dropping;
    int64_t last_seen_ms; // wall, of the last store_put_consumer or store_touch_consumer
};
// store_put_consumer creates or replaces; answers number and generation (unchanged when the bind
// does not replace).
void
store_put_consumer(struct store *store, const struct bind *bind, int64_t now_ms, uint32_t *consumer,
                   uint64_t *generation);
// store_drop_consumer is an intent: from now on nothing is offered of it; its tasks go in slices.
void
store_drop_consumer(struct store *store, uint32_t consumer, int64_t now_ms);
// store_consumer returns false for an unknown number; store_next_consumer walks numbers ascending
// from *consumer (0 first).
bool
store_consumer(const struct store *store, uint32_t consumer, struct consumer_record *out);
bool
store_next_consumer(const struct store *store, uint32_t *consumer);
bool
store_find_consumer(const struct store *store, struct span identity, uint32_t *consumer);

// ---- Instances: the peers' SUBMIT numbers and their presence over a restart (dispatch marks).
struct instance_record {
    uint64_t last_number; // last SUBMIT number wholly applied
    uint32_t consumer;    // that it serves, durably known; 0: none
};
bool
store_instance(const struct store *store, const struct uid *instance, struct instance_record *out);
// store_put_instance records durably that a worker instance serves a consumer, before its first
// DELIVER.
void
store_put_instance(struct store *store, const struct uid *instance, uint32_t consumer,
                   int64_t now_ms);
void
store_drop_instance(struct store *store, const struct uid *instance);
// store_note_number records that SUBMIT `number` is applied (with `errors` permanent ones
// remembered for re-answers).
void
store_note_number(struct store *store, const struct uid *instance, uint64_t number, int64_t now_ms);
// The remembered answer of an applied number's task_index: false: taken without error or not
// remembered any more.
void
store_note_error(struct store *store, const struct uid *instance, uint64_t number,
                 uint32_t task_index, enum zkt_err code);
bool
store_remembered_error(const struct store *store, const struct uid *instance, uint64_t number,
                       uint32_t task_index, enum zkt_err *code);
// store_instances_of lists recorded instances of a consumer after recovery that have not said HELLO
// (store_put_instance) yet.
size_t
store_missing_instances(const struct store *store, uint32_t consumer);

// ---- Tasks.
// store_submit forks `task` once for each consumer (its number and current generation); count 0
// ends it at once. The task has its final headers (origin, persistent ones merged). Every call
// counts the analysis. Resources of the task were checked by the engine (store_object_may_use).
void
store_submit(struct store *store, const struct task *task, const uint32_t *consumers,
             size_t consumers_count, int64_t now_ms);
// store_hold_child keeps a child invisible until its parent is Finished (state Declared).
// HELD_LIMIT when the delivery would exceed LIMIT_HELD_CHILDREN or LIMIT_HELD_CHILDREN_BYTES.
ZKT_MUST enum zkt_err
store_hold_child(struct store *store, struct hold *parent, const struct task *child,
                 int64_t now_ms);
// store_release_matched answers on_release (at once or later): fork for these consumers.
void
store_release_matched(struct store *store, uint64_t release, const struct task *task,
                      const uint32_t *consumers, size_t consumers_count, int64_t now_ms);
// store_want: at most n more offers for this consumer (absolute, 0 stops).
void
store_want(struct store *store, uint32_t consumer, uint32_t n);
// store_turn makes offers and one bounded slice of ageing and intents (at most LIMIT_INTENT_SLICE
// records). Returns true when there is more to do at once.
bool
store_turn(struct store *store, int64_t now_ms);
void
store_started(struct store *store, struct hold *hold, int64_t now_ms); // not durable
// store_settle ends the hold: Finished releases held children (an intent in the same commit),
// Crashed drops them and keeps the task with its error for crashed_ttl. Freed after the call.
void
store_settle(struct store *store, struct hold *hold, enum outcome outcome, struct span error,
             int64_t now_ms);
// store_return puts the task back in front of its queue, dropping held children first;
// count_attempt adds a lost attempt. not_before_ms 0: at once. Freed after the call.
void
store_return(struct store *store, struct hold *hold, bool count_attempt, int64_t not_before_ms,
             int64_t now_ms);
// store_rematched: the headers of a stale hold match the current bind: note the generation.
void
store_rematched(struct store *store, struct hold *hold, uint64_t generation);

// ---- After a restart: unsettled tasks at or below the dispatch mark are suspect and are not
// offered. A session names what it held; on_resumed follows. `delivery` is the old number and stays
// the hold's number.
void
store_resume(struct store *store, uint32_t consumer, const struct uid *uid, uint64_t delivery,
             bool started, uint64_t request, int64_t now_ms);
// store_end_grace requeues, uncounted, what is still suspect of a consumer (0: of all).
void
store_end_grace(struct store *store, uint32_t consumer, int64_t now_ms);
size_t
store_suspect_count(const struct store *store, uint32_t consumer);
// store_find_task says where a routed uid is: for REPORT and CONTROL. UNKNOWN: not in the store any
// more.
enum task_place { PLACE_UNKNOWN, PLACE_WAITING, PLACE_HELD, PLACE_SUSPECT, PLACE_CRASHED };
enum task_place
store_find_task(const struct store *store, const struct uid *uid, uint32_t *consumer,
                uint64_t *delivery);
// store_settle_suspect settles a suspect task that nobody holds (REPORT by a worker of the consumer
// before HELLO's held).
void
store_settle_suspect(struct store *store, const struct uid *uid, enum outcome outcome,
                     struct span error, int64_t now_ms);
// store_retry: a crashed task becomes a new routed task of the same consumer (I4, S12); the old one
// is Finished. NOT_FOUND, or IN_USE when it is not crashed, at once; else on_retried follows.
ZKT_MUST enum zkt_err
store_retry(struct store *store, const struct uid *uid, uint64_t request, int64_t now_ms);

// ---- Analyses.
bool
store_analysis_is_live(const struct store *store,
                       const struct uid *root); // something Declared, Spawned or Started
// store_analysis_done is true with its counts for a finished analysis that the ring still
// remembers.
bool
store_analysis_done(const struct store *store, const struct uid *root, struct analysis_counts *out);

// ---- Objects (design promise 8).
// store_object_may_upload: nobody knows the uid, or it is an object of this instance that lives.
bool
store_object_may_upload(const struct store *store, const struct uid *object,
                        const struct uid *instance);
// store_upload writes a durable upload hold; the engine answers URLS when the batch is durable.
void
store_upload(struct store *store, const struct uid *object, const struct uid *instance,
             int64_t size, const uint8_t sha256[32], int64_t now_ms);
// store_object_held finds the upload hold of an object in the name of this instance (or holder);
// false: there is none, or no more.
struct object_held {
    int64_t size;
    uint8_t sha256[32];
};
bool
store_object_held(const struct store *store, const struct uid *object, const struct uid *instance,
                  struct object_held *out);
// store_object_gone tells of an object that was deleted not long ago: with which task (none: no
// task came for it in time), and when. In memory only, the last LIMIT_GONE_OBJECTS.
bool
store_object_gone(const struct store *store, const struct uid *object, struct uid *task,
                  int64_t *at_ms);
// store_object_may_use: an object that this instance uploaded and that still lives, or a resource
// of the parent's body (NULL: none), whose objects it learns when it is first asked.
bool
store_object_may_use(struct store *store, const struct uid *object, const struct uid *instance,
                     struct hold *parent);
bool
store_object_is_referenced(const struct store *store, const struct uid *object);
void
store_object_deleted(struct store *store, const struct uid *object);
// store_object_found: the object store lists it. If nobody knows it, it is to be deleted; it is
// told like one whose last reference went.
void
store_object_found(struct store *store, const struct uid *object, int64_t now_ms);

// ---- Queries: answered by on_result, a page at a time, never by a full scan on the loop.
enum store_query { QUERY_TASKS, QUERY_TREE, QUERY_TASK };
struct store_page {
    enum store_query what;
    uint32_t consumer; // QUERY_TASKS: of this one; 0: all
    bool has_state;
    enum task_state state;
    struct uid root; // QUERY_TREE, or a filter of QUERY_TASKS; none: all
    struct uid uid;  // QUERY_TASK
    struct span cursor;
    uint32_t rows_max;
};
// Rows are maps {uid, root, parent, orig, retry_of, identity, state, priority, attempt, changed_ms,
// started_ms, headers, persistent_headers, payload, payload_persistent (bin texts as VALUE_STRING
// of msgpack), resources, error}; uids are text; QUERY_TREE includes finished skeletons
// (finished_ttl) and leaves payloads out.
void
store_page(struct store *store, const struct store_page *page, uint64_t request);

struct store_stats {
    uint64_t tasks_count;    // all live routed tasks
    uint64_t analyses_count; // that are not done
    uint64_t state_counts[TASK_STATES_COUNT];
    uint64_t objects_count;
    uint64_t uploads_count;
    uint64_t deletes_count; // delete intents waiting
    uint64_t intents_count;
    uint64_t used_bytes;
    uint64_t commits_count;
    uint64_t commit_ns_sum;
    uint64_t commit_ns_max;
    uint64_t damaged_count; // records moved to Q
    uint64_t body_cache_bytes;
    uint64_t suspects_count;
    uint64_t fetches_count; // records asked for and not yet here
};
void
store_stats(const struct store *store, struct store_stats *out);
