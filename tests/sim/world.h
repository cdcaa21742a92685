// world.h: the simulated world: one broker (engine, store, disk), peers, a network, clocks. A step
// moves time, delivers what is due, lets every peer act, and makes one turn of the loop.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "core/engine.h"
#include "sim/disk.h"
#include "sim/random.h"

enum {
    PEERS_MAX = 48,
    SERVICES_MAX = 16,
    WORKS_MAX = 128,
    SENT_MAX = 32,
    SENT_TASKS_MAX = 4,
    INTERVAL_MS = 200,
    EXPIRY_MS = 1000,
    DELIVERIES_MAX = 3,
};

// What a consumer is in this world.
struct service {
    const char *identity;
    const char *types; // its filters: type is one of these letters; "" matches nothing
    bool is_persistent;
    bool is_transactional;
    bool is_strict; // its bind never changes and is never dropped: every task must arrive
    const char *emits;
    unsigned children_max;
    const char *service_version; // NULL: none
};

// A delivery in the hands of a worker.
struct work {
    bool is_used;
    uint64_t delivery;
    struct uid uid;
    struct uid root;
    struct uid resource; // one of its resources; none: it has none
    char type;
    bool is_started;
    bool is_reported; // its state is decided; repeated until REPORTED
    enum report_state state;
    uint64_t after;
    int64_t due_ms; // of its next step
};

// A SUBMIT that is not answered.
struct sent {
    uint64_t number;
    uint64_t id;
    uint64_t delivery;
    struct bytes frame;
};

enum peer_role { PEER_PRODUCER, PEER_WORKER, PEER_OPERATOR };
enum peer_phase { PEER_DEAD, PEER_OFFLINE, PEER_GREETING, PEER_READY };

struct peer {
    size_t index;
    enum peer_role role;
    enum peer_phase phase;
    const struct service *service;
    const char *identity;
    bool is_killed_by_tasks; // dies at the start of a task of type k
    bool is_joining;
    bool is_lazy;    // takes deliveries but starts none
    int64_t work_ms; // how long a task takes; 0: by chance
    struct uid instance;
    int64_t pid;         // new with each start
    uint64_t connection; // 0: none
    uint64_t next_id;
    uint64_t generation;
    uint64_t last_number;
    uint32_t window;
    uint32_t concurrency;
    bool is_retiring;
    bool wants_to_leave;
    bool is_leaving; // said BYE
    int64_t heard_ms;
    int64_t sent_ms;
    int64_t connect_ms;       // when it connects again
    int64_t resend_ms;        // when it sends its open SUBMITs again; 0: not needed
    int64_t stopped_until_ms; // SIGSTOP
    int64_t revive_ms;        // of a dead one: when it starts again; 0: never
    struct work works[WORKS_MAX];
    struct sent sent[SENT_MAX];
    size_t sent_count;
    struct uid uploaded; // last granted
    bool answered_query;
    uint64_t done_count; // DONEs received
    uint64_t errors[ZKT_ERR_COUNT];
    uint64_t delivered_count;
    uint64_t revoked_count;
    uint64_t finished_count; // REPORTED OK
    uint64_t lost_count;     // REPORTED LEASE_LOST
    uint64_t gone_count;
};

struct message;
struct ledger;

struct world {
    struct random random;
    uint64_t seed;
    bool is_traced;
    int64_t now_ms;
    int64_t wall_ms;
    int64_t turn_now_ms; // of the last turn
    int64_t session_ms;  // as the broker must count it
    struct disk *disk;
    struct engine *engine; // NULL: the broker is down
    bool has_failed;       // the engine said so
    int64_t restart_ms;    // of the broker
    int64_t frozen_until_ms;
    bool is_draining_empty;
    uint64_t tasks_max; // soft limit of the store
    int64_t crashed_ttl_ms;
    int64_t resume_grace_ms;
    // network
    struct message **messages; // heap by time
    size_t messages_count;
    size_t messages_capacity;
    uint64_t messages_order;
    struct connection *connections;
    size_t connections_count;
    size_t connections_capacity;
    int64_t delay_ms_max;
    unsigned drop_permille; // of a connection, per message
    struct peer peers[PEERS_MAX];
    size_t peers_count;
    struct ledger *ledger;
    bool is_quiet;           // events are not looked at
    bool is_calm;            // no faults any more
    unsigned crash_permille; // a task that ends Crashed
    unsigned return_permille;
    unsigned resource_permille;
    uint64_t events_count;
    uint64_t finished_events;
    uint64_t restarts_count;
    char violation[512];
};

