// client.h: what stands behind zkt_client_t: a thread's way to ask and to submit through an I/O
// thread, its own or a worker's.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io_thread.h"
#include "mailbox.h"
#include "zkarton.h"

struct transfer;

struct zkt_client {
    struct io *io; // &own, or the worker's
    bool owns_io;
    struct io own;
    struct mailbox replies;
    zkt_client_options_t options;
    struct zkt_config *own_config; // loaded by ourselves; NULL: the caller's
    struct problem problem;        // the last failure
    struct problem refusal;        // the first since the last flush
    size_t posted_count;           // under way
    size_t posted_bytes;
    uint64_t untaken_count;
    const struct zkt_task *wanted; // zkt_client_send waits for it: it is not destroyed when back
    bool is_wanted_back;
    struct uid_pool uids;
    struct transfer *transfer; // made on first use
    // Of a worker's client, for what takes long; NULL: nobody stops it, nobody is told.
    bool (*is_stopped)(void *arg);
    void (*on_wait)(void *arg, const char *text);
    void *stop_arg; // of both
};

// client_attach makes a client over a worker's io; client_detach ends it.
void
client_attach(struct zkt_client *client, struct io *io);
void
client_detach(struct zkt_client *client);
// client_deadline: now + timeout; 0: the client's, -1: never.
int64_t
client_deadline(const struct zkt_client *client, int64_t timeout_ms);
// client_ask sends request.command and waits. The request is the caller's: request_begin before,
// request_end after.
void
request_begin(struct question *request, enum verb verb);
void
request_end(struct question *request);
ZKT_MUST enum zkt_err
client_ask(struct zkt_client *client, struct question *request, int64_t deadline_ms);
// client_ask_watching asks goes_on every two seconds while it waits, which may itself ask the
// broker; false: CANCELLED, unless the answer was OK. deadline_ms has to be a time.
ZKT_MUST enum zkt_err
client_ask_watching(struct zkt_client *client, struct question *request, int64_t deadline_ms,
                    bool (*goes_on)(void *arg), void *arg);
// client_put hands a packed task to the I/O thread; consumed. Waits while too much is under way.
ZKT_MUST enum zkt_err
client_put(struct zkt_client *client, struct zkt_task **task_p);
// client_collect takes back what was answered; waits for at least one answer until deadline_ms.
// False: none came.
bool
client_collect(struct zkt_client *client, int64_t deadline_ms);
enum zkt_err
client_problem(struct zkt_client *client, enum zkt_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// task_address sets the headers that the bus owns (A4).
void
task_address(struct zkt_task *task, struct span identity);

// ---- rows.c
// row_open unpacks the payload bags of a task's row; their resources become owned's.
void
row_open(struct owned_value *owned, struct value *row);

// ---- objects.c, uploads.c
// client_upload brings every local resource of task to the object store.
ZKT_MUST enum zkt_err
client_upload(struct zkt_client *client, struct zkt_task *task);
// client_upload_resources does so for resources alone.
ZKT_MUST enum zkt_err
client_upload_resources(struct zkt_client *client, struct zkt_resource *const *resources,
                        size_t resources_count);
// client_fetch writes the bytes of resource to fd.
ZKT_MUST enum zkt_err
client_fetch(struct zkt_client *client, const struct zkt_resource *resource, int fd);
