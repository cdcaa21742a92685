// Producers and operators: sending, waiting, asking.
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "object/transfer.h"
#include "options.h"

enum {
    TIMEOUT_DEFAULT_MS = 5000,
    REFUSED_WAIT_MS = 1000, // for a broker that is just starting
    POSTED_MAX = 16384,     // tasks under way: the windows of SUBMIT, full
    POSTED_BYTES_MAX = 64 << 20,
    COLLECT_EVERY = 64,
};

enum zkt_err
client_problem(struct zkt_client *client, enum zkt_err code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    client->problem.code = code;
    vsnprintf(client->problem.text, sizeof client->problem.text, format, arguments);
    va_end(arguments);
    return code;
}

int64_t
client_deadline(const struct zkt_client *client, int64_t timeout_ms)
{
    int64_t wait_ms = timeout_ms == 0 ? client->options.timeout_ms : timeout_ms;
    wait_ms = wait_ms == 0 ? TIMEOUT_DEFAULT_MS : wait_ms;
    return wait_ms < 0 ? INT64_MAX : clock_monotonic_ms() + wait_ms;
}

// ---- Life

void
client_attach(struct zkt_client *client, struct io *io)
{
    *client = (struct zkt_client){.io = io};
    mailbox_init(&client->replies, false);
    client->options.timeout_ms = -1;
}

void
client_detach(struct zkt_client *client)
{
    while (client->posted_count > 0 && client_collect(client, 0)) {
    }
    transfer_destroy(&client->transfer);
    mailbox_fini(&client->replies);
}

static enum zkt_err
configure(struct zkt_client *client, const zkt_client_options_t *options)
{
    client->options = *options;
    const struct zkt_config *config = options->config;
    if (config == NULL) {
        enum zkt_err err = zkt_config_load(NULL, &client->own_config);
        config = client->own_config;
        if (err != ZKT_OK) {
            return client_problem(client, err, "%s", zkt_config_error(config));
        }
    }
    if (zkt_config_error(config) != NULL) {
        return client_problem(client, ZKT_CONFIG_INVALID, "%s", zkt_config_error(config));
    }
    struct io *io = &client->own;
    const char *identity = zkt_config_get(config, "karton", "identity",
                                          options->identity == NULL ? "" : options->identity);
    identity = identity == NULL ? "" : identity;
    enum zkt_err err = identity_check(span_of_text(identity), true, &client->problem);
    if (err != ZKT_OK) {
        return err;
    }
    const char *address = zkt_config_get(config, "broker", "address", "tcp://127.0.0.1:5570");
    const char *origin = zkt_config_origin(config, "broker", "address");
    io->options.role = options->is_operator ? ROLE_OPERATOR : ROLE_PRODUCER;
    io->options.identity =
        span_of(arena_copy(&io->arena, identity, strlen(identity)), strlen(identity));
    const char *ca_file = zkt_config_get(config, "s3", "ca_file", "");
    io->options.address = arena_copy(&io->arena, address, strlen(address));
    io->options.ca_file = arena_copy(&io->arena, ca_file, strlen(ca_file));
    io->options.address_origin =
        arena_printf(&io->arena, "%s", origin == NULL ? "default" : origin);
    io->options.batch_tasks = options->batch_tasks == 0 || options->batch_tasks > LIMIT_SUBMIT_TASKS
                                  ? LIMIT_SUBMIT_TASKS
                                  : options->batch_tasks;
    io->options.concurrency = 1;
    return ZKT_OK;
}

static enum zkt_err
connect_client(struct zkt_client *client)
{
    struct question request;
    request_begin(&request, VERB_HELLO);
    int64_t deadline_ms = client_deadline(client, 0);
    int64_t first_ms = clock_monotonic_ms() + REFUSED_WAIT_MS;
    bool is_patient = client->options.timeout_ms != 0;
    enum zkt_err err =
        client_ask(client, &request, is_patient || first_ms > deadline_ms ? deadline_ms : first_ms);
    if (err == ZKT_UNREACHABLE && !is_patient && !request.is_refused) {
        err = client_ask(client, &request, deadline_ms);
    }
    request_end(&request);
    return err;
}

