// zkarton.h: the client of the zkarton task bus: producers, workers, logs and events.
//
// Units: every time is in milliseconds unless the name ends in _s (seconds); every size in bytes.
// Ownership: a parameter `**x_p` is always consumed and NULL afterwards, success or failure; a
// `const` result is borrowed from the handle that gave it; a `char *` result is freed by the caller
// with free(); everything that has a destroy accepts NULL there.
// Errors: functions that can fail return enum zkt_err (zkarton_err.h) and the handle's *_error()
// tells the sentence. The constructors zkt_config_load, zkt_client_new, zkt_worker_new,
// zkt_events_new and zkt_test_run set their handle even when they fail: it is then good for
// *_error() and *_destroy() only.
// Threads: a client, a task, a value and an events handle belong to one thread at a time. From any
// thread: zkt_worker_stop, zkt_worker_abort, zkt_delivery_is_cancelled, zkt_log. A process that
// forks must not use a handle of its parent in the child.
// Ids in brackets, as (S25), name lines of Karton's behaviour in docs/from-karton.md.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "zkarton_err.h" // behind the brace: its functions are C's as well
#pragma GCC visibility push(default)

#define ZKT_PRINTF(format_index, first_index)                                                      \
    __attribute__((format(printf, format_index, first_index)))
#define ZKT_VERSION "0.1.0"

enum zkt_priority { ZKT_NORMAL, ZKT_HIGH, ZKT_LOW };                                // S20
enum zkt_level { ZKT_DEBUG = 10, ZKT_INFO = 20, ZKT_WARNING = 30, ZKT_ERROR = 40 }; // S15
enum zkt_type {                                                                     // T3
    ZKT_NULL,
    ZKT_BOOL,
    ZKT_INT,    // fits int64_t
    ZKT_BIGINT, // zkt_value_string gives its decimal text
    ZKT_DOUBLE, // also NaN and the infinities
    ZKT_STRING,
    ZKT_LIST,
    ZKT_MAP,
    ZKT_RESOURCE
};
enum { ZKT_ROOT_UID_SIZE = 37, ZKT_FILTERS_MAX = 16 };

typedef struct zkt_client zkt_client_t;     // a session with the broker: produce, query, wait
typedef struct zkt_worker zkt_worker_t;     // serves one consumer
typedef struct zkt_delivery zkt_delivery_t; // one task inside one call of process
typedef struct zkt_task zkt_task_t;
typedef struct zkt_value zkt_value_t; // a JSON-like value; a resource is one kind of value
typedef struct zkt_resource zkt_resource_t;
typedef struct zkt_config zkt_config_t;
typedef struct zkt_events zkt_events_t;
typedef struct zkt_test zkt_test_t;

// ---- Configuration: Karton's search order, dialect and environment (S22-S24, E1-E4, E7).

// path NULL: the usual search; a path is read behind it and must exist. CONFIG_INVALID names file,
// line and option.
ZKT_MUST enum zkt_err
zkt_config_load(const char *path, zkt_config_t **config);
const char *
zkt_config_get(const zkt_config_t *config, const char *section, const char *option,
               const char *fallback);
int64_t
zkt_config_getint(const zkt_config_t *config, const char *section, const char *option,
                  int64_t fallback);
bool
zkt_config_getbool(const zkt_config_t *config, const char *section, const char *option,
                   bool fallback);
// Durations are written "1500ms", "2s", "10m"; a bare number is seconds. Result in ms.
int64_t
zkt_config_getduration(const zkt_config_t *config, const char *section, const char *option,
                       int64_t fallback_ms);
// Where a value came from: "./karton.ini:7", "environment", "default".
const char *
zkt_config_origin(const zkt_config_t *config, const char *section, const char *option);
void
zkt_config_set(zkt_config_t *config, const char *section, const char *option, const char *value);
const char *
zkt_config_error(const zkt_config_t *config); // NULL: no mistake
void
zkt_config_destroy(zkt_config_t **config_p);

