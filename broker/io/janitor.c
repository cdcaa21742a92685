// The loop and the janitor's thread talk over a pair of inproc sockets without a limit: sending
// never blocks. Messages have a kind in front; nothing (0 bytes) is the end. What failed waits in
// the janitor and is tried again after a pause that doubles with each failure in a row, jittered so
// that many brokers do not knock at once. Between two deletes, and two pages of a walk, the thread
// looks for messages; what it waits for in the store is interrupted at the end
// (object_store_interrupt).
#include "io/janitor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/pair.h"

enum {
    PAUSE_FIRST_MS = 200,
    PAUSE_MAX_MS = 60000,
    DELETE_BATCH = 1000, // what S3 takes in one request
    PENDING_PAGE = 64,
    SWEEP_PAGE = 512,
    SWEEP_PAUSE_MS = 50, // so that a walk through millions is no load for the loop
};

enum order { ORDER_DELETE, ORDER_ABORT, ORDER_SWEEP };

// To the thread.
struct order_message {
    enum order order;
    bool with_foreign;
    struct uid uid;
    int64_t grace_ms;
};
// From it.
struct word_message {
    enum janitor_word word;
    struct uid uid;
    struct janitor_walk walk;
};

struct janitor {
    void *socket; // the loop's end
    pthread_t thread;
    uint64_t waiting_count;
    struct janitor_walk walk;
};

enum phase { PHASE_NONE, PHASE_OBJECTS, PHASE_PENDING, PHASE_FOREIGN };

// A walk through the store.
struct sweep {
    enum phase phase;
    bool with_foreign;
    struct object_info *page; // while under way; owned
    struct uid after;
    bool has_after;
    struct object_pending *pendings; // likewise
    struct object_pending pending_after;
    bool has_pending_after;
    struct bytes cursor;
    int64_t before_ms; // wall clock: older ones are told
    int64_t next_ms;   // monotonic
    struct janitor_walk walk;
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
    int64_t tend_ms;  // monotonic; INT64_MAX: never
    unsigned random_state;
    struct sweep sweep;
};

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
tell(struct work *work, enum janitor_word word, const struct uid *uid)
{
    struct word_message message = {.word = word, .walk = work->sweep.walk};
    if (uid != NULL) {
        message.uid = *uid;
    }
    while (zmq_send(work->socket, &message, sizeof message, 0) == -1 && errno == EINTR) {
        continue;
    }
}

// ---- Messages

static void
begin_sweep(struct work *work, const struct order_message *message)
{
    if (work->sweep.phase == PHASE_NONE) {
        work->sweep = (struct sweep){
            .phase = PHASE_OBJECTS,
            .with_foreign = message->with_foreign,
            .page = xcalloc(SWEEP_PAGE, sizeof(struct object_info)),
            .pendings = xcalloc(PENDING_PAGE, sizeof(struct object_pending)),
            .before_ms = clock_wall_ms() - message->grace_ms,
        };
    }
}

static void
end_sweep(struct work *work)
{
    free(work->sweep.page);
    free(work->sweep.pendings);
    bytes_fini(&work->sweep.cursor);
    work->sweep.page = NULL;
    work->sweep.pendings = NULL;
    work->sweep.phase = PHASE_NONE;
}

static void
abort_uploads(struct work *work, const struct uid *uid)
{
    struct object_pending *pendings = xcalloc(PENDING_PAGE, sizeof *pendings);
    struct object_pending *after = xcalloc(1, sizeof *after);
    struct problem problem = {.code = ZKT_OK};
    size_t count = 0;
    enum zkt_err err;
    after->uid = *uid; // with an empty upload: before its first
    do {
        err =
            object_store_list_pending(work->store, after, pendings, PENDING_PAGE, &count, &problem);
        size_t at = 0;
        for (; err == ZKT_OK && at < count && uid_equal(&pendings[at].uid, uid); at++) {
            err = object_store_multipart_abort(work->store, uid, span_of_text(pendings[at].upload),
                                               &problem);
            *after = pendings[at];
        }
        count = at == count ? count : 0; // others behind it: the end
    } while (err == ZKT_OK && count > 0);
    if (err != ZKT_OK && err != ZKT_CANCELLED) {
        log_warn("OBJECT-ABORT-FAILED", "kind=%s reason=\"%s\"", work->store->kind, problem.text);
    }
    free(pendings);
    free(after);
}