enum zkt_err
zkt_client_new(const zkt_client_options_t *options, zkt_client_t **client_out)
{
    static const zkt_client_options_t none = {0};
    struct zkt_client *client = xcalloc(1, sizeof *client);
    *client_out = client;
    client->owns_io = true;
    client->io = &client->own;
    mailbox_init(&client->replies, false);
    io_init(&client->own);
    enum zkt_err err = configure(client, options == NULL ? &none : options);
    if (err != ZKT_OK) {
        return err;
    }
    io_start(&client->own);
    return connect_client(client);
}

void
zkt_client_destroy(zkt_client_t **client_p)
{
    struct zkt_client *client = *client_p;
    *client_p = NULL;
    if (client == NULL || !client->owns_io) {
        return; // a delivery's client ends with its worker
    }
    struct note closing = {.kind = NOTE_CLOSE};
    if (client->own.is_running) {
        mailbox_put(&client->own.inbox, &closing);
    }
    io_join(&client->own);
    client_detach(client);
    io_fini(&client->own);
    zkt_config_destroy(&client->own_config);
    free(client);
}

const char *
zkt_client_error(const zkt_client_t *client)
{
    return client->problem.text;
}

uint64_t
zkt_client_untaken_count(const zkt_client_t *client)
{
    return client->untaken_count;
}

// ---- Sending

static void
settle_task(struct zkt_client *client, struct zkt_task *task)
{
    client->posted_count--;
    client->posted_bytes -= task->wire_bytes;
    enum zkt_err code = task->refusal == NULL ? ZKT_OK : task->refusal->code;
    if (task->is_waited_for || task->delivery != 0) {
        if (code == ZKT_OK && task->delivery == 0 && task->taken_count == 0) {
            client->untaken_count++;
        }
        return;
    }
    if (code == ZKT_OK && task->taken_count == 0) {
        client->untaken_count++;
    }
    if (code != ZKT_OK && client->refusal.code == ZKT_OK) {
        problem_set(&client->refusal, code, "task %s: %s", zkt_task_uid(task), task->refusal->text);
    }
    if (client->options.on_sent != NULL) {
        client->options.on_sent(client->options.arg, zkt_task_root_uid(task), code,
                                task->taken_count, code == ZKT_OK ? NULL : task->refusal->text);
    }
}

bool
client_collect(struct zkt_client *client, int64_t deadline_ms)
{
    struct note *note = mailbox_wait(&client->replies, deadline_ms);
    bool is_some = note != NULL;
    while (note != NULL) {
        if (note->kind == NOTE_REQUEST) {
            container_of(note, struct question, note)->is_answered = true;
        } else {
            struct zkt_task *task = container_of(note, struct zkt_task, note);
            settle_task(client, task);
            if (task == client->wanted) {
                client->is_wanted_back = true;
            } else {
                zkt_task_destroy(&task);
            }
        }
        note = mailbox_take(&client->replies);
    }
    return is_some;
}

void
task_address(struct zkt_task *task, struct span identity)
{
    value_remove(&task->model.headers, "receiver");
    if (identity.len > 0) {
        value_put(&task->arena, &task->model.headers, "origin",
                  value_string(&task->arena, identity.data, identity.len));
    }
}

// What the broker answered last to those that wait, behind a sentence.
static const char *
why_waiting(struct zkt_client *client)
{
    switch (atomic_load(&client->io->submits.refused_code)) {
    case ZKT_DISK_FULL:
        return ": the disk of the broker is full (DISK_FULL)";
    case ZKT_BUSY:
        return ": the broker holds as many tasks as it may (BUSY)";
    default:
        return "";
    }
}

