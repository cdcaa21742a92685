// worker.h: what stands behind zkt_worker_t: the I/O thread, the threads that run process (slots),
// and what both were told.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/scratch.h"
#include "client.h"
#include "delivery.h"
#include "io_thread.h"
#include "logger.h"
#include "zkarton.h"

struct hook {
    struct hook *next;
    char *name;
    zkt_hook_fn pre;
    zkt_hook_fn post;
    void *arg;
};

// One thread that runs process.
struct slot {
    struct zkt_worker *worker;
    struct slot_view *view;
    pthread_t thread;
    struct zkt_client client;
};

struct zkt_worker {
    zkt_worker_options_t options; // texts are not kept; read identity and filters from io
    const struct zkt_config *config;
    struct zkt_config *own_config;
    struct logger logger;
    struct hook *hooks_first;
    struct hook *hooks_last;
    char *temp_dir;
    struct scratch scratch; // in temp_dir, while it runs
    struct io io;
    struct slot *slots;
    struct slot_view *views;
    size_t slots_count;
    struct mailbox ended;
    bool was_run;
    bool is_abandoned; // threads are still in process: nothing may be freed
    struct problem problem;
};

// worker_settle reads options and configuration into worker, except for the network; also for the
// test kit.
ZKT_MUST enum zkt_err
worker_configure(struct zkt_worker *worker, const zkt_worker_options_t *options);
void
worker_fini(struct zkt_worker *worker);
// worker_process runs hooks and process on delivery.
void
worker_process(struct zkt_worker *worker, struct zkt_delivery *delivery);

// ---- signals.c: SIGINT and SIGTERM for the workers that run now.
void
signals_add(struct io *io);
void
signals_remove(struct io *io);

// ---- test_kit.c
void
test_log(struct zkt_test *test, enum zkt_level level, const char *message);
struct span
test_identity(const struct zkt_test *test);
const char *
test_temp_dir(const struct zkt_test *test);
void
test_keep_child(struct zkt_test *test, struct zkt_task *child);
