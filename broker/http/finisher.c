#include "http/finisher.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

enum { THREADS_COUNT = 8, LONG_MAX = 4 };

struct finishers {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t is_idle;
    pthread_t threads[THREADS_COUNT];
    size_t threads_count;
    struct finish *first; // in the order they came
    struct finish *last;
    size_t under_way_count; // taken, and not resumed
    size_t long_count;      // of them
    bool is_closed;
};

static struct finish *
take_first(struct finishers *finishers)
{
    struct finish *finish = finishers->first;
    finishers->first = finish->next;
    if (finishers->first == NULL) {
        finishers->last = NULL;
    }
    return finish;
}

static void *
run(void *arg)
{
    struct finishers *finishers = arg;
    pthread_mutex_lock(&finishers->mutex);
    while (true) {
        while (finishers->first == NULL && !finishers->is_closed) {
            pthread_cond_wait(&finishers->has_work, &finishers->mutex);
        }
        if (finishers->first == NULL) {
            break;
        }
        struct finish *finish = take_first(finishers);
        enum finish_kind kind = finish->kind;
        pthread_mutex_unlock(&finishers->mutex);
        finish->run(finish->arg);
        finish->is_done = true;
        MHD_resume_connection(finish->connection); // from here on it may be freed
        pthread_mutex_lock(&finishers->mutex);
        finishers->long_count -= kind == FINISH_LONG;
        if (--finishers->under_way_count == 0) {
            pthread_cond_broadcast(&finishers->is_idle);
        }
    }
    pthread_mutex_unlock(&finishers->mutex);
    return NULL;
}

enum zkt_err
finishers_start(struct finishers **finishers_p, struct problem *problem)
{
    struct finishers *finishers = xcalloc(1, sizeof(*finishers));
    pthread_mutex_init(&finishers->mutex, NULL);
    pthread_cond_init(&finishers->has_work, NULL);
    pthread_cond_init(&finishers->is_idle, NULL);
    *finishers_p = finishers;
    for (; finishers->threads_count < THREADS_COUNT; finishers->threads_count++) {
        pthread_t *thread = &finishers->threads[finishers->threads_count];
        if (pthread_create(thread, NULL, run, finishers) != 0) {
            finishers_stop(finishers_p);
            return problem_set(problem, ZKT_IO, "[http] the HTTP server did not start: no thread");
        }
    }
    return ZKT_OK;
}

bool
finishers_take(struct finishers *finishers, struct MHD_Connection *connection,
               struct finish *finish)
{
    zkt_assert(!finish->is_done);
    pthread_mutex_lock(&finishers->mutex);
    bool is_long = finish->kind == FINISH_LONG;
    bool is_taken = !finishers->is_closed && (!is_long || finishers->long_count < LONG_MAX);
    if (is_taken) {
        MHD_suspend_connection(connection);
        finish->connection = connection;
        finish->next = NULL;
        if (finishers->last != NULL) {
            finishers->last->next = finish;
        } else {
            finishers->first = finish;
        }
        finishers->last = finish;
        finishers->under_way_count++;
        finishers->long_count += is_long;
        pthread_cond_signal(&finishers->has_work);
    }
    pthread_mutex_unlock(&finishers->mutex);
    return is_taken;
}

void
finishers_close(struct finishers *finishers)
{
    pthread_mutex_lock(&finishers->mutex);
    finishers->is_closed = true;
    pthread_cond_broadcast(&finishers->has_work);
    while (finishers->under_way_count > 0) {
        pthread_cond_wait(&finishers->is_idle, &finishers->mutex);
    }
    pthread_mutex_unlock(&finishers->mutex);
}

void
finishers_stop(struct finishers **finishers_p)
{
    struct finishers *finishers = *finishers_p;
    *finishers_p = NULL;
    if (finishers == NULL) {
        return;
    }
    finishers_close(finishers);
    for (size_t i = 0; i < finishers->threads_count; i++) {
        pthread_join(finishers->threads[i], NULL);
    }
    pthread_cond_destroy(&finishers->is_idle);
    pthread_cond_destroy(&finishers->has_work);
    pthread_mutex_destroy(&finishers->mutex);
    free(finishers);
}
