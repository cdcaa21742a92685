// Workers: options, the threads that run process, and the way down.
#include "worker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/config.h"
#include "options.h"
#include "wire/json.h"

#define HERE                                                                                       \
    (&(zkt_source_t){                                                                              \
        __FILE__,                                                                                  \
        __LINE__,                                                                                  \
        __func__,                                                                                  \
    })

// ---- Options and configuration

static struct value
text_or_null(struct arena *arena, const char *text)
{
    return text == NULL ? value_null() : value_text(arena, text);
}

static enum zkt_err
configure_identity(struct zkt_worker *worker)
{
    struct io *io = &worker->io;
    const char *identity =
        zkt_config_get(worker->config, "karton", "identity", worker->options.identity);
    enum zkt_err err =
        identity_check(span_of_text(identity == NULL ? "" : identity), false, &worker->problem);
    if (err != ZKT_OK) {
        return err;
    }
    char *text = arena_copy(&io->arena, identity, strlen(identity));
    if (zkt_config_getbool(worker->config, "karton", "debug", false)) {
        // S26: a queue of its own that goes with it, and nothing published.
        struct uid random;
        uid_random(&random);
        text = arena_printf(&io->arena, "%s-%02x%02x%02x%02x-dev", identity, random.bytes[0],
                            random.bytes[1], random.bytes[2], random.bytes[3]);
        worker->options.temporary = true;
        worker->logger.is_published = false;
    }
    io->options.identity = span_of_text(text);
    worker->logger.name = text;
    return ZKT_OK;
}

static enum zkt_err
configure_bind(struct zkt_worker *worker)
{
    struct io *io = &worker->io;
    const zkt_worker_options_t *options = &worker->options;
    io->options.join = options->join;
    if (options->join) {
        return ZKT_OK;
    }
    struct bind *bind = &io->options.bind;
    enum zkt_err err = ZKT_OK;
    if (options->filters_json != NULL) {
        err = json_parse(span_of_text(options->filters_json), &io->arena, &bind->filters,
                         &worker->problem);
        if (err == ZKT_OK && bind->filters.type != VALUE_LIST &&
            !(bind->filters.type == VALUE_MAP && bind->filters.len == 0)) {
            err =
                problem_set(&worker->problem, ZKT_FILTER_INVALID, "filters: not a list of objects");
        }
    } else {
        err = filters_parse(options->filters, ZKT_FILTERS_MAX, &io->arena, &bind->filters,
                            &worker->problem);
    }
    if (err != ZKT_OK) {
        worker->problem.code = ZKT_FILTER_INVALID;
        return ZKT_FILTER_INVALID;
    }
    io->options.has_bind = true;
    bind->identity = io->options.identity;
    bind->persistent =
        !options->temporary && zkt_config_getbool(worker->config, "karton", "persistent", true);
    bind->info = text_or_null(&io->arena, options->info);
    bind->version =
        value_text(&io->arena, options->version == NULL ? ZKT_VERSION : options->version);
    bind->service_version = text_or_null(&io->arena, options->service_version);
    return ZKT_OK;
}

