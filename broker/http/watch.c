// Time is counted in turns of the thread, a second each: while the process stands still, no time
// passes for anybody.
#include "http/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/memory.h"

struct watch {
    unsigned head_s;
    unsigned body_s;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t has_changed; // on the monotonic clock
    struct list connections;
    bool is_stopping;
};

struct watched {
    struct list_link link;
    int fd;
    enum watch_phase phase;
    unsigned left_s;
    size_t progress_bytes;
};

static void
pass_second(struct watch *watch)
{
    for (struct list_link *link = list_first(&watch->connections); link != NULL;
         link = list_next(&watch->connections, link)) {
        struct watched *watched = container_of(link, struct watched, link);
        if (watched->phase != WATCH_ANSWER && watched->left_s > 0 && --watched->left_s == 0) {
            shutdown(watched->fd, SHUT_RDWR); // libmicrohttpd finds it so, and closes it
        }
    }
}

// Whether it became time.
static bool
wait_second(struct watch *watch)
{
    struct timespec end;
    int result = 0;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec++;
    while (result == 0 && !watch->is_stopping) {
        result = pthread_cond_timedwait(&watch->has_changed, &watch->mutex, &end);
    }
    return result != 0;
}

static void *
run(void *arg)
{
    struct watch *watch = arg;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->is_stopping) {
        if (list_is_empty(&watch->connections)) {
            pthread_cond_wait(&watch->has_changed, &watch->mutex);
        } else if (wait_second(watch)) {
            pass_second(watch);
        }
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

static void
watch_free(struct watch *watch)
{
    pthread_cond_destroy(&watch->has_changed);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

enum zkt_err
watch_start(unsigned head_s, unsigned body_s, struct watch **watch_p, struct problem *problem)
{
    pthread_condattr_t attributes;
    struct watch *watch = xcalloc(1, sizeof(*watch));
    watch->head_s = head_s;
    watch->body_s = body_s;
    list_init(&watch->connections);
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->has_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *watch_p = NULL;
    if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
        watch_free(watch);
        return problem_set(problem, ZKT_IO, "[http] the HTTP server did not start: no thread");
    }
    pthread_setname_np(watch->thread, "http-watch");
    *watch_p = watch;
    return ZKT_OK;
}

void
watch_stop(struct watch **watch_p)
{
    struct watch *watch = *watch_p;
    *watch_p = NULL;
    if (watch == NULL) {
        return;
    }
    pthread_mutex_lock(&watch->mutex);
    watch->is_stopping = true;
    pthread_cond_signal(&watch->has_changed);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    zkt_assert(list_is_empty(&watch->connections));
    watch_free(watch);
}

// With the mutex. The second that is under way does not count.
static void
begin(struct watch *watch, struct watched *watched, enum watch_phase phase)
{
    watched->phase = phase;
    watched->left_s = 1 + (phase == WATCH_HEAD ? watch->head_s : watch->body_s);
    watched->progress_bytes = 0;
}

struct watched *
watch_add(struct watch *watch, int fd)
{
    struct watched *watched = xcalloc(1, sizeof(*watched));
    watched->fd = fd;
    pthread_mutex_lock(&watch->mutex);
    if (list_is_empty(&watch->connections)) {
        pthread_cond_signal(&watch->has_changed);
    }
    list_append(&watch->connections, &watched->link);
    begin(watch, watched, WATCH_HEAD);
    pthread_mutex_unlock(&watch->mutex);
    return watched;
}

void
watch_remove(struct watch *watch, struct watched **watched_p)
{
    struct watched *watched = *watched_p;
    *watched_p = NULL;
    pthread_mutex_lock(&watch->mutex);
    list_remove(&watched->link);
    pthread_mutex_unlock(&watch->mutex);
    free(watched);
}

void
watch_begin(struct watch *watch, struct watched *watched, enum watch_phase phase)
{
    pthread_mutex_lock(&watch->mutex);
    begin(watch, watched, phase);
    pthread_mutex_unlock(&watch->mutex);
}

void
watch_progress(struct watch *watch, struct watched *watched, size_t len)
{
    pthread_mutex_lock(&watch->mutex);
    watched->progress_bytes += len;
    if (watched->progress_bytes >= WATCH_PROGRESS_BYTES) {
        begin(watch, watched, WATCH_BODY);
    }
    pthread_mutex_unlock(&watch->mutex);
}