enum zkt_err
client_put(struct zkt_client *client, struct zkt_task **task_p)
{
    struct zkt_task *task = *task_p;
    int64_t deadline_ms = client_deadline(client, 0);
    size_t most = client->options.window_tasks == 0 ? POSTED_MAX : client->options.window_tasks;
    while (client->posted_count >= most ||
           client->posted_bytes + task->wire_bytes > POSTED_BYTES_MAX) {
        if (!client_collect(client, deadline_ms)) {
            zkt_task_destroy(task_p);
            return client_problem(client, ZKT_TIMEOUT, "the broker takes no tasks%s",
                                  why_waiting(client));
        }
        deadline_ms = client_deadline(client, 0);
    }
    task->note.kind = NOTE_TASK;
    task->reply = &client->replies;
    client->posted_count++;
    client->posted_bytes += task->wire_bytes;
    bool may_collect = client->posted_count % COLLECT_EVERY == 0;
    if (!mailbox_put(&client->io->inbox, &task->note)) {
        client->posted_count--;
        client->posted_bytes -= task->wire_bytes;
        zkt_task_destroy(task_p);
        return client_problem(client, ZKT_CANCELLED, "the session was closed");
    }
    *task_p = NULL;
    if (may_collect) {
        client_collect(client, 0);
    }
    return ZKT_OK;
}

static enum zkt_err
prepare(struct zkt_client *client, struct zkt_task *task, char root_uid[ZKT_ROOT_UID_SIZE])
{
    client->problem = (struct problem){0};
    if (task == NULL) {
        return client_problem(client, ZKT_INVALID, "no task");
    }
    if (task->is_delivered) {
        return client_problem(client, ZKT_INVALID,
                              "a delivered task is not sent again: derive one");
    }
    task_name(task, &client->uids);
    task_address(task, client->io->options.identity);
    enum zkt_err err = task_pack(task, &client->problem);
    if (err == ZKT_OK) {
        err = client_upload(client, task);
    }
    if (err == ZKT_OK && root_uid != NULL) {
        uid_format(&task->model.root, root_uid);
    }
    return err;
}

enum zkt_err
zkt_client_post(zkt_client_t *client, zkt_task_t **task_p, char root_uid[ZKT_ROOT_UID_SIZE])
{
    enum zkt_err err = prepare(client, *task_p, root_uid);
    if (err != ZKT_OK) {
        zkt_task_destroy(task_p);
        return err;
    }
    return client_put(client, task_p);
}

enum zkt_err
zkt_client_send(zkt_client_t *client, zkt_task_t **task_p, char root_uid[ZKT_ROOT_UID_SIZE])
{
    enum zkt_err err = prepare(client, *task_p, root_uid);
    if (err != ZKT_OK) {
        zkt_task_destroy(task_p);
        return err;
    }
    struct zkt_task *task = *task_p;
    task->is_waited_for = true;
    client->wanted = task;
    client->is_wanted_back = false;
    err = client_put(client, task_p);
    int64_t deadline_ms = client_deadline(client, 0);
    while (err == ZKT_OK && !client->is_wanted_back) {
        if (!client_collect(client, deadline_ms)) {
            err = client_problem(client, ZKT_TIMEOUT,
                                 "the broker did not confirm in time: it may still take the task");
        }
    }
    if (err == ZKT_OK && task->refusal != NULL) {
        client->problem = *task->refusal;
        err = task->refusal->code;
    }
    client->wanted = NULL;
    if (client->is_wanted_back) {
        zkt_task_destroy(&task);
    }
    return err;
}

enum zkt_err
zkt_client_flush(zkt_client_t *client, int timeout_ms)
{
    int64_t deadline_ms = client_deadline(client, timeout_ms);
    while (client->posted_count > 0) {
        if (!client_collect(client, deadline_ms)) {
            return client_problem(client, ZKT_TIMEOUT, "%zu task%s not confirmed yet%s",
                                  client->posted_count, client->posted_count == 1 ? " is" : "s are",
                                  why_waiting(client));
        }
        deadline_ms = timeout_ms == 0 ? client_deadline(client, 0) : deadline_ms;
    }
    client->problem = client->refusal;
    client->refusal = (struct problem){0};
    return client->problem.code;
}