// False: the end.
static bool
take_messages(struct work *work)
{
    struct order_message message;
    int len;
    while ((len = zmq_recv(work->socket, &message, sizeof message, ZMQ_DONTWAIT)) != -1) {
        if (len != sizeof message) {
            return false;
        }
        switch (message.order) {
        case ORDER_DELETE:
            keep(work, &message.uid);
            break;
        case ORDER_ABORT:
            abort_uploads(work, &message.uid);
            break;
        case ORDER_SWEEP:
            begin_sweep(work, &message);
            break;
        }
    }
    return errno == EAGAIN || errno == EINTR;
}

// ---- Deleting

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

// ---- Walking

static enum zkt_err
objects_page(struct work *work, struct problem *problem)
{
    struct sweep *sweep = &work->sweep;
    size_t count = 0;
    enum zkt_err err = object_store_list(work->store, sweep->has_after ? &sweep->after : NULL,
                                         sweep->page, SWEEP_PAGE, &count, problem);
    for (size_t at = 0; err == ZKT_OK && at < count; at++) {
        if (sweep->page[at].modified_ms <= sweep->before_ms) {
            sweep->walk.old_count++;
            tell(work, JANITOR_FOUND, &sweep->page[at].uid);
        }
    }
    if (err == ZKT_OK && count == 0) {
        sweep->phase = PHASE_PENDING;
    } else if (err == ZKT_OK) {
        sweep->walk.listed_count += count;
        sweep->after = sweep->page[count - 1].uid;
        sweep->has_after = true;
    }
    return err;
}

static enum zkt_err
pending_page(struct work *work, struct problem *problem)
{
    struct sweep *sweep = &work->sweep;
    size_t count = 0;
    if (work->store->ops->list_pending == NULL) {
        sweep->phase = PHASE_FOREIGN;
        return ZKT_OK;
    }
    enum zkt_err err = object_store_list_pending(
        work->store, sweep->has_pending_after ? &sweep->pending_after : NULL, sweep->pendings,
        PENDING_PAGE, &count, problem);
    for (size_t at = 0; err == ZKT_OK && at < count; at++) {
        if (sweep->pendings[at].started_ms <= sweep->before_ms) {
            sweep->walk.pending_count++;
            tell(work, JANITOR_PENDING, &sweep->pendings[at].uid);
        }
    }
    if (err == ZKT_OK && count == 0) {
        sweep->phase = PHASE_FOREIGN;
    } else if (err == ZKT_OK) {
        sweep->pending_after = sweep->pendings[count - 1];
        sweep->has_pending_after = true;
    }
    return err;
}

static enum zkt_err
foreign_page(struct work *work, struct problem *problem)
{
    struct sweep *sweep = &work->sweep;
    size_t count = 0;
    enum zkt_err err = ZKT_OK;
    if (sweep->with_foreign) {
        err = object_store_delete_foreign(work->store, sweep->before_ms, &sweep->cursor, &count,
                                          problem);
        sweep->walk.foreign_count += count;
    }
    if (err == ZKT_OK && sweep->cursor.len == 0) {
        sweep->phase = PHASE_NONE;
    }
    return err;
}