// ---- Tasks (A1-A5). Setters copy and never fail: the first mistake sticks, zkt_task_error tells
// it, and sending refuses the task with INVALID.

// Headers are words, "type=sample n:=3" (key=text, key:=JSON; k:="a b" for text with spaces), or a
// JSON object. NULL or "": none.
zkt_task_t *
zkt_task_new(const char *headers);
// The persistent headers and the whole payload of task (by reference) under new headers; no parent,
// own root, NORMAL; sending it from process makes it a child as any other (A2).
zkt_task_t *
zkt_task_derive(const zkt_task_t *task, const char *headers);
// A Karton task document (T1-T5), or {"headers": {…}, "payload": {…}, "headers_persistent": {…},
// "payload_persistent": {…}, "priority": …}. Identifiers in it are not taken over: the task is new.
zkt_task_t *
zkt_task_from_json(const char *json);
void
zkt_task_destroy(zkt_task_t **task_p);
void
zkt_task_set_header(zkt_task_t *task, const char *name, const char *value);
void
zkt_task_set_header_json(zkt_task_t *task, const char *name, const char *json);
// Headers as in zkt_task_new, added to what is there.
void
zkt_task_set_headers(zkt_task_t *task, const char *headers);
void
zkt_task_set_priority(zkt_task_t *task, enum zkt_priority priority); // S21: ignored in process
void
zkt_task_set_string(zkt_task_t *task, const char *key, const char *value);
void
zkt_task_set_int(zkt_task_t *task, const char *key, int64_t value);
void
zkt_task_set_double(zkt_task_t *task, const char *key, double value);
void
zkt_task_set_bool(zkt_task_t *task, const char *key, bool value);
void
zkt_task_set_json(zkt_task_t *task, const char *key, const char *json);
void
zkt_task_set_value(zkt_task_t *task, const char *key, zkt_value_t **value_p);
// Files are hashed now and read again at send (B1, B2): a file that changed in between fails the
// send. The resource's name is the last part of path.
void
zkt_task_set_file(zkt_task_t *task, const char *key, const char *path);
// As zkt_task_set_file under another resource name.
void
zkt_task_set_file_as(zkt_task_t *task, const char *key, const char *name, const char *path);
void
zkt_task_set_data(zkt_task_t *task, const char *key, const char *name, const void *data,
                  size_t size); // size 0 is a mistake (T6)
// fd is duplicated; it is read from offset 0, its position is kept. It must be seekable.
void
zkt_task_set_fd(zkt_task_t *task, const char *key, const char *name, int fd);
// A zip of everything below path, flag Directory (B3). The zip is made now, in a temporary file.
void
zkt_task_set_directory(zkt_task_t *task, const char *key, const char *path);
// What zkt_client_put put: the object becomes this task's. A token is good for one task.
void
zkt_task_set_token(zkt_task_t *task, const char *key, const char *token);
// By reference, nothing is copied (B4).
void
zkt_task_set_resource(zkt_task_t *task, const char *key, const zkt_resource_t *resource);
void
zkt_task_persist(zkt_task_t *task, const char *key); // this payload key goes to all descendants
void
zkt_task_persist_header(zkt_task_t *task, const char *name);
const char *
zkt_task_error(const zkt_task_t *task); // NULL: no mistake so far
const char *
zkt_task_uid(const zkt_task_t *task); // 36 characters
const char *
zkt_task_root_uid(const zkt_task_t *task); // of a task that was not sent: its own uid
const char *
zkt_task_parent_uid(const zkt_task_t *task); // NULL: none
const char *
zkt_task_orig_uid(const zkt_task_t *task); // NULL: none
enum zkt_priority
zkt_task_priority(const zkt_task_t *task);
const char *
zkt_task_header(const zkt_task_t *task,
                const char *name); // NULL: missing or not a string
