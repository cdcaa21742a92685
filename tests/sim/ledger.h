// ledger.h: what the ledger writes down, for ledger.c and ledger_said.c alone.
#pragma once
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/state.h"
#include "sim/world.h"
#include "wire/task_body.h"

// One unrouted task, known by the uid its client gave it.
struct entry {
    struct uid uid;
    struct uid initial;  // of its tree
    struct uid parent;   // routed; none: initial
    struct uid resource; // none: it has none
    enum priority priority;
    char type;
    const char *sender;
    uint64_t parent_delivery; // 0: initial
    bool is_held;             // child of a transactional parent
    bool is_acked;
    bool is_refused;
    struct routed *routed[SERVICES_MAX]; // one for each consumer, as delivered
};

// One routed task, known by its first delivery.
struct routed {
    struct uid uid;
    struct entry *entry;
    size_t service_index;
    uint32_t attempt;
    uint64_t last_delivery;
    uint64_t children_delivery; // of a transactional parent: the delivery whose children were seen
    uint64_t ok_delivery;       // the delivery that settled it
    bool is_finished;           // REPORTED OK
    bool is_crashed;
    bool may_be_settled; // a REPORT of its last delivery reached the broker, which may have kept it
    uint64_t settled_batch; // the batch of that; 0: durable
    bool is_gone;           // REPORTED gone
    bool was_settled;       // before the report being handled
    bool is_in_crashed_rows;
};

struct given {
    struct routed *routed;
    uint64_t delivery;
    struct uid instance;
    bool is_open; // counts against the window
    bool is_reported;
    enum report_state state;
    uint64_t life;  // of the broker that gave it
    uint64_t after; // the last SUBMIT that its report names
};

struct root {
    struct uid uid;
    struct entry *entry;
    uint64_t finished_events;
    uint64_t completions_max; // submits and retries that may complete it again
};

// What of an instance waits for durability.
struct presence {
    struct uid instance;
    uint64_t applied_number;
    uint64_t applied_batch;
    uint64_t before_number; // applied before the SUBMIT being handled
    uint64_t said_number;   // the highest acknowledged in this life of the broker
    uint64_t seen_number;   // the highest that was applied, restarts or not
    uint32_t window;
    uint32_t open_count;
    int64_t heard_ms; // session time
};

struct ledger {
    struct map *entries;
    struct map *routed;
    struct map *given;
    struct map *roots;
    struct map *presences;
    struct entry **entries_list;
    size_t entries_count, entries_capacity;
    struct routed **routed_list;
    size_t routed_count, routed_capacity;
    struct given **given_list;
    size_t given_count, given_capacity;
    struct root **roots_list;
    size_t roots_count, roots_capacity;
    struct presence **presences_list;
    size_t presences_count, presences_capacity;
    uint64_t first_sequences[SERVICES_MAX][PRIORITIES_COUNT]; // highest first delivery before now
    uint64_t turn_sequences[SERVICES_MAX][PRIORITIES_COUNT];  // … of this turn, over all sessions
    int64_t turn_ms;
    uint64_t exempt_sequences[SERVICES_MAX][PRIORITIES_COUNT];
    uint64_t restarts_count;
    uint64_t acked_count;
};

#define GROW(list, count, capacity)                                                                \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity)*2 + 64;                                                        \
            (list) = xrealloc((list), (capacity) * sizeof *(list));                                \
        }                                                                                          \
    } while (0)

void *
ledger_find(const struct map *map, const struct uid *uid);
struct given *
ledger_given(const struct ledger *ledger, uint64_t delivery);
struct presence *
ledger_presence(struct ledger *ledger, const struct uid *instance);
// SERVICES_MAX: none of that name.
size_t
service_index_of(const char *identity, size_t len);
bool
service_takes(const struct service *service, char type);
void
ledger_trace(struct world *world, const char *what, const struct uid *uid, uint64_t delivery);
