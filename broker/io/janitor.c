// The loop and the janitor's thread talk over a pair of inproc sockets without a limit: sending
// never blocks. The loop sends 16-byte uids, the janitor sends back those it has deleted. What
// failed waits in the janitor and is tried again after a pause that doubles with each failure in a
// row, jittered so that many brokers do not knock at once. An empty message ends the thread.
#include "io/janitor.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

enum { PAUSE_FIRST_MS = 200, PAUSE_MAX_MS = 60000 };

struct janitor {
    void *zmq_context;
    void *socket; // the loop's end
    struct object_store *store;
    pthread_t thread;
    uint64_t waiting_count;
    char address[64];
};

// The thread's own.
struct work {
    void *socket;
    struct object_store *store;
    struct uid *uids; // a ring would save moving; deletes are slow, moving is not
    size_t uids_count;
    size_t uids_capacity;
    int64_t pause_ms; // 0: the last delete succeeded
    int64_t next_ms;  // monotonic; not before
    unsigned random_state;
};

static void *
open_pair(void *zmq_context)
{
    void *socket = zmq_socket(zmq_context, ZMQ_PAIR);
    int none = 0;
    if (socket != NULL) {
        zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
        zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
        zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    }
    return socket;
}

static void
keep(struct work *work, const struct uid *uid)
{
    if (work->uids_count == work->uids_capacity) {
        work->uids_capacity = work->uids_capacity * 2 + 64;
        work->uids = xrealloc(work->uids, work->uids_capacity * sizeof *work->uids);
    }
    work->uids[work->uids_count++] = *uid;
}

// False: the end.
static bool
take_messages(struct work *work)
{
    struct uid uid;
    int len;
    while ((len = zmq_recv(work->socket, &uid, sizeof uid, ZMQ_DONTWAIT)) != -1) {
        if (len != sizeof uid) {
            return false;
        }
        keep(work, &uid);
    }
    return errno == EAGAIN || errno == EINTR;
}

static void
lengthen_pause(struct work *work, const char *reason)
{
    work->pause_ms = work->pause_ms == 0 ? PAUSE_FIRST_MS : work->pause_ms * 2;
    work->pause_ms = work->pause_ms < PAUSE_MAX_MS ? work->pause_ms : PAUSE_MAX_MS;
    int64_t half = work->pause_ms / 2;
    int64_t jittered = half + rand_r(&work->random_state) % (half + 1);
    work->next_ms = clock_monotonic_ms() + jittered;
    log_warn("OBJECT-DELETE-FAILED", "kind=%s waiting=%zu pause_ms=%lld reason=\"%s\"",
             work->store->kind, work->uids_count, (long long)jittered, reason);
}

// Deletes one, the oldest. One that failed goes behind the others, so that one bad object does not
// hold them up.
static void
delete_one(struct work *work)
{
    struct problem problem = {.code = ZKT_OK};
    struct uid uid = work->uids[0];
    memmove(work->uids, work->uids + 1, (work->uids_count - 1) * sizeof *work->uids);
    work->uids_count--;
    size_t deleted_count;
    if (object_store_delete(work->store, &uid, 1, &deleted_count, &problem) != ZKT_OK) {
        keep(work, &uid);
        lengthen_pause(work, problem.text);
        return;
    }
    work->pause_ms = 0;
    work->next_ms = 0;
    zmq_send(work->socket, &uid, sizeof uid, 0);
}

static void *
run(void *arg)
{
    struct work *work = arg;
    bool goes_on = true;
    while (goes_on) {
        int64_t now_ms = clock_monotonic_ms();
        long timeout_ms = work->uids_count == 0    ? -1
                          : work->next_ms > now_ms ? (long)(work->next_ms - now_ms)
                                                   : 0;
        zmq_pollitem_t item = {.socket = work->socket, .events = ZMQ_POLLIN};
        int ready = zmq_poll(&item, 1, timeout_ms);
        if (ready == -1 && errno == ETERM) {
            break;
        }
        goes_on = take_messages(work);
        if (goes_on && work->uids_count > 0 && clock_monotonic_ms() >= work->next_ms) {
            delete_one(work);
        }
    }
    zmq_close(work->socket);
    free(work->uids);
    free(work);
    return NULL;
}

enum zkt_err
janitor_start(void *zmq_context, struct object_store *store, struct janitor **janitor_p,
              struct problem *problem)
{
    struct janitor *janitor = xcalloc(1, sizeof *janitor);
    struct work *work = xcalloc(1, sizeof *work);
    struct uid name;
    char name_text[UID_TEXT_SIZE];
    uid_random(&name);
    uid_format(&name, name_text);
    snprintf(janitor->address, sizeof janitor->address, "inproc://janitor-%s", name_text);
    janitor->zmq_context = zmq_context;
    janitor->store = store;
    janitor->socket = open_pair(zmq_context);
    work->store = store;
    work->random_state = (unsigned)uid_hash(&name);
    work->socket = open_pair(zmq_context);
    *janitor_p = NULL;
    if (janitor->socket == NULL || work->socket == NULL ||
        zmq_bind(janitor->socket, janitor->address) != 0 ||
        zmq_connect(work->socket, janitor->address) != 0 ||
        pthread_create(&janitor->thread, NULL, run, work) != 0) {
        enum zkt_err err = problem_set(problem, ZKT_IO, "the janitor did not start: %s",
                                       zmq_strerror(zmq_errno()));
        if (janitor->socket != NULL) {
            zmq_close(janitor->socket);
        }
        if (work->socket != NULL) {
            zmq_close(work->socket);
        }
        free(work);
        free(janitor);
        return err;
    }
    *janitor_p = janitor;
    return ZKT_OK;
}

void
janitor_delete(struct janitor *janitor, const struct uid *uids, size_t uids_count)
{
    for (size_t uid_index = 0; uid_index < uids_count; uid_index++) {
        while (zmq_send(janitor->socket, &uids[uid_index], sizeof *uids, 0) == -1) {
            zkt_assert(errno == EINTR);
        }
        janitor->waiting_count++;
    }
}

void *
janitor_socket(struct janitor *janitor)
{
    return janitor->socket;
}

bool
janitor_receive(struct janitor *janitor, struct uid *uid)
{
    int len = zmq_recv(janitor->socket, uid, sizeof *uid, ZMQ_DONTWAIT);
    if (len != sizeof *uid) {
        return false;
    }
    zkt_assert(janitor->waiting_count > 0);
    janitor->waiting_count--;
    return true;
}

uint64_t
janitor_waiting_count(const struct janitor *janitor)
{
    return janitor->waiting_count;
}

void
janitor_stop(struct janitor **janitor_p)
{
    struct janitor *janitor = *janitor_p;
    if (janitor == NULL) {
        return;
    }
    while (zmq_send(janitor->socket, "", 0, 0) == -1 && errno == EINTR) {
        continue;
    }
    pthread_join(janitor->thread, NULL);
    zmq_close(janitor->socket);
    free(janitor);
    *janitor_p = NULL;
}
