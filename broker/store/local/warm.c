#include "store/local/warm.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

enum { STEP_BYTES = 4 << 20 };

struct warmer {
    int fd;
    uint64_t bytes;
    bool is_cancelled; // atomic
    pthread_t thread;
};

static void *
run_warmer(void *arg)
{
    struct warmer *warmer = arg;
    for (uint64_t at = 0; at < warmer->bytes; at += STEP_BYTES) {
        if (__atomic_load_n(&warmer->is_cancelled, __ATOMIC_RELAXED)) {
            break;
        }
        if (posix_fadvise(warmer->fd, (off_t)at, STEP_BYTES, POSIX_FADV_WILLNEED) != 0) {
            break; // only slower without
        }
    }
    return NULL;
}

struct warmer *
warm_start(int fd, uint64_t bytes)
{
    uint64_t half = (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);
    struct warmer *warmer = xcalloc(1, sizeof *warmer);
    warmer->fd = fd;
    warmer->bytes = bytes < half ? bytes : half;
    if (pthread_create(&warmer->thread, NULL, run_warmer, warmer) != 0) {
        free(warmer);
        return NULL;
    }
    return warmer;
}

void
warm_cancel(struct warmer *warmer)
{
    if (warmer != NULL) {
        __atomic_store_n(&warmer->is_cancelled, true, __ATOMIC_RELAXED);
    }
}

void
warm_stop(struct warmer **warmer_p)
{
    if (*warmer_p != NULL) {
        warm_cancel(*warmer_p);
        pthread_join((*warmer_p)->thread, NULL);
        free(*warmer_p);
        *warmer_p = NULL;
    }
}