static enum zkt_err
configure_running(struct zkt_worker *worker)
{
    struct io *io = &worker->io;
    const zkt_worker_options_t *options = &worker->options;
    const struct zkt_config *config = worker->config;
    int64_t limit = zkt_config_getint(config, "karton", "concurrency_limit", 1);
    int64_t concurrency = options->concurrency != 0
                              ? (int64_t)options->concurrency
                              : zkt_config_getint(config, "worker", "concurrency", limit);
    if (concurrency == 1 && options->concurrency == 0) {
        concurrency = limit;
    }
    if (concurrency < 1 || concurrency > LIMIT_CONCURRENCY) {
        return problem_set(&worker->problem, ZKT_CONFIG_INVALID,
                           "[worker] concurrency: %lld is not between 1 and %d",
                           (long long)concurrency, LIMIT_CONCURRENCY);
    }
    int64_t window = options->prefetch != 0 ? (int64_t)options->prefetch
                                            : zkt_config_getint(config, "worker", "prefetch", 0);
    if (window < 0 || window > LIMIT_CREDIT) {
        return problem_set(&worker->problem, ZKT_CONFIG_INVALID,
                           "[worker] prefetch: %lld is not between 0 and %d", (long long)window,
                           LIMIT_CREDIT);
    }
    io->options.role = ROLE_WORKER;
    io->options.concurrency = (uint32_t)concurrency;
    io->options.window = (uint32_t)window;
    io->options.batch_tasks = LIMIT_SUBMIT_TASKS;
    io->options.transactional =
        options->transactional || zkt_config_getbool(config, "worker", "transactional", false);
    io->options.timeout_ms = options->timeout_s != 0
                                 ? (int64_t)options->timeout_s * 1000
                                 : zkt_config_getduration(config, "karton", "task_timeout", 0);
    worker->slots_count = (size_t)concurrency;
    return ZKT_OK;
}

static enum zkt_err
configure_logging(struct zkt_worker *worker)
{
    const char *level = zkt_config_get(worker->config, "logging", "level", "INFO");
    worker->logger.is_published =
        zkt_config_getbool(worker->config, "logging", "enable_publish", true);
    gethostname(worker->logger.host, sizeof worker->logger.host - 1);
    int64_t number;
    if (!level_parse(level, &number)) {
        return problem_set(&worker->problem, ZKT_CONFIG_INVALID,
                           "[logging] level: \"%s\" is none of DEBUG, INFO, WARNING, ERROR", level);
    }
    worker->logger.level = (enum zkt_level)number;
    return ZKT_OK;
}

enum zkt_err
worker_configure(struct zkt_worker *worker, const zkt_worker_options_t *options)
{
    worker->options = *options;
    worker->config = options->config;
    io_init(&worker->io);
    mailbox_init(&worker->ended, false);
    if (worker->config == NULL) {
        enum zkt_err err = zkt_config_load(NULL, &worker->own_config);
        worker->config = worker->own_config;
        if (err != ZKT_OK) {
            worker->problem = worker->config->problem;
            return err;
        }
    }
    if (zkt_config_error(worker->config) != NULL) {
        worker->problem = worker->config->problem;
        return worker->problem.code;
    }
    if (options->process == NULL) {
        return problem_set(&worker->problem, ZKT_INVALID, "no process function");
    }
    struct io *io = &worker->io;
    const char *address =
        zkt_config_get(worker->config, "broker", "address", "tcp://127.0.0.1:5570");
    const char *origin = zkt_config_origin(worker->config, "broker", "address");
    const char *ca_file = zkt_config_get(worker->config, "s3", "ca_file", "");
    io->options.address = arena_copy(&io->arena, address, strlen(address));
    io->options.ca_file = arena_copy(&io->arena, ca_file, strlen(ca_file));
    io->options.address_origin =
        arena_printf(&io->arena, "%s", origin == NULL ? "default" : origin);
    const char *fallback_dir = getenv("TMPDIR");
    fallback_dir = fallback_dir == NULL || *fallback_dir == '\0' ? "/tmp" : fallback_dir;
    const char *temp_dir = zkt_config_get(worker->config, "worker", "temp", NULL);
    temp_dir = temp_dir == NULL || *temp_dir == '\0' || *temp_dir == '$' ? fallback_dir : temp_dir;
    worker->temp_dir = arena_copy(&io->arena, temp_dir, strlen(temp_dir));
    enum zkt_err (*const steps[])(struct zkt_worker *) = {configure_logging, configure_identity,
                                                          configure_bind, configure_running};
    enum zkt_err err = ZKT_OK;
    for (size_t step_index = 0; err == ZKT_OK && step_index < sizeof steps / sizeof *steps;
         step_index++) {
        err = steps[step_index](worker);
    }
    return err;
}

// The thread of a slot asks about the task that it works on.
static bool
is_slot_stopped(void *arg)
{
    const struct slot *slot = arg;
    const struct zkt_delivery *delivery = atomic_load(&slot->view->current);
    return delivery != NULL && zkt_delivery_is_cancelled(delivery);
}