const zkt_value_t *
zkt_task_header_value(const zkt_task_t *task, const char *name);
const zkt_value_t *
zkt_task_headers(const zkt_task_t *task); // all, a map
// path "list.0" walks; the persistent payload is looked at first (A5). NULL: missing.
const zkt_value_t *
zkt_task_payload(const zkt_task_t *task, const char *path);
const zkt_value_t *
zkt_task_payload_map(const zkt_task_t *task); // all that is not persistent
const zkt_value_t *
zkt_task_persistent_map(const zkt_task_t *task); // all that is persistent
const zkt_resource_t *
zkt_task_resource(const zkt_task_t *task,
                  const char *path); // NULL: missing or no resource
// Every resource that the payload refers to, each once, wherever it is nested.
size_t
zkt_task_resources_count(const zkt_task_t *task);
const zkt_resource_t *
zkt_task_resource_at(const zkt_task_t *task, size_t resource_index);
// Karton's task document (parity B "Task JSON"), keys sorted; indent 0: one line, else 2 or 4.
// status is "Declared" for a task that was not delivered, "Started" inside process.
char *
zkt_task_json(const zkt_task_t *task, unsigned indent);

// ---- Values. Getters accept NULL and a wrong type: they answer the fallback.
zkt_value_t *
zkt_value_list(void);
zkt_value_t *
zkt_value_map(void);
zkt_value_t *
zkt_value_from_json(const char *json); // NULL: not JSON
zkt_value_t *
zkt_value_from_resource(const zkt_resource_t *resource);
// An item is consumed. Appending to no list, or putting into no map, drops the item.
void
zkt_value_append(zkt_value_t *list, zkt_value_t **item_p);
void
zkt_value_put(zkt_value_t *map, const char *key, zkt_value_t **item_p);
void
zkt_value_destroy(zkt_value_t **value_p); // only of values that the caller made
enum zkt_type
zkt_value_type(const zkt_value_t *value);
const char *
zkt_value_string(const zkt_value_t *value, const char *fallback);
int64_t
zkt_value_int(const zkt_value_t *value, int64_t fallback);
double
zkt_value_double(const zkt_value_t *value, double fallback); // integers too
bool
zkt_value_bool(const zkt_value_t *value, bool fallback);
size_t
zkt_value_len(const zkt_value_t *value); // items, members, bytes of text
const zkt_value_t *
zkt_value_at(const zkt_value_t *value, size_t item_index); // list or map
const char *
zkt_value_key(const zkt_value_t *map, size_t item_index);
const zkt_value_t *
zkt_value_get(const zkt_value_t *map, const char *path);
const zkt_resource_t *
zkt_value_resource(const zkt_value_t *value); // NULL: another type
char *
zkt_value_json(const zkt_value_t *value);

// ---- Resources (B1-B4, T2)
const char *
zkt_resource_name(const zkt_resource_t *resource);
const char *
zkt_resource_uid(const zkt_resource_t *resource);
const char *
zkt_resource_bucket(const zkt_resource_t *resource);
const char *
zkt_resource_sha256(const zkt_resource_t *resource); // 64 hex digits; NULL: unknown
int64_t
zkt_resource_size(const zkt_resource_t *resource); // -1: unknown (T2)
const zkt_value_t *
zkt_resource_metadata(const zkt_resource_t *resource);
bool
zkt_resource_is_directory(const zkt_resource_t *resource);

// ---- Workers
// ZKT_OK: Finished. Anything else: Crashed, with the text of zkt_delivery_fail or, without one, of
// the delivery's last failed call (S7).
typedef enum zkt_err (*zkt_process_fn)(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg);
typedef void (*zkt_hook_fn)(zkt_delivery_t *delivery, enum zkt_err result,
                            void *arg); // result of pre-hooks: ZKT_OK
