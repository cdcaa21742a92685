// The loop and each thread hand each other pointers over a pair of inproc sockets without a limit:
// who receives one owns it. NULL asks the thread to end.
#include "io/assembler.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/pair.h"

enum { LANE_BEGIN, LANE_COMPLETE };

struct order {
    // The socket orders what the two threads do; a thread sanitizer sees it by this.
    atomic_bool is_handed;
    enum assembly what;
    uint64_t request;
    struct arena arena; // of upload and etags
    struct object_info object;
    uint8_t sha256[32];
    struct span upload;
    struct span *etags;
    size_t etags_count;
    // The outcome.
    struct bytes begun;
    struct problem problem;
};

// One thread, as the loop sees it.
struct lane {
    void *socket; // the loop's end; NULL: there is none
    pthread_t thread;
};

struct assembler {
    struct lane lanes[ASSEMBLY_LANES];
};

// A thread's own.
struct bench {
    void *socket;
    struct object_store *store;
};

static void
hand(void *socket, struct order *order)
{
    if (order != NULL) {
        atomic_store_explicit(&order->is_handed, true, memory_order_release);
    }
    while (zmq_send(socket, &order, sizeof order, 0) == -1) {
        zkt_assert(errno == EINTR || errno == ETERM);
        if (errno == ETERM) {
            return;
        }
    }
}

// The order of a message that came; NULL: the end, or none.
static struct order *
take(void *socket, int flags)
{
    struct order *order = NULL;
    int len;
    do {
        len = zmq_recv(socket, &order, sizeof order, flags);
    } while (len == -1 && errno == EINTR);
    if (len != sizeof order || order == NULL) {
        return NULL;
    }
    bool is_handed = atomic_load_explicit(&order->is_handed, memory_order_acquire);
    zkt_assert(is_handed);
    return order;
}

static struct order *
order_new(enum assembly what, uint64_t request, const struct object_item *object)
{
    struct order *order = xcalloc(1, sizeof *order);
    order->what = what;
    order->request = request;
    arena_init(&order->arena);
    order->object = (struct object_info){.uid = object->uid, .size = object->size};
    memcpy(order->sha256, object->sha256, sizeof order->sha256);
    return order;
}

static void
order_destroy(struct order *order)
{
    bytes_fini(&order->begun);
    arena_fini(&order->arena);
    free(order);
}

// ---- A thread

static void
carry_out(struct object_store *store, struct order *order)
{
    struct problem *problem = &order->problem;
    if (order->what == ASSEMBLY_BEGUN) {
        problem->code = object_store_multipart_begin(store, &order->object, order->sha256,
                                                     &order->begun, problem);
    } else {
        problem->code =
            object_store_multipart_complete(store, &order->object, order->sha256, order->upload,
                                            order->etags, order->etags_count, problem);
    }
    if (problem->code == ZKT_IO || problem->code == ZKT_DISK_FULL) {
        // Paths and reasons of the system are for the log, not for the client.
        log_error("OBJECT-STORE-FAILED", "code=%s reason=\"%s\"", zkt_err_name(problem->code),
                  problem->text);
        problem_set(problem, problem->code, "the object store failed; the broker's log says why");
    }
}

static void *
run(void *arg)
{
    struct bench bench = *(struct bench *)arg;
    free(arg);
    struct order *order;
    while ((order = take(bench.socket, 0)) != NULL) {
        carry_out(bench.store, order);
        hand(bench.socket, order);
    }
    // Behind the end nothing was asked.
    zmq_close(bench.socket);
    return NULL;
}

// ---- The loop's side

static enum zkt_err
open_lane(void *zmq_context, struct object_store *store, struct lane *lane, struct problem *problem)
{
    struct bench *bench = xcalloc(1, sizeof *bench);
    bench->store = store;
    enum zkt_err err = pair_open(zmq_context, "assembler", &lane->socket, &bench->socket, problem);
    if (err == ZKT_OK && pthread_create(&lane->thread, NULL, run, bench) != 0) {
        zmq_close(lane->socket);
        zmq_close(bench->socket);
        lane->socket = NULL;
        err = problem_set(problem, ZKT_IO, "the assembler did not start: no thread");
    }
    if (err != ZKT_OK) {
        free(bench);
    }
    return err;
}

enum zkt_err
assembler_start(void *zmq_context, struct object_store *store, struct assembler **assembler_p,
                struct problem *problem)
{
    struct assembler *assembler = xcalloc(1, sizeof *assembler);
    enum zkt_err err = ZKT_OK;
    for (size_t at = 0; err == ZKT_OK && at < ASSEMBLY_LANES; at++) {
        err = open_lane(zmq_context, store, &assembler->lanes[at], problem);
    }
    if (err != ZKT_OK) {
        assembler_stop(&assembler);
    }
    *assembler_p = assembler;
    return err;
}

void
assembler_begin(struct assembler *assembler, uint64_t request, const struct object_item *object)
{
    hand(assembler->lanes[LANE_BEGIN].socket, order_new(ASSEMBLY_BEGUN, request, object));
}

void
assembler_complete(struct assembler *assembler, uint64_t request, const struct object_item *object,
                   const struct upload_parts *parts)
{
    struct order *order = order_new(ASSEMBLY_COMPLETED, request, object);
    order->upload = span_of(arena_copy(&order->arena, parts->upload.data, parts->upload.len),
                            parts->upload.len);
    order->etags_count = parts->items_count;
    order->etags = arena_alloc(&order->arena, parts->items_count * sizeof *order->etags + 1);
    for (size_t at = 0; at < parts->items_count; at++) {
        struct span etag = parts->items[at].etag;
        order->etags[at] = span_of(arena_copy(&order->arena, etag.data, etag.len), etag.len);
    }
    hand(assembler->lanes[LANE_COMPLETE].socket, order);
}

void *
assembler_socket(struct assembler *assembler, size_t lane)
{
    zkt_assert(lane < ASSEMBLY_LANES);
    return assembler->lanes[lane].socket;
}

enum assembly
assembler_receive(struct assembler *assembler, uint64_t *request, struct bytes *upload,
                  struct problem *problem)
{
    struct order *order = NULL;
    for (size_t at = 0; order == NULL && at < ASSEMBLY_LANES; at++) {
        if (assembler->lanes[at].socket != NULL) {
            order = take(assembler->lanes[at].socket, ZMQ_DONTWAIT);
        }
    }
    if (order == NULL) {
        return ASSEMBLY_NONE;
    }
    enum assembly what = order->what;
    *request = order->request;
    *problem = order->problem;
    bytes_append(upload, order->begun.data, order->begun.len);
    order_destroy(order);
    return what;
}

void
assembler_stop(struct assembler **assembler_p)
{
    struct assembler *assembler = *assembler_p;
    *assembler_p = NULL;
    if (assembler == NULL) {
        return;
    }
    struct bytes unused = {0};
    uint64_t request;
    struct problem problem;
    for (size_t at = 0; at < ASSEMBLY_LANES; at++) {
        if (assembler->lanes[at].socket != NULL) {
            hand(assembler->lanes[at].socket, NULL);
            pthread_join(assembler->lanes[at].thread, NULL);
        }
    }
    while (assembler_receive(assembler, &request, &unused, &problem) != ASSEMBLY_NONE) {
    }
    bytes_fini(&unused);
    for (size_t at = 0; at < ASSEMBLY_LANES; at++) {
        if (assembler->lanes[at].socket != NULL) {
            zmq_close(assembler->lanes[at].socket);
        }
    }
    free(assembler);
}