static void
tell_slot_waits(void *arg, const char *text)
{
    const struct slot *slot = arg;
    zkt_log(atomic_load(&slot->view->current), ZKT_WARNING, "%s", text);
}

enum zkt_err
zkt_worker_new(const zkt_worker_options_t *options, zkt_worker_t **worker_out)
{
    struct zkt_worker *worker = xcalloc(1, sizeof *worker);
    *worker_out = worker;
    enum zkt_err err = worker_configure(worker, options);
    if (err != ZKT_OK) {
        return err;
    }
    worker->slots = xcalloc(worker->slots_count, sizeof *worker->slots);
    worker->views = xcalloc(worker->slots_count, sizeof *worker->views);
    for (size_t slot_index = 0; slot_index < worker->slots_count; slot_index++) {
        struct slot *slot = &worker->slots[slot_index];
        slot->worker = worker;
        slot->view = &worker->views[slot_index];
        atomic_init(&slot->view->current, NULL);
        atomic_init(&slot->view->started_ms, 0);
        client_attach(&slot->client, &worker->io);
        slot->client.is_stopped = is_slot_stopped;
        slot->client.on_wait = tell_slot_waits;
        slot->client.stop_arg = slot;
    }
    worker->io.views = worker->views;
    worker->io.views_count = worker->slots_count;
    worker->io.ended = &worker->ended;
    worker->io.end_note.kind = NOTE_CLOSE;
    worker->io.logger = &worker->logger;
    return ZKT_OK;
}

void
zkt_worker_add_hooks(zkt_worker_t *worker, const char *name, zkt_hook_fn pre, zkt_hook_fn post,
                     void *arg)
{
    struct hook *hook = xcalloc(1, sizeof *hook);
    *hook = (struct hook){
        .name = name == NULL ? NULL : xstrdup(name), .pre = pre, .post = post, .arg = arg};
    if (worker->hooks_last == NULL) {
        worker->hooks_first = hook;
    } else {
        worker->hooks_last->next = hook;
    }
    worker->hooks_last = hook;
}

const char *
zkt_worker_identity(const zkt_worker_t *worker)
{
    return worker->logger.name;
}

const char *
zkt_worker_error(const zkt_worker_t *worker)
{
    return worker->problem.text;
}

void
zkt_worker_stop(zkt_worker_t *worker)
{
    io_stop(&worker->io, 1);
}

void
zkt_worker_abort(zkt_worker_t *worker)
{
    io_stop(&worker->io, 2);
}

// ---- Threads that run process

void
worker_process(struct zkt_worker *worker, struct zkt_delivery *delivery)
{
    for (const struct hook *hook = worker->hooks_first; hook != NULL; hook = hook->next) {
        if (hook->pre != NULL) {
            hook->pre(delivery, ZKT_OK, hook->arg);
        }
    }
    delivery->result = worker->options.process(delivery, &delivery->task, worker->options.arg);
    for (const struct hook *hook = worker->hooks_first; hook != NULL; hook = hook->next) {
        if (hook->post != NULL) {
            hook->post(delivery, delivery->result, hook->arg);
        }
    }
    if (delivery->result != ZKT_OK && !delivery->is_given_back) {
        const char *reason = zkt_delivery_error(delivery);
        zkt_log_at(delivery, ZKT_ERROR, HERE, "Failed to process task - %s: %s",
                   zkt_task_uid(&delivery->task),
                   reason == NULL ? zkt_err_name(delivery->result) : reason);
    }
    delivery_clean(delivery);
}