// One page. A walk that fails ends: the next one comes anyway.
static void
sweep_page(struct work *work)
{
    struct sweep *sweep = &work->sweep;
    struct problem problem = {.code = ZKT_OK};
    enum zkt_err err = sweep->phase == PHASE_OBJECTS   ? objects_page(work, &problem)
                       : sweep->phase == PHASE_PENDING ? pending_page(work, &problem)
                                                       : foreign_page(work, &problem);
    if (err != ZKT_OK && err != ZKT_CANCELLED) {
        log_warn("OBJECT-LIST-FAILED", "kind=%s reason=\"%s\"", work->store->kind, problem.text);
    }
    sweep->walk.has_failed = err != ZKT_OK;
    sweep->next_ms = clock_monotonic_ms() + SWEEP_PAUSE_MS;
    if (err != ZKT_OK || sweep->phase == PHASE_NONE) {
        tell(work, JANITOR_WALKED, NULL);
        end_sweep(work);
    }
}

// The store has said in the log what is wrong.
static void
tend(struct work *work)
{
    struct problem problem = {.code = ZKT_OK};
    enum zkt_err err = object_store_tend(work->store, &work->tend_ms, &problem);
    (void)err;
}

// How long there is nothing to do; -1: until a message comes.
static long
idle_ms(const struct work *work)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t due_ms = work->uids_count > 0 ? work->next_ms : INT64_MAX;
    if (work->tend_ms < due_ms) {
        due_ms = work->tend_ms;
    }
    if (work->sweep.phase != PHASE_NONE && work->sweep.next_ms < due_ms) {
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
        if (goes_on && now_ms >= work->tend_ms) {
            tend(work);
        }
        if (goes_on && work->sweep.phase != PHASE_NONE && now_ms >= work->sweep.next_ms) {
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
    struct uid random;
    uid_random(&random);
    work->store = store;
    work->random_state = (unsigned)uid_hash(&random);
    enum zkt_err err = pair_open(zmq_context, "janitor", &janitor->socket, &work->socket, problem);
    if (err == ZKT_OK && pthread_create(&janitor->thread, NULL, run, work) != 0) {
        zmq_close(janitor->socket);
        zmq_close(work->socket);
        err = problem_set(problem, ZKT_IO, "the janitor did not start: no thread");
    }
    if (err != ZKT_OK) {
        free(work);
        free(janitor);
        janitor = NULL;
    }
    *janitor_p = janitor;
    return err;
}

static void
order(struct janitor *janitor, const struct order_message *message)
{
    while (zmq_send(janitor->socket, message, sizeof *message, 0) == -1) {
        zkt_assert(errno == EINTR);
    }
}

void
janitor_delete(struct janitor *janitor, const struct uid *uids, size_t uids_count)
{
    for (size_t uid_index = 0; uid_index < uids_count; uid_index++) {
        order(janitor, &(struct order_message){.order = ORDER_DELETE, .uid = uids[uid_index]});
        janitor->waiting_count++;
    }
}

void
janitor_abort(struct janitor *janitor, const struct uid *uid)
{
    order(janitor, &(struct order_message){.order = ORDER_ABORT, .uid = *uid});
}

void
janitor_sweep(struct janitor *janitor, int64_t grace_ms, bool with_foreign)
{
    order(janitor, &(struct order_message){
                       .order = ORDER_SWEEP, .grace_ms = grace_ms, .with_foreign = with_foreign});
}

void *
janitor_socket(struct janitor *janitor)
{
    return janitor->socket;
}

enum janitor_word
janitor_receive(struct janitor *janitor, struct uid *uid)
{
    struct word_message message;
    int len = zmq_recv(janitor->socket, &message, sizeof message, ZMQ_DONTWAIT);
    if (len != sizeof message) {
        return JANITOR_NOTHING;
    }
    *uid = message.uid;
    if (message.word == JANITOR_DELETED) {
        zkt_assert(janitor->waiting_count > 0);
        janitor->waiting_count--;
    } else if (message.word == JANITOR_WALKED) {
        janitor->walk = message.walk;
    }
    return message.word;
}

struct janitor_walk
janitor_walk(const struct janitor *janitor)
{
    return janitor->walk;
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
