// task.h: a task between decode and store. Spans and values are borrowed from the message or arena
// it came from.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"
#include "model/value.h"

// Order of dispatch: the smaller first (parity S20).
enum priority { PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW, PRIORITIES_COUNT };
// States as Karton spells them (S9). A held child is Declared.
enum task_state {
    TASK_DECLARED,
    TASK_SPAWNED,
    TASK_STARTED,
    TASK_FINISHED,
    TASK_CRASHED,
    TASK_STATES_COUNT
};

enum { RESOURCE_DIRECTORY = 1 }; // struct resource.flags

struct resource {
    struct uid uid; // also the object key
    struct span name;
    struct span bucket;
    int64_t size; // -1: unknown (T2)
    uint8_t sha256[32];
    bool has_sha256;
    uint32_t flags;
    struct value metadata; // VALUE_MAP without sha256, or VALUE_NULL
};

struct task {
    struct uid uid;      // of the unrouted task, made by the client
    struct uid root;     // the analysis
    struct uid parent;   // the routed task it came from; none for an initial one (S5)
    struct uid orig;     // of a routed task: its unrouted one (S6)
    struct uid retry_of; // the crashed task a retry was made from (S12)
    enum priority priority;
    struct value headers; // VALUE_MAP, the persistent ones included
    // The map of the first headers as they came, when the rest was only put behind them; else
    // empty.
    struct span headers_packed;
    struct value header_keys; // VALUE_LIST of strings: names of the persistent headers ("hp")
    struct span payload;      // msgpack map, opaque
    struct span payload_persistent;
    const struct resource *resources; // everything the payloads refer to, once
    size_t resources_count;
};

// The stored form of a task: what the queue keeps and DELIVER carries; made and read by
// wire/task_body.c, handed to the core and the store as functions so that neither knows msgpack.
// The body holds headers (without "receiver"), header_keys, payload, payload_persistent and
// resources, not the identifiers and not the priority.
struct task_codec {
    // Appends the body of task to out.
    void (*pack)(const struct task *task, struct bytes *out);
    // Headers and header_keys only, into arena. False: damaged.
    bool (*headers)(struct span body, struct arena *arena, struct task *out);
    // Everything; identifiers and priority of out are left alone.
    bool (*unpack)(struct span body, struct arena *arena, struct task *out);
};

const char *
priority_name(enum priority priority); // "high", "normal", "low"
bool
priority_parse(struct span text, enum priority *priority);
const char *
task_state_name(enum task_state state); // "Declared", …
bool
task_state_parse(struct span text, enum task_state *state);
// identity_check refuses space, '?', control characters, invalid UTF-8, over LIMIT_IDENTITY_BYTES
// and, unless empty_allowed, the empty identity (P13). Names the field "identity".
enum zkt_err
identity_check(struct span identity, bool empty_allowed, struct problem *problem);