static void *
run_slot(void *argument)
{
    struct slot *slot = argument;
    struct io *io = &slot->worker->io;
    struct note *note = NULL;
    while ((note = mailbox_wait(&io->work, INT64_MAX)) != NULL) {
        struct zkt_delivery *delivery = container_of(note, struct zkt_delivery, note);
        // Once the worker is asked to end nothing more begins, however soon the io thread hears of
        // it.
        bool is_wanted = !zkt_delivery_is_cancelled(delivery) && atomic_load(&io->stop_level) == 0;
        if (is_wanted) {
            delivery->slot = slot;
            delivery->started_ms = clock_monotonic_ms();
            atomic_store(&slot->view->started_ms, delivery->started_ms);
            atomic_store(&slot->view->current, delivery);
            worker_process(slot->worker, delivery);
            delivery->ended_ms = clock_monotonic_ms();
            atomic_store(&slot->view->current, NULL);
        }
        if (!mailbox_put(&io->inbox, &delivery->note)) {
            break; // the session is over; the io frees what it knows
        }
    }
    return NULL;
}

// ---- Running

static enum zkt_err
wait_for_end(struct zkt_worker *worker)
{
    mailbox_wait(&worker->ended, INT64_MAX);
    io_join(&worker->io);
    struct io *io = &worker->io;
    enum zkt_err err = io->result;
    worker->is_abandoned = io->reports.in_process_count > 0;
    for (size_t slot_index = 0; slot_index < worker->slots_count; slot_index++) {
        if (worker->is_abandoned) {
            pthread_detach(worker->slots[slot_index].thread);
        } else {
            pthread_join(worker->slots[slot_index].thread, NULL);
        }
    }
    if (io->session.state == SESSION_DEAD) {
        worker->problem = io->session.problem;
    } else if (err == ZKT_FAILED) {
        problem_set(&worker->problem, err, "every thread is stuck behind a task timeout");
    } else if (err != ZKT_OK) {
        problem_set(&worker->problem, err, "stopped hard");
    }
    return err;
}

enum zkt_err
zkt_worker_run(zkt_worker_t *worker)
{
    if (worker->was_run || worker->slots == NULL) {
        return problem_set(&worker->problem, ZKT_INVALID, "a worker runs once");
    }
    worker->was_run = true;
    if (!worker->options.keep_signals) {
        signals_add(&worker->io);
    }
    zkt_worker_log(worker, ZKT_INFO, HERE, "Service %s started", zkt_worker_identity(worker));
    struct problem problem; // told by the first delivery that needs a folder
    if (scratch_open(worker->temp_dir, "work", &worker->scratch, &problem) != ZKT_OK) {
        worker->scratch.path = NULL;
    }
    io_start(&worker->io);
    for (size_t slot_index = 0; slot_index < worker->slots_count; slot_index++) {
        struct slot *slot = &worker->slots[slot_index];
        int result = pthread_create(&slot->thread, NULL, run_slot, slot);
        zkt_assert(result == 0);
    }
    enum zkt_err err = wait_for_end(worker);
    if (!worker->options.keep_signals) {
        signals_remove(&worker->io);
    }
    return err;
}

void
worker_fini(struct zkt_worker *worker)
{
    while (worker->hooks_first != NULL) {
        struct hook *hook = worker->hooks_first;
        worker->hooks_first = hook->next;
        free(hook->name);
        free(hook);
    }
    if (worker->slots != NULL) {
        for (size_t slot_index = 0; slot_index < worker->slots_count; slot_index++) {
            client_detach(&worker->slots[slot_index].client);
        }
    }
    if (worker->scratch.path != NULL) {
        scratch_close(&worker->scratch);
    }
    io_fini(&worker->io);
    mailbox_fini(&worker->ended);
    zkt_config_destroy(&worker->own_config);
    free(worker->slots);
    free(worker->views);
}

void
zkt_worker_destroy(zkt_worker_t **worker_p)
{
    struct zkt_worker *worker = *worker_p;
    *worker_p = NULL;
    if (worker == NULL) {
        return;
    }
    if (worker->is_abandoned) {
        // Threads in process still use it, and the program is about to exit: what is in memory goes
        // with it, what is on disk would not.
        if (worker->scratch.path != NULL) {
            tree_remove(worker->scratch.path);
        }
        return;
    }
    worker_fini(worker);
    free(worker);
}
