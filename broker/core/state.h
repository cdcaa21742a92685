// state.h: what the engine knows, for the files of core/ alone.
//
// One owner each: the engine owns sessions, consumers and counters; a session owns its leases, its
// waits and its requests; lists, heaps and tables borrow. Nothing here is durable: after a restart
// it grows again from the store and from what peers say in HELLO.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/number_map.h"
#include "core/engine.h"
#include "model/filter.h"

enum {
    TURN_OFFERS_DRAIN = 1000, // tasks of a consumer with empty filters ended in one turn
    DELIVER_ITEMS_MAX = 256,
    DELIVER_BYTES_MAX = 1 << 20,
    SESSION_REQUESTS_MAX = 64,       // questions of a session that wait for their answers
    CLOCK_STEP_MS = 60 * 1000,       // a larger step of the wall clock suspends ageing
    SESSION_TIME_SLACK_MS = 100,     // session time per turn beyond the poll timeout
    TASK_FORKS_MAX = LIMIT_BATCH_OPS // consumers that may take one task
};

// What was counted under one identity, whether it is a consumer or a producer.
struct counters {
    struct list_link in_engine;
    struct span identity; // owned
    uint64_t produced_count;
    uint64_t untaken_count; // submitted by it, and nobody took it
    uint64_t assigned_count;
    uint64_t consumed_count;
    uint64_t crashed_count;
    uint64_t rejected_count; // ended undelivered: no longer matching (S19)
    uint64_t requeued_count; // handed out and come back
};

// A bind in force, compiled, and who serves it.
struct consumer {
    uint32_t number;
    uint64_t generation;
    struct span identity;  // owned
    struct filter *filter; // owned; NULL: the stored filters do not compile any more
    bool is_persistent;
    bool is_drain;    // its filters match nothing (S18)
    bool is_dropping; // deleted; its tasks go in slices
    struct counters *counters;
    struct list_link in_engine;
    struct list sessions; // by `in_consumer`, in order of HELLO
    size_t sessions_count;
    struct list ready; // sessions with room, in the order of their turns
    uint64_t free_count;
    struct list_link dirty;  // the store's want is out of date
    size_t resuming_count;   // store_resume without an answer
    uint64_t errors_count;   // evaluations that failed (F8)
    uint64_t limits_count;   // regexes stopped (F10)
    uint32_t limits_in_turn; // the same, of this turn
    struct list_link limited;
    bool is_unhealthy; // told once
};

// What the broker knows of one connected peer.
struct session {
    uint64_t number;  // drawn per HELLO, never reused
    uint64_t entered; // its number when it came first: the order of sessions_list
    struct uid instance;
    struct span peer; // owned; empty: detached, its process may come back with a HELLO
    struct span identity;
    struct span host;
    struct span language;
    int64_t pid;
    enum role role;
    struct list_link in_engine;

    // Liveness, in session time.
    int64_t expiry_ms;
    int64_t heard_ms;
    int64_t sent_ms;
    struct heap_node expiry;
    struct heap_node beat;

    // Submitting.
    uint64_t last_number;  // applied
    bool has_first_number; // number 1 was seen: a later one above last + 1 is a gap
    uint32_t submits_open; // not answered yet

    // Working. consumer is NULL for other roles.
    struct consumer *consumer;
    struct list_link in_consumer;
    struct list_link ready;
    uint64_t generation;
    bool is_welcomed; // its HELLO is durable: deliveries may follow
    bool is_retiring;
    bool is_transactional;
    bool may_resume; // it was present when the broker stopped: suspect tasks may be its own
    uint32_t concurrency;
    uint32_t window;
    uint32_t leases_count;
    uint32_t resuming_count;
    uint32_t free_count;  // its part of consumer->free_count
    struct list leases;   // in order of delivery
    struct list outgoing; // those of them not sent yet
    struct list_link flush;

    struct list waits;
    size_t waits_count;
    uint32_t requests_count;

    int64_t log_second; // of session time
    uint32_t log_count; // records in this second
};

// The worker's hold on a delivery.
struct lease {
    struct hold *hold; // NULL: in the pool
    struct session *session;
    struct list_link in_session; // also the pool's link
    struct list_link outgoing;
    bool is_started;
    bool is_named; // by the HELLO being handled
    int64_t started_ms;
};

struct lease_chunk;
struct release_entry;

// Answers and events that wait for one batch.
struct release_queue {
    struct release_entry *first;
    struct release_entry **last_p;
    struct arena arena;
};

// How far the text of metrics is written.
struct metrics_walk {
    size_t part;
    bool is_in_part;
    struct list_link *next; // consumer or counters
};

struct engine {
    struct engine_options options;
    struct store *store;
    struct map *sessions_by_peer;
    struct map *sessions_by_instance;
    struct number_map sessions; // by number
    struct list sessions_list;
    uint64_t next_session;
    struct heap expiries; // session.expiry
    struct heap beats;    // session.beat

    struct number_map consumers; // by number, dropped ones until they are gone
    struct map *consumers_by_identity;
    struct list consumers_list;
    struct list dirty;
    struct list limited;
    struct map *counters_by_identity;
    struct list counters_list;
    struct metrics_walk metrics_walk; // of engine_metrics_some
    struct filter_index *index;
    uint32_t *matches; // of route_match
    size_t matches_capacity;

    struct number_map leases; // by delivery
    struct list leases_free;
    struct lease_chunk *lease_chunks;
    struct list flush; // sessions with outgoing leases

    struct number_map requests; // answers of the store that somebody waits for
    uint64_t next_request;
    struct map *waits_by_root;
    struct list urls; // answers whose addresses are being signed

    struct release_queue open;       // of the store's open batch
    struct release_queue committing; // of the one being made durable

    struct arena scratch;       // of one command or callback
    struct arena match_scratch; // headers of a task being matched

    int64_t started_ms; // monotonic
    int64_t now_ms;
    int64_t wall_ms; // as the store is told: a step of the clock arrives late
    int64_t wall_seen_ms;
    int64_t wall_held_until_ms; // session time; 0: no step being held back
    int64_t session_ms;
    int64_t grace_until_ms; // session time: end of resume_grace after the start
    bool is_in_grace;
    bool is_draining;
    bool has_failed;
    char failure[256];

    uint64_t pass_session; // number of the one that may submit beyond the hard limit; 0: none
    int64_t pass_until_ms; // session time

    uint64_t log_seq;
    uint64_t event_seqs[4];

    // Counted since the start.
    uint64_t bad_frames_count;
    uint64_t refused_busy_count;
    uint64_t refused_disk_count;
    bool is_intake_closed; // the log says so
    bool is_intake_on_disk;
    int64_t intake_closed_ms; // when it was last seen closed
    uint64_t sessions_lost_count;
    uint64_t log_records_count;
    uint64_t log_dropped_count;
    uint64_t deliveries_count;
    uint64_t submits_count;
    uint64_t analyses_done_count;
};
