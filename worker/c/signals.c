// SIGINT and SIGTERM (P10): the first stops, a second SIGINT aborts, a repeated SIGTERM is ignored.
//
// A signal handler has no argument, so this file has the one mutable static state of the library:
// the I/O threads to tell. Removing waits until no handler is running, so that none uses what is
// being freed.
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/assert.h"
#include "worker.h"

enum { WORKERS_MAX = 64 };

static struct {
    _Atomic(struct io *) ios[WORKERS_MAX];
    atomic_int handlers_count; // running now
    atomic_int users_count;
    struct sigaction old_int;
    struct sigaction old_term;
} signals;

static void
on_signal(int number)
{
    atomic_fetch_add(&signals.handlers_count, 1);
    for (size_t io_index = 0; io_index < WORKERS_MAX; io_index++) {
        struct io *io = atomic_load(&signals.ios[io_index]);
        if (io != NULL) {
            bool is_second = number == SIGINT && atomic_load(&io->stop_level) > 0;
            io_stop(io, is_second ? 2 : 1);
        }
    }
    atomic_fetch_sub(&signals.handlers_count, 1);
}

void
signals_add(struct io *io)
{
    size_t io_index = 0;
    struct io *none = NULL;
    while (!atomic_compare_exchange_strong(&signals.ios[io_index], &none, io)) {
        none = NULL;
        io_index++;
        zkt_assert(io_index < WORKERS_MAX);
    }
    if (atomic_fetch_add(&signals.users_count, 1) == 0) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        sigaction(SIGINT, &action, &signals.old_int);
        sigaction(SIGTERM, &action, &signals.old_term);
    }
}

void
signals_remove(struct io *io)
{
    for (size_t io_index = 0; io_index < WORKERS_MAX; io_index++) {
        struct io *here = io;
        atomic_compare_exchange_strong(&signals.ios[io_index], &here, NULL);
    }
    if (atomic_fetch_sub(&signals.users_count, 1) == 1) {
        sigaction(SIGINT, &signals.old_int, NULL);
        sigaction(SIGTERM, &signals.old_term, NULL);
    }
    while (atomic_load(&signals.handlers_count) > 0) {
        sched_yield();
    }
}