typedef struct {
    const char *identity; // [karton] identity overrides it (P13)
    const char *info;     // the queue's description
    const char *service_version;
    const char *version; // of the library, as shown in the bind; NULL: ours (T7)
    const char
        *filters[ZKT_FILTERS_MAX]; // OR; words or JSON; none is an error, {"[]"} drains (S18)
    const char *filters_json;      // instead of filters: the whole list as JSON
    zkt_process_fn process;
    void *arg;
    const zkt_config_t *config; // NULL: the usual search; borrowed until destroy
    unsigned concurrency;       // threads that run process; 0: [worker] concurrency
    unsigned prefetch;          // deliveries held at most; 0: adaptive
    unsigned timeout_s;         // of one task (P5); 0: [karton] task_timeout
    bool temporary;             // not persistent (S17)
    bool transactional;         // children appear only when their task is Finished
    bool join;                  // take the registered bind, whatever it is (T7)
    bool keep_signals;          // leave SIGINT and SIGTERM alone
} zkt_worker_options_t;

// Parses Karton's options (P12), runs, returns an exit code: 0 stopped or retired, 1 failed, 2
// usage or configuration, 3 unreachable, 4 denied, 130 stopped hard.
int
zkt_worker_main(int argc, char **argv, const zkt_worker_options_t *options);
// Checks options and configuration; talks to nobody yet.
ZKT_MUST enum zkt_err
zkt_worker_new(const zkt_worker_options_t *options, zkt_worker_t **worker);
// Hooks run around process on its thread (P9), in the order they were added. name is copied.
void
zkt_worker_add_hooks(zkt_worker_t *worker, const char *name, zkt_hook_fn pre, zkt_hook_fn post,
                     void *arg);
// Registers and serves until zkt_worker_stop, SIGTERM, SIGINT or retirement. Without a broker it
// waits for one. ZKT_OK: everything held was finished and answered; CANCELLED: stopped hard, the
// tasks in process went back; FAILED: every thread is in a process that went on 2 s after its
// timeout. After CANCELLED or FAILED threads may still be in process: the program should exit.
ZKT_MUST enum zkt_err
zkt_worker_run(zkt_worker_t *worker);
void
zkt_worker_stop(zkt_worker_t *worker); // finish what is in process; any thread, any signal handler
void
zkt_worker_abort(zkt_worker_t *worker); // give back what is in process (P6); likewise
const char *
zkt_worker_identity(const zkt_worker_t *worker); // with the suffix of debug mode (S26)
const char *
zkt_worker_error(const zkt_worker_t *worker);
// After CANCELLED or FAILED it removes the files of deliveries and leaves the rest to the exit.
void
zkt_worker_destroy(zkt_worker_t **worker_p);

// ---- Inside process. What these hand out lives until process returns.

// The child is on disk on return; of a transactional worker it is held there until its task is
// Finished. Files are uploaded first (B2). Children sent before a failure stay sent (P4).
ZKT_MUST enum zkt_err
zkt_delivery_send(zkt_delivery_t *delivery, zkt_task_t **child_p);
// As zkt_delivery_send without waiting, for many children: the task becomes Finished only after
// they are on disk, and a refusal that arrives later crashes it.
ZKT_MUST enum zkt_err
zkt_delivery_post(zkt_delivery_t *delivery, zkt_task_t **child_p);
ZKT_MUST enum zkt_err
zkt_delivery_data(zkt_delivery_t *delivery, const zkt_resource_t *resource, const void **data,
                  size_t *size);
ZKT_MUST enum zkt_err
zkt_delivery_file(zkt_delivery_t *delivery, const zkt_resource_t *resource, const char **path);
// An own empty folder, with the content of zip unpacked if it is not NULL. Entries that would leave
// the folder fail it.
ZKT_MUST enum zkt_err
zkt_delivery_folder(zkt_delivery_t *delivery, const zkt_resource_t *zip, const char **path);
ZKT_MUST enum zkt_err
zkt_delivery_fail(zkt_delivery_t *delivery, const char *format, ...)
    ZKT_PRINTF(2, 3); // returns ZKT_FAILED
