// The loop and the janitor's thread talk over a pair of inproc sockets without a limit: sending
// never blocks. The loop sends uids to delete (16 bytes), the age from which a walk is to tell
// objects (8 bytes), and nothing (0 bytes) for the end; the janitor sends words of 17 bytes. What
// failed waits in the janitor and is tried again after a pause that doubles with each failure in a
// row, jittered so that many brokers do not knock at once. Between two deletes, and two pages of a
// walk, the thread looks for messages.
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

enum {
    PAUSE_FIRST_MS = 200,
    PAUSE_MAX_MS = 60000,
    DELETE_BATCH = 64,
    SWEEP_PAGE = 512,
    SWEEP_PAUSE_MS = 50, // so that a walk through millions is no load for the loop
    WORD_BYTES = 1 + sizeof(struct uid),
};

struct janitor {
    void *zmq_context;
    void *socket; // the loop's end
    struct object_store *store;
    pthread_t thread;
    uint64_t waiting_count;
    char address[64];
};

// A walk through the store.
struct sweep {
    struct object_info *page; // NULL: none under way
    struct uid after;
    bool has_after;
    int64_t before_ms; // wall clock: older ones are told
    int64_t next_ms;   // monotonic
};

// The thread's own.
struct work {
    void *socket;
    struct object_store *store;
    struct uid *uids; // a ring, the oldest at uids_first
    size_t uids_first;
    size_t uids_count;
    size_t uids_capacity;
    int64_t pause_ms; // 0: the last delete succeeded
    int64_t next_ms;  // monotonic; not before
    unsigned random_state;
    struct sweep sweep;
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
        size_t capacity = work->uids_capacity * 2 + 64;
        struct uid *uids = xmalloc(capacity * sizeof *uids);
        for (size_t at = 0; at < work->uids_count; at++) {
            uids[at] = work->uids[(work->uids_first + at) % work->uids_capacity];
        }
        free(work->uids);
        work->uids = uids;
        work->uids_first = 0;
        work->uids_capacity = capacity;
    }
    work->uids[(work->uids_first + work->uids_count) % work->uids_capacity] = *uid;
    work->uids_count++;
}

static void
drop_first(struct work *work, size_t count)
{
    work->uids_first = (work->uids_first + count) % work->uids_capacity;
    work->uids_count -= count;
}

static void
begin_sweep(struct work *work, int64_t grace_ms)
{
    if (work->sweep.page == NULL) {
        work->sweep = (struct sweep){
            .page = xcalloc(SWEEP_PAGE, sizeof(struct object_info)),
            .before_ms = clock_wall_ms() - grace_ms,
        };
    }
}

static void
end_sweep(struct work *work)
{
    free(work->sweep.page);
    work->sweep.page = NULL;
}

// False: the end.
static bool
take_messages(struct work *work)
{
    union {
        struct uid uid;
        int64_t grace_ms;
    } message;
    int len;
    while ((len = zmq_recv(work->socket, &message, sizeof message, ZMQ_DONTWAIT)) != -1) {
        if (len == sizeof message.uid) {
            keep(work, &message.uid);
        } else if (len == sizeof message.grace_ms) {
            begin_sweep(work, message.grace_ms);
        } else {
            return false;
        }
    }
    return errno == EAGAIN || errno == EINTR;
}