struct world *
world_new(uint64_t seed, bool is_traced);
void
world_destroy(struct world **world_p);
void
world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
// world_violated notes the first violation of an invariant.
void
world_violated(struct world *world, int invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool
world_is_violated(const struct world *world);
// world_turn is the broker's part of a step; world_restore_send undoes a replaced effect.
void
world_turn(struct world *world);
void
world_restore_send(struct world *world);
void
world_step(struct world *world, int64_t elapsed_ms);
// world_run makes steps of a few ms until `until` is true or max_ms passed; false: it is not.
bool
world_run(struct world *world, bool (*until)(struct world *world), int64_t max_ms);
void
world_start_broker(struct world *world);
void
world_kill_broker(struct world *world, int64_t down_ms);
struct peer *
world_add_peer(struct world *world, enum peer_role role, const struct service *service);
// world_send hands a command of a peer to the network.
void
world_send(struct world *world, struct peer *peer, const struct command *command);
void
world_send_frame(struct world *world, struct peer *peer, struct span frame);
void
world_connect(struct world *world, struct peer *peer);
void
world_disconnect(struct world *world, struct peer *peer);
bool
world_is_quiet(struct world *world); // nothing live in the store, nothing unanswered
void
world_check_engine(struct world *world); // check.c

// ---- peer.c: what a client does
void
peer_act(struct world *world, struct peer *peer);
void
peer_receive(struct world *world, struct peer *peer, const struct command *command);
void
peer_lost_connection(struct world *world, struct peer *peer);
void
peer_die(struct world *world, struct peer *peer, int64_t revive_after_ms);
void
peer_start(struct world *world, struct peer *peer);
// peer_leave says BYE; 0: it does not start again.
void
peer_leave(struct world *world, struct peer *peer, int64_t revive_after_ms);
// peer_submit sends count tasks of a type; parent NULL: initial ones. Returns the number.
uint64_t
peer_submit(struct world *world, struct peer *peer, char type, size_t count, struct work *parent,
            enum priority priority, struct uid *first);
void
peer_query(struct world *world, struct peer *peer, const char *what, const struct value *args);
void
peer_control(struct world *world, struct peer *peer, const char *what, const char *key,
             const char *text);
void
peer_wait(struct world *world, struct peer *peer, const struct uid *root);
bool
peer_is_idle(const struct peer *peer);
size_t
peer_works_count(const struct peer *peer);
void
peer_clear(struct peer *peer);

// ---- ledger.c: what was promised, and the invariants about it
struct ledger *
ledger_new(void);
void
ledger_destroy(struct ledger **ledger_p);
void
ledger_submitted(struct world *world, const struct peer *peer, uint64_t number,
                 const struct task *task, const struct work *parent, char type);
// What the broker was told, before it acts on it; what it says, as it says it.
void
ledger_heard(struct world *world, const struct peer *peer, const struct command *command);
void
ledger_applied(struct world *world, const struct peer *peer, const struct command *command);
// instance: of the process that the connection belongs to; the peer may have been started anew.
void
ledger_said(struct world *world, const struct peer *peer, const struct uid *instance,
            const struct command *command);
void
ledger_published(struct world *world, const char *topic, const struct value *body);
void
ledger_object_deleted(struct world *world, const struct uid *object);
// ledger_killed: what was in no batch up to `durable`, nor in the one in flight, is lost.
void
ledger_killed(struct world *world, uint64_t durable, uint64_t in_flight);
// ledger_unsent: a DELIVER that found no connection.
void
ledger_unsent(struct world *world, const struct peer *peer, const struct command *command);
// ledger_end checks what must hold when everything has come to rest.
void
ledger_end(struct world *world);
void
ledger_crashed_row(struct world *world, const struct uid *uid);
uint64_t
ledger_acked_count(const struct world *world);
uint64_t
ledger_acked_initial_count(const struct world *world);
// ledger_retried: its analysis may complete once more.
void
ledger_retried(struct world *world, const struct uid *routed);
extern const struct service services[];
extern const size_t services_count;
