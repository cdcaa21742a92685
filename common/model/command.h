// command.h: every message of protocol ZKP/1 as plain data: what wire/command.h decodes and
// encodes, and what the core takes and answers. Spans and values are borrowed: of a decoded command
// from its frame and arena.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"
#include "model/bind.h"
#include "model/task.h"
#include "model/value.h"

// Numbers are the wire's (schemas/protocol.json).
enum verb {
    VERB_HELLO = 1,
    VERB_WELCOME = 2,
    VERB_HEARTBEAT = 3,
    VERB_SUBMIT = 4,
    VERB_SUBMITTED = 5,
    VERB_CREDIT = 6,
    VERB_DELIVER = 7,
    VERB_REPORT = 8,
    VERB_REPORTED = 9,
    VERB_REVOKE = 10,
    VERB_LOG = 11,
    VERB_UPLOAD = 12,
    VERB_DOWNLOAD = 13,
    VERB_URLS = 14,
    VERB_WAIT = 15,
    VERB_DONE = 16,
    VERB_QUERY = 17,
    VERB_ANSWER = 18,
    VERB_CONTROL = 19,
    VERB_RETIRE = 20,
    VERB_BYE = 21,
    VERB_ERROR = 22,
    VERB_PARTS = 23,
    VERB_PART_URLS = 24,
    VERB_COMPLETE = 25,
    VERB_COMPLETED = 26,
    VERBS_END
};

enum role { ROLE_PRODUCER, ROLE_WORKER, ROLE_OPERATOR }; // "producer", "worker", "operator"
enum report_state { REPORT_STARTED, REPORT_FINISHED, REPORT_CRASHED, REPORT_RETURNED };

struct held {
    uint64_t delivery;
    struct uid uid;
    bool started;
};

// HELLO {v, instance, identity, role, host, pid, lang, bind | join, concurrency, transactional,
// expiry_ms, generation, held}
struct hello {
    uint32_t version;    // "v"
    struct uid instance; // secret of the process: the right to resume
    struct span identity;
    enum role role;
    struct span host;
    int64_t pid;
    struct span language; // "lang", e.g. "c/0.1.0"
    bool has_bind;
    struct bind bind; // "bind": {filters, persistent, info, version, service_version, is_async}
    bool join;
    uint32_t concurrency; // 1 when absent
    bool transactional;
    int64_t expiry_ms;        // wanted; 0: the broker's
    uint64_t bind_generation; // "generation": of a session that resumes; 0: none
    const struct held *held;
    size_t held_count;
};

// WELCOME {session, generation, interval_ms, expiry_ms, time_ms, last_number, submit_tasks,
// submit_bytes, task_bytes,
//          events, http, object, retiring}
struct welcome {
    uint64_t session;
    uint64_t bind_generation;
    int64_t interval_ms;
    int64_t expiry_ms;
    int64_t time_ms; // wall clock of the broker
    uint64_t last_number;
    uint32_t submit_tasks_max;
    uint32_t submit_bytes_max;
    uint32_t task_bytes_max;
    struct span events_address; // "tcp://*:5571" style hosts are given as "tcp://:5571": the host
                                // that was dialled
    struct span http_address;   // "http://:5572"
    struct span object_kind;    // "dir"
    bool retiring;              // the session keeps its leases and gets nothing more
};

// SUBMIT {number, delivery?, tasks}; a task is {uid, root, parent, orig, prio, headers, hp,
// payload, pp, resources}
struct submit {
    uint64_t number;
    uint64_t delivery; // of the parent; 0: none
    const struct task *tasks;
    size_t tasks_count;
};

// SUBMITTED {number, results: [{uid, taken} | {uid, code, message}]}
struct submit_result {
    struct uid uid;
    uint32_t taken_count; // consumers that took it; 0 for a held child
    enum zkt_err code;    // ZKT_OK: taken_count holds
    struct span message;
};
struct submitted {
    uint64_t number;
    const struct submit_result *results;
    size_t results_count;
};