// Gives the task back to the queue, not counted as an attempt, not before delay_ms; return what it
// returns. Children sent before stay sent unless the worker is transactional.
ZKT_MUST enum zkt_err
zkt_delivery_give_back(zkt_delivery_t *delivery, int64_t delay_ms);
// Timeout, lease lost, task cancelled, worker aborted: the result will not count.
bool
zkt_delivery_is_cancelled(const zkt_delivery_t *delivery);
// A file descriptor that is readable once is_cancelled; borrowed, never read from it. -1: none.
int
zkt_delivery_cancel_fd(zkt_delivery_t *delivery);
unsigned
zkt_delivery_attempt(const zkt_delivery_t *delivery); // 1 = first
const zkt_task_t *
zkt_delivery_task(const zkt_delivery_t *delivery);
const char *
zkt_delivery_error(const zkt_delivery_t *delivery); // last failure; NULL: none
// A client over the worker's own session, for queries, waits and new analyses. Borrowed.
zkt_client_t *
zkt_delivery_client(zkt_delivery_t *delivery);

typedef struct {
    const char *file;
    int line;
    const char *function;
} zkt_source_t;
// Karton's log record (S13): to stderr, and published unless in debug mode. Outside process pass
// NULL: then it goes to stderr only, whatever the level.
#define zkt_log(delivery, level, ...)                                                              \
    zkt_log_at((delivery), (level), &(zkt_source_t){__FILE__, __LINE__, __func__}, __VA_ARGS__)
void
zkt_log_at(zkt_delivery_t *delivery, enum zkt_level level, const zkt_source_t *source,
           const char *format, ...) ZKT_PRINTF(4, 5);
// A record of a worker outside any task: "(no task)".
void
zkt_worker_log(zkt_worker_t *worker, enum zkt_level level, const zkt_source_t *source,
               const char *format, ...) ZKT_PRINTF(4, 5);

// ---- Producers, operators
// Called for each upload and download while bytes move. total -1: unknown.
typedef void (*zkt_progress_fn)(void *arg, const char *name, int64_t done_bytes,
                                int64_t total_bytes);
// Called for each posted task once its fate is known, on the thread that posts or flushes.
// taken_count: consumers that took it.
typedef void (*zkt_sent_fn)(void *arg, const char *root_uid, enum zkt_err result,
                            uint32_t taken_count, const char *error);
// A line for people: that the object store is away, and that it is tried again.
typedef void (*zkt_notice_fn)(void *arg, const char *text);
typedef struct {
    const char *identity;       // may be empty (P13); becomes the header "origin"
    const zkt_config_t *config; // NULL: the usual search; borrowed until destroy
    int timeout_ms;   // of every call that waits for an answer; 0: 5000 and no waiting for a broker
                      // that is not there; -1: none
    bool is_operator; // may query, control and download anything
    unsigned batch_tasks;  // most tasks in one message; 0: what is waiting, up to the limit
    unsigned window_tasks; // most posted tasks under way before post waits; 0: 16384
    zkt_progress_fn on_progress;
    zkt_sent_fn on_sent;
    void *arg; // of these
    zkt_notice_fn on_notice;
} zkt_client_options_t;
typedef struct {
    uint64_t finished_count;
    uint64_t crashed_count;
    int64_t elapsed_ms; // -1: not known any more
} zkt_summary_t;