static void
tell(struct work *work, enum janitor_word word, const struct uid *uid)
{
    uint8_t message[WORD_BYTES] = {(uint8_t)word};
    memcpy(message + 1, uid, sizeof *uid);
    while (zmq_send(work->socket, message, sizeof message, 0) == -1 && errno == EINTR) {
        continue;
    }
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

// Deletes the oldest. One that failed goes behind the others, so that one bad object does not hold
// them up.
static void
delete_some(struct work *work)
{
    struct problem problem = {.code = ZKT_OK};
    struct uid uids[DELETE_BATCH];
    size_t uids_count = work->uids_count < DELETE_BATCH ? work->uids_count : DELETE_BATCH;
    for (size_t at = 0; at < uids_count; at++) {
        uids[at] = work->uids[(work->uids_first + at) % work->uids_capacity];
    }
    size_t deleted_count = 0;
    enum zkt_err err = object_store_delete(work->store, uids, uids_count, &deleted_count, &problem);
    drop_first(work, deleted_count);
    for (size_t at = 0; at < deleted_count; at++) {
        tell(work, JANITOR_DELETED, &uids[at]);
    }
    if (err == ZKT_OK) {
        zkt_assert(deleted_count == uids_count);
        work->pause_ms = 0;
        work->next_ms = 0;
        return;
    }
    if (deleted_count < uids_count) {
        drop_first(work, 1);
        keep(work, &uids[deleted_count]);
    }
    lengthen_pause(work, problem.text);
}

// One page. A walk that fails ends: the next one comes anyway.
static void
sweep_page(struct work *work)
{
    struct sweep *sweep = &work->sweep;
    struct problem problem = {.code = ZKT_OK};
    size_t infos_count = 0;
    enum zkt_err err = object_store_list(work->store, sweep->has_after ? &sweep->after : NULL,
                                         sweep->page, SWEEP_PAGE, &infos_count, &problem);
    if (err != ZKT_OK) {
        log_warn("OBJECT-LIST-FAILED", "kind=%s reason=\"%s\"", work->store->kind, problem.text);
    }
    if (err != ZKT_OK || infos_count == 0) {
        end_sweep(work);
        return;
    }
    for (size_t at = 0; at < infos_count; at++) {
        if (sweep->page[at].modified_ms <= sweep->before_ms) {
            tell(work, JANITOR_FOUND, &sweep->page[at].uid);
        }
    }
    sweep->after = sweep->page[infos_count - 1].uid;
    sweep->has_after = true;
    sweep->next_ms = clock_monotonic_ms() + SWEEP_PAUSE_MS;
}

// How long there is nothing to do; -1: until a message comes.
static long
idle_ms(const struct work *work)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t due_ms = work->uids_count > 0 ? work->next_ms : INT64_MAX;
    if (work->sweep.page != NULL && work->sweep.next_ms < due_ms) {
        due_ms = work->sweep.next_ms;
    }
    if (due_ms == INT64_MAX) {
        return -1;
    }
    return due_ms > now_ms ? (long)(due_ms - now_ms) : 0;
}

static void *
run(void *arg)
{
    struct work *work = arg;
    bool goes_on = true;
    while (goes_on) {
        zmq_pollitem_t item = {.socket = work->socket, .events = ZMQ_POLLIN};
        int ready = zmq_poll(&item, 1, idle_ms(work));
        if (ready == -1 && errno == ETERM) {
            break;
        }
        goes_on = take_messages(work);
        int64_t now_ms = clock_monotonic_ms();
        if (goes_on && work->uids_count > 0 && now_ms >= work->next_ms) {
            delete_some(work);
        }
        if (goes_on && work->sweep.page != NULL && now_ms >= work->sweep.next_ms) {
            sweep_page(work);
        }
    }
    zmq_close(work->socket);
    end_sweep(work);
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

void
janitor_sweep(struct janitor *janitor, int64_t grace_ms)
{
    while (zmq_send(janitor->socket, &grace_ms, sizeof grace_ms, 0) == -1) {
        zkt_assert(errno == EINTR);
    }
}

void *
janitor_socket(struct janitor *janitor)
{
    return janitor->socket;
}

enum janitor_word
janitor_receive(struct janitor *janitor, struct uid *uid)
{
    uint8_t message[WORD_BYTES];
    int len = zmq_recv(janitor->socket, message, sizeof message, ZMQ_DONTWAIT);
    if (len != sizeof message) {
        return JANITOR_NOTHING;
    }
    memcpy(uid, message + 1, sizeof *uid);
    if (message[0] == JANITOR_DELETED) {
        zkt_assert(janitor->waiting_count > 0);
        janitor->waiting_count--;
    }
    return (enum janitor_word)message[0];
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