// DELIVER {items: [{delivery, attempt, task}]}. To encode, `body` (struct task_codec's form) is
// spliced in and `receiver` becomes the header of that name (A4); decoded, `task` is filled and
// body empty.
struct deliver_item {
    uint64_t delivery;
    uint32_t attempt; // 1 = first
    struct task task;
    struct span body;
    struct span receiver;
};
struct deliver {
    const struct deliver_item *items;
    size_t items_count;
};

// REPORT {items: [{delivery, uid, state, error?, after?, delay_ms?}]}; state as "Started",
// "Finished", "Crashed", "Returned"
struct report_item {
    uint64_t delivery;
    struct uid uid;
    enum report_state state;
    struct span error; // text, lines separated by \n (Karton's traceback lines)
    uint64_t after;    // the highest SUBMIT number of this delivery; 0: none
    int64_t delay_ms;  // Returned: not before
};
struct report {
    const struct report_item *items;
    size_t items_count;
};

// REPORTED {items: [{delivery, uid, code?, message?, gone?}]}
struct reported_item {
    uint64_t delivery;
    struct uid uid;
    enum zkt_err code; // OK, LEASE_LOST, NOT_YET
    bool gone;         // OK, but the task was not there any more
};
struct reported {
    const struct reported_item *items;
    size_t items_count;
};

// REVOKE {deliveries: [number], reason}
struct revoke {
    const uint64_t *deliveries;
    size_t deliveries_count;
    struct span reason;
};

// UPLOAD {items: [{uid, size, sha256, holder?, take?}]}; DOWNLOAD {items: [{uid}]}; URLS {items:
// [{uid, url, part_size?} | {uid, code, message}]}
struct object_item {
    struct uid uid;
    int64_t size;
    uint8_t sha256[32];
    struct uid holder; // none: the peer itself
    bool take;
    struct span url;
    int64_t part_size; // 0: only in one

    enum zkt_err code;
    struct span message;
};
struct objects {
    const struct object_item *items;
    size_t items_count;
};

// PARTS {uid, upload?, first, count}; PART_URLS {uid, upload, part_size, first, items: [{url}]};
// COMPLETE {uid, upload, items: [{etag}]}; COMPLETED {uid}
struct upload_part {
    struct span url;
    struct span etag;
};
struct upload_parts {
    struct uid uid;
    struct span upload; // empty: to be begun
    int64_t part_size;
    uint32_t first; // from 1
    uint32_t count;
    const struct upload_part *items;
    size_t items_count;
};

// DONE {root, finished, crashed, elapsed_ms}
struct done {
    struct uid root;
    uint64_t finished_count;
    uint64_t crashed_count;
    int64_t elapsed_ms; // from the first submit to the completion; -1: not known any more
};

// QUERY {what, …}; CONTROL {what, …}: the rest of the map stays a value ("args", the whole body).
struct request {
    struct span what;
    struct value args; // VALUE_MAP
};
// ANSWER {rows: [value], next?}: next is the cursor of the following page, absent at the end.
struct answer {
    struct value rows; // VALUE_LIST
    struct span next;
};

// ERROR {code, retryable, message, verb}
struct error_body {
    enum zkt_err code;
    struct span message;
    uint32_t verb; // of the message at fault; 0: could not be read
};

struct command {
    enum verb verb;
    uint64_t id; // chosen by the sender, echoed in the answer; 0: no answer wanted
    union {
        struct hello hello;
        struct welcome welcome;
        struct submit submit;
        struct submitted submitted;
        uint32_t credit_window; // CREDIT {window}
        struct deliver deliver;
        struct report report;
        struct reported reported;
        struct revoke revoke;
        struct value log_records;  // LOG {records: [map]}: VALUE_LIST
        struct objects objects;    // UPLOAD, DOWNLOAD, URLS
        struct upload_parts parts; // PARTS, PART_URLS, COMPLETE
        struct uid completed;      // COMPLETED {uid}
        struct uid wait_root;      // WAIT {root}
        struct done done;
        struct request request; // QUERY, CONTROL
        struct answer answer;
        struct span retire_reason; // RETIRE {reason}
        struct error_body error;
    };
};