// Connects; UNREACHABLE names the address and where it was configured.
ZKT_MUST enum zkt_err
zkt_client_new(const zkt_client_options_t *options, zkt_client_t **client);
// Durable on return. root_uid may be NULL. Order of sends is kept.
ZKT_MUST enum zkt_err
zkt_client_send(zkt_client_t *client, zkt_task_t **task_p, char root_uid[ZKT_ROOT_UID_SIZE]);
// Pipelined; returns at once unless too much is under way. An error is of this task; refusals that
// arrive later come by on_sent and by flush.
ZKT_MUST enum zkt_err
zkt_client_post(zkt_client_t *client, zkt_task_t **task_p, char root_uid[ZKT_ROOT_UID_SIZE]);
// All posted are durable, or the first error since the last flush. timeout_ms 0: the client's.
ZKT_MUST enum zkt_err
zkt_client_flush(zkt_client_t *client, int timeout_ms);
// How many durable tasks of this client no consumer took.
uint64_t
zkt_client_untaken_count(const zkt_client_t *client);
// Until the analysis is done; NOT_FOUND for an unknown root. timeout_ms -1: for ever.
ZKT_MUST enum zkt_err
zkt_client_wait(zkt_client_t *client, const char *root_uid, int timeout_ms, zkt_summary_t *summary);
// what: "consumers", "consumer", "queues", "workers", "tasks", "task", "tree", "analysis", "match",
// "metrics"; json: its arguments as an object, or NULL. *answer is {"rows": [...], "next": cursor}
// ("next" only while more follows: pass it back as "after"); the caller destroys it.
ZKT_MUST enum zkt_err
zkt_client_query(zkt_client_t *client, const char *what, const char *json, zkt_value_t **answer);
// what: "retry" {"uid"}, "delete_consumer" {"identity"}; answer as zkt_client_query.
ZKT_MUST enum zkt_err
zkt_client_control(zkt_client_t *client, const char *what, const char *json, zkt_value_t **answer);
// Writes the object at the position of fd, verified by size and SHA-256 if they are known. Of a
// foreign task: operators only.
ZKT_MUST enum zkt_err
zkt_client_download(zkt_client_t *client, const zkt_resource_t *resource, int fd);
// Uploads a file (or a directory, as zip) ahead of the task that will refer to it. *token, freed by
// the caller, is a secret: whoever has it may send the object once (zkt_task_set_token), also
// another process, for [object] upload_grace (an hour). name NULL: the last part of path.
ZKT_MUST enum zkt_err
zkt_client_put(zkt_client_t *client, const char *path, const char *name, char **token);
// After a send with the token that failed: the token is good again, for upload_grace from now.
ZKT_MUST enum zkt_err
zkt_client_give_back(zkt_client_t *client, const char *token);
// A resource by its uid alone, for zkt_client_download; the caller destroys the value.
zkt_value_t *
zkt_value_from_resource_uid(const char *uid);
const char *
zkt_client_error(const zkt_client_t *client); // text of the last failure
void
zkt_client_destroy(zkt_client_t **client_p); // posted tasks that were not flushed may be lost

// ---- Logs and events. Topics are prefixes: "log.", "log.error.", "analysis.<root>.", "worker.",
// "consumer.", "broker."; levels in them are lower case. NULL ends the list.

// Connected on return: what is published from now on is seen.
ZKT_MUST enum zkt_err
zkt_events_new(zkt_client_t *client, const char *const *topics, zkt_events_t **events);
// topic and body live until the next call. TIMEOUT after timeout_ms (-1: never).
ZKT_MUST enum zkt_err
zkt_events_next(zkt_events_t *events, int timeout_ms, const char **topic, const zkt_value_t **body);
// How many messages of whole families ("log.", "analysis.", …) that were subscribed to never came.
uint64_t
zkt_events_missed_count(const zkt_events_t *events);
int
zkt_events_fd(const zkt_events_t *events); // readable: call zkt_events_next with timeout 0
const char *
zkt_events_error(const zkt_events_t *events);
void
zkt_events_destroy(zkt_events_t **events_p);

// ---- Test kit: one task through process, with no broker and no store (I5).
// Resources of the task are local and can be read by process; children are kept as sent, with
// origin, parent, root and the persistent bags as the bus would set them.
ZKT_MUST enum zkt_err
zkt_test_run(const zkt_worker_options_t *options, zkt_task_t **task_p, zkt_test_t **test);
const char *
zkt_test_state(const zkt_test_t *test); // "Finished", "Crashed", "Rejected", "Returned"
const char *
zkt_test_error(const zkt_test_t *test); // NULL: none
const char *
zkt_test_log(const zkt_test_t *test); // what was logged, "[LEVEL] text" a line
size_t
zkt_test_children_count(const zkt_test_t *test);
const zkt_task_t *
zkt_test_child(const zkt_test_t *test, size_t child_index);
// The bytes of a resource of a child; NULL: not a local one.
const void *
zkt_test_data(const zkt_test_t *test, const zkt_resource_t *resource, size_t *size);
void
zkt_test_destroy(zkt_test_t **test_p);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
