// The loop. One turn: poll → engine_turn (completions, dispatch, timers, slices) → hand the batch
// over → drain the front. Nobody hears of anything that could still be lost: answers leave when
// their batch is durable, which the engine decides. The longest turn is the longest time that
// anybody waits for the broker; it is measured and shown.
#include "loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/engine.h"
#include "endpoints.h"
#include "http/server.h"
#include "io/assembler.h"
#include "io/front.h"
#include "io/janitor.h"
#include "io/log_pub.h"
#include "loop_metrics.h"
#include "object/object_dir.h"
#include "object_stores.h"
#include "signals.h"
#include "store_made.h"
#include "wire/task_body.h"

enum {
    DRAIN_MESSAGES_MAX = 512,
    DRAIN_UNTIL_NS = 3000000, // of a turn: what a message asks for may be much
    WORDS_MAX = 256,          // of the janitor at once
    METRICS_PERIOD_MS = 1000,
    METRICS_CONSUMERS_MAX = 512, // a turn
    SWEEP_PERIOD_MS = 600000,
    DRAIN_STOP_MS = 10000
};

struct loop {
    const struct broker_options *options;
    void *zmq_context;
    struct front *front;
    struct log_pub *log_pub;
    struct engine *engine;
    struct object_stores objects;
    struct http_server *http;
    struct janitor *janitor;
    struct assembler *assembler;
    char http_address[300];
    char events_told[300]; // as WELCOME tells it: without the host when it listens on all
    char http_told[300];
    struct loop_figures figures;
    struct bytes metrics;
    int64_t metrics_due_ms;
    bool is_writing_metrics;
    int64_t metrics_ns;         // what this text has taken so far
    uint64_t sweep_found_count; // of the walk under way: nothing refers to them
    int64_t sweep_due_ms;       // 0: not set yet
    int64_t stop_by_ms;         // 0: not stopping
    bool has_failed;
};

// ---- Effects

static bool
effect_send(void *arg, struct span peer, const struct command *command)
{
    struct loop *loop = arg;
    return front_send(loop->front, peer, command);
}

static bool
effect_is_wanted(void *arg, const char *topic)
{
    struct loop *loop = arg;
    return log_pub_is_wanted(loop->log_pub, topic);
}

static void
effect_publish(void *arg, const char *topic, const struct value *body)
{
    struct loop *loop = arg;
    log_pub_publish(loop->log_pub, topic, body);
}

static enum zkt_err
effect_presign_put(void *arg, const struct object_item *object, struct bytes *out)
{
    struct loop *loop = arg;
    struct object_info info = {.uid = object->uid, .size = object->size};
    return object_store_presign_put(loop->objects.store, &info, object->sha256,
                                    clock_wall_ms() / 1000, out);
}

static enum zkt_err
effect_presign_get(void *arg, const struct uid *object, struct bytes *out)
{
    struct loop *loop = arg;
    return object_store_presign_get(loop->objects.store, object, clock_wall_ms() / 1000, out);
}

static void
effect_begin_parts(void *arg, uint64_t request, const struct object_item *object)
{
    struct loop *loop = arg;
    assembler_begin(loop->assembler, request, object);
}

static enum zkt_err
effect_presign_part(void *arg, const struct uid *object, struct span upload, uint32_t part,
                    int64_t size, struct bytes *out)
{
    struct loop *loop = arg;
    return object_store_presign_part(loop->objects.store, object, upload, part, size,
                                     clock_wall_ms() / 1000, out);
}

static void
effect_complete_parts(void *arg, uint64_t request, const struct object_item *object,
                      const struct upload_parts *parts)
{
    struct loop *loop = arg;
    assembler_complete(loop->assembler, request, object, parts);
}

static void
effect_delete_object(void *arg, const struct uid *object)
{
    struct loop *loop = arg;
    loop->figures.objects_unreferenced_count++;
    janitor_delete(loop->janitor, object, 1);
}

static void
effect_random_uid(void *arg, struct uid *uid)
{
    (void)arg;
    uid_random(uid);
}

static void
effect_fail(void *arg, const char *reason)
{
    struct loop *loop = arg;
    log_error("STORE-FAILED", "reason=\"%s\"", reason);
    loop->has_failed = true;
}

static void
effect_forget_peer(void *arg, struct span peer)
{
    struct loop *loop = arg;
    front_forget(loop->front, peer);
}

static size_t
on_command(void *arg, struct span peer, const struct command *command)
{
    struct loop *loop = arg;
    size_t before_bytes = store_batch_bytes(engine_store(loop->engine));
    engine_command(loop->engine, peer, command);
    return store_batch_bytes(engine_store(loop->engine)) - before_bytes;
}

static void
on_bad_frame(void *arg, struct span peer, const struct command *partial,
             const struct problem *problem)
{
    struct loop *loop = arg;
    engine_bad_frame(loop->engine, peer, partial, problem);
}

// ---- Life

static enum zkt_err
make_directories(const char *data_path, struct problem *problem)
{
    static const char *const names[] = {"", "/store", "/objects", "/keys"};
    for (size_t name_index = 0; name_index < sizeof names / sizeof *names; name_index++) {
        char *path = xasprintf("%s%s", data_path, names[name_index]);
        bool is_made = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (!is_made) {
            problem_set(problem, ZKT_IO, "[broker] data %s: %s", path, strerror(errno));
        }
        free(path);
        if (!is_made) {
            return ZKT_IO;
        }
    }
    return ZKT_OK;
}

// What peers are told: an address that listens on all interfaces goes without its host, for the one
// that was dialled.
static void
tell_address(const char *bound, const char *scheme, char *told, size_t size)
{
    const char *host = strstr(bound, "://");
    host = host != NULL ? host + 3 : bound;
    const char *port = strrchr(host, ':');
    bool is_any = strncmp(host, "0.0.0.0", 7) == 0 || strncmp(host, "[::]", 4) == 0 || *host == '*';
    snprintf(told, size, "%s://%s", scheme, is_any && port != NULL ? port : host);
}

// The directory store signs addresses of the port that was bound, and checks requests for it.
static void
http_bound(void *arg, uint16_t bound_port)
{
    struct loop *loop = arg;
    const char *listen = loop->options->http_listen;
    const char *port = strrchr(listen, ':');
    size_t host_len = port != NULL ? (size_t)(port - listen) : strlen(listen);
    snprintf(loop->http_address, sizeof loop->http_address, "http://%.*s:%u", (int)host_len, listen,
             bound_port);
    tell_address(loop->http_address, "http", loop->http_told, sizeof loop->http_told);
    // While objects move to S3 the public address is that of S3.
    const char *public_address = loop->objects.is_moving ? "" : loop->options->public_address;
    if (loop->objects.dir != NULL) {
        object_dir_set_address(loop->objects.dir,
                               *public_address != '\0' ? public_address : loop->http_told);
    }
}

static enum zkt_err
open_http(struct loop *loop, struct problem *problem)
{
    struct http_options options = {.listen = loop->options->http_listen,
                                   .objects = loop->objects.dir,
                                   .fallback = loop->objects.is_moving ? loop->objects.s3 : NULL,
                                   .on_bound = http_bound,
                                   .arg = loop};
    return http_server_start(&options, &loop->http, problem);
}

static enum zkt_err
open_engine(struct loop *loop, struct problem *problem)
{
    const struct broker_options *options = loop->options;
    char *store_path = xasprintf("%s/store", options->data_path);
    struct engine_options engine_options = {.effects = {.arg = loop,
                                                        .send = effect_send,
                                                        .is_wanted = effect_is_wanted,
                                                        .publish = effect_publish,
                                                        .presign_put = effect_presign_put,
                                                        .presign_get = effect_presign_get,
                                                        .begin_parts = effect_begin_parts,
                                                        .presign_part = effect_presign_part,
                                                        .complete_parts = effect_complete_parts,
                                                        .delete_object = effect_delete_object,
                                                        .random_uid = effect_random_uid,
                                                        .fail = effect_fail,
                                                        .forget_peer = effect_forget_peer},
                                            .store = {.path = store_path,
                                                      .codec = &wire_task_codec,
                                                      .finished_ttl_ms = options->finished_ttl_ms,
                                                      .crashed_ttl_ms = options->crashed_ttl_ms,
                                                      .tasks_max = options->tasks_max,
                                                      .bytes_max = options->bytes_max,
                                                      .free_min_bytes = options->free_min_bytes,
                                                      .upload_grace_ms = options->upload_grace_ms},
                                            .interval_ms = options->heartbeat_ms,
                                            .expiry_ms = options->expiry_ms,
                                            .expiry_max_ms = options->expiry_max_ms,
                                            .resume_grace_ms = options->resume_grace_ms,
                                            .deliveries_max = options->deliveries_max,
                                            .events_address = span_of_text(loop->events_told),
                                            .http_address = span_of_text(loop->http_told),
                                            .object_kind = span_of_text(loop->objects.store->kind),
                                            .multipart_threshold =
                                                loop->objects.store->ops->multipart_begin != NULL
                                                    ? loop->options->multipart_threshold
                                                    : 0};
    uid_random(&engine_options.store.store_id);
    enum zkt_err err =
        engine_new(&engine_options, clock_monotonic_ms(), clock_wall_ms(), &loop->engine, problem);
    free(store_path);
    return err;
}

// The front last: nobody is let in before everything stands.
static enum zkt_err
open_all(struct loop *loop, struct problem *problem)
{
    const struct broker_options *options = loop->options;
    enum zkt_err err = store_made_check(options->data_path, problem);
    if (err == ZKT_OK) {
        err = make_directories(options->data_path, problem);
    }
    if (err == ZKT_OK) {
        err = log_pub_new(loop->zmq_context, options->events_listen, &loop->log_pub, problem);
    }
    if (err == ZKT_OK) {
        tell_address(log_pub_address(loop->log_pub), "tcp", loop->events_told,
                     sizeof loop->events_told);
        err = object_stores_open(options, &loop->objects, problem);
    }
    if (err == ZKT_OK) {
        err = open_http(loop, problem);
    }
    if (err == ZKT_OK) {
        err = janitor_start(loop->zmq_context, loop->objects.store, &loop->janitor, problem);
    }
    if (err == ZKT_OK) {
        err = assembler_start(loop->zmq_context, loop->objects.store, &loop->assembler, problem);
    }
    if (err == ZKT_OK) {
        err = open_engine(loop, problem);
    }
    if (err == ZKT_OK) {
        err = store_made_note(options->data_path, problem);
    }
    if (err == ZKT_OK) {
        struct front_handlers handlers = {
            .arg = loop, .on_command = on_command, .on_bad_frame = on_bad_frame};
        err = front_new(loop->zmq_context, options->listen, &handlers, &loop->front, problem);
    }
    if (err == ZKT_OK) {
        struct endpoints endpoints = {
            .broker = front_address(loop->front),
            .events = log_pub_address(loop->log_pub),
            .http = loop->http_address,
            .objects = loop->objects.is_moving ? ENDPOINTS_MOVING : loop->objects.store->kind,
            .pid = getpid()};
        err = endpoints_write(options->data_path, &endpoints, problem);
    }
    return err;
}

enum zkt_err
loop_new(const struct broker_options *options, struct loop **loop_out, struct problem *problem)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->options = options;
    loop->zmq_context = zmq_ctx_new();
    zkt_assert(loop->zmq_context != NULL);
    zmq_ctx_set(loop->zmq_context, ZMQ_MAX_SOCKETS, 1024);
    enum zkt_err err = open_all(loop, problem);
    if (err != ZKT_OK) {
        loop_destroy(&loop);
        return err;
    }
    log_info("BROKER-READY", "listen=%s events=%s http=%s data=%s", front_address(loop->front),
             log_pub_address(loop->log_pub), loop->http_address, options->data_path);
    *loop_out = loop;
    return ZKT_OK;
}

void
loop_destroy(struct loop **loop_p)
{
    struct loop *loop = *loop_p;
    if (loop == NULL) {
        return;
    }
    if (loop->front != NULL) {
        endpoints_remove(loop->options->data_path);
    }
    engine_destroy(&loop->engine);
    front_destroy(&loop->front);
    if (loop->objects.store != NULL) {
        object_store_interrupt(loop->objects.store);
    }
    assembler_stop(&loop->assembler);
    janitor_stop(&loop->janitor);
    http_server_stop(&loop->http);
    log_pub_destroy(&loop->log_pub);
    object_stores_close(&loop->objects);
    zmq_ctx_term(loop->zmq_context);
    bytes_fini(&loop->metrics);
    free(loop);
    *loop_p = NULL;
}

// ---- Turning

static void
take_signals(struct loop *loop, int signal_fd)
{
    int number;
    while ((number = signals_next(signal_fd)) != 0) {
        if (number == SIGHUP) {
            if (log_reopen() != 0) {
                log_error("LOG-REOPEN-FAILED", "path=%s", loop->options->log_path);
            }
            log_info("LOG-REOPENED", "pid=%d", (int)getpid());
        } else if (loop->stop_by_ms == 0) {
            log_info("BROKER-STOPPING", "signal=%d", number);
            loop->stop_by_ms = clock_monotonic_ms() + DRAIN_STOP_MS;
            engine_drain(loop->engine);
        }
    }
}

static void
end_walk(struct loop *loop)
{
    struct janitor_walk walk = janitor_walk(loop->janitor);
    log_info("OBJECT-SWEPT",
             "listed=%" PRIu64 " old=%" PRIu64 " unreferenced=%" PRIu64 " old_uploads=%" PRIu64
             " foreign=%" PRIu64 " failed=%s",
             walk.listed_count, walk.old_count, loop->sweep_found_count, walk.pending_count,
             walk.foreign_count, walk.has_failed ? "yes" : "no");
    loop->figures.walks_count++;
    loop->figures.objects_listed_count += walk.listed_count;
    loop->figures.objects_foreign_count += walk.foreign_count;
    loop->sweep_found_count = 0;
}

// A bounded slice: thousands of words at once must not hold up the messages.
static void
take_words(struct loop *loop)
{
    struct uid uid;
    enum janitor_word word;
    for (int words_count = 0; words_count < WORDS_MAX; words_count++) {
        word = janitor_receive(loop->janitor, &uid);
        bool is_known = (word == JANITOR_FOUND || word == JANITOR_PENDING) &&
                        store_object_is_referenced(engine_store(loop->engine), &uid);
        switch (word) {
        case JANITOR_NOTHING:
            return;
        case JANITOR_DELETED:
            loop->figures.objects_deleted_count++;
            engine_object_deleted(loop->engine, &uid);
            break;
        case JANITOR_FOUND:
            loop->sweep_found_count += !is_known;
            loop->figures.objects_swept_count += !is_known;
            engine_object_found(loop->engine, &uid);
            break;
        case JANITOR_PENDING:
            if (!is_known) {
                loop->figures.uploads_aborted_count++;
                janitor_abort(loop->janitor, &uid);
            }
            break;
        case JANITOR_WALKED:
            end_walk(loop);
            break;
        }
    }
}

static void
take_assemblies(struct loop *loop)
{
    struct bytes upload = {0};
    uint64_t request;
    struct problem problem;
    enum assembly what;
    while ((what = assembler_receive(loop->assembler, &request, &upload, &problem)) !=
           ASSEMBLY_NONE) {
        if (what == ASSEMBLY_BEGUN) {
            engine_parts_begun(loop->engine, request, bytes_span(&upload), &problem);
        } else {
            engine_parts_completed(loop->engine, request, &problem);
        }
        bytes_clear(&upload);
    }
    bytes_fini(&upload);
}

// Objects that nobody knows: of uploads that ended after their hold, or of a store that was put
// back from a copy. The first walk is one grace period after the start.
static void
sweep_objects(struct loop *loop, int64_t now_ms)
{
    int64_t grace_ms = loop->options->upload_grace_ms;
    if (loop->sweep_due_ms == 0) {
        loop->sweep_due_ms = now_ms + grace_ms;
    } else if (now_ms >= loop->sweep_due_ms) {
        loop->sweep_due_ms = now_ms + (grace_ms > SWEEP_PERIOD_MS ? grace_ms : SWEEP_PERIOD_MS);
        enum object_sweep mode = object_stores_sweep_mode(loop->options);
        if (mode != OBJECT_SWEEP_OFF) {
            janitor_sweep(loop->janitor, grace_ms, mode == OBJECT_SWEEP_ALL);
        }
    }
}

// The text of /metrics, once a second, some of it each turn. True: more is to be written.
static bool
publish_metrics(struct loop *loop, int64_t now_ms)
{
    if (!loop->is_writing_metrics && now_ms < loop->metrics_due_ms) {
        return false;
    }
    int64_t start_ns = clock_monotonic_ns();
    loop->is_writing_metrics =
        !engine_metrics_some(loop->engine, &loop->metrics, METRICS_CONSUMERS_MAX);
    loop->metrics_ns += clock_monotonic_ns() - start_ns;
    if (loop->is_writing_metrics) {
        return true;
    }
    struct store_stats stats;
    store_stats(engine_store(loop->engine), &stats);
    loop->figures.http_requests_count = http_server_requests_count(loop->http);
    loop->figures.janitor_waiting_count = janitor_waiting_count(loop->janitor);
    loop->figures.published_count = log_pub_published_count(loop->log_pub);
    loop_metrics(&loop->figures, front_counts(loop->front), &stats, &loop->metrics);
    http_server_publish(loop->http, &loop->metrics, engine_unhealthy(loop->engine));
    // With many consumers the text takes a while: never more than half a percent of the loop's
    // time.
    int64_t elapsed_ms = loop->metrics_ns / 1000000;
    loop->metrics_ns = 0;
    loop->metrics_due_ms = now_ms + (elapsed_ms > 5 ? elapsed_ms * 200 : METRICS_PERIOD_MS);
    return false;
}

// Waits for anything to happen, at most timeout_ms.
static void
wait_for_something(struct loop *loop, int signal_fd, int64_t timeout_ms)
{
    bool is_full = engine_is_full(loop->engine);
    zmq_pollitem_t items[] = {
        {.socket = front_socket(loop->front), .events = is_full ? 0 : ZMQ_POLLIN},
        {.socket = log_pub_socket(loop->log_pub), .events = ZMQ_POLLIN},
        {.socket = janitor_socket(loop->janitor), .events = ZMQ_POLLIN},
        {.socket = assembler_socket(loop->assembler, 0), .events = ZMQ_POLLIN},
        {.socket = assembler_socket(loop->assembler, 1), .events = ZMQ_POLLIN},
        {.socket = front_monitor(loop->front), .events = ZMQ_POLLIN},
        {.fd = signal_fd, .events = ZMQ_POLLIN},
        {.fd = store_fd(engine_store(loop->engine)), .events = ZMQ_POLLIN},
    };
    zmq_poll(items, sizeof items / sizeof *items, (long)timeout_ms);
    if (items[1].revents != 0) {
        log_pub_poll(loop->log_pub);
    }
    if (items[2].revents != 0) {
        take_words(loop);
    }
    if (items[3].revents != 0 || items[4].revents != 0) {
        take_assemblies(loop);
    }
    if (items[5].revents != 0) {
        front_watch(loop->front);
    }
    if (items[6].revents != 0) {
        take_signals(loop, signal_fd);
    }
}

static bool
is_over(const struct loop *loop)
{
    if (loop->has_failed) {
        return true;
    }
    return loop->stop_by_ms != 0 &&
           (engine_is_drained(loop->engine) || clock_monotonic_ms() >= loop->stop_by_ms);
}

int
loop_run(struct loop *loop, int signal_fd)
{
    int64_t timeout_ms = 0;
    bool drained_empty = true;
    int busy_turns = 0;
    while (!is_over(loop)) {
        int64_t start_ns = clock_monotonic_ns();
        int64_t now_ms = start_ns / 1000000;
        int64_t due_ms =
            engine_turn(loop->engine, now_ms, clock_wall_ms(), timeout_ms, drained_empty);
        engine_commit(loop->engine);
        bool outboxes_wait = front_flush(loop->front);
        bool has_more_metrics = publish_metrics(loop, now_ms);
        sweep_objects(loop, now_ms);
        size_t drained_count = 0;
        if (!engine_is_full(loop->engine)) {
            drained_empty = front_drain(loop->front, DRAIN_MESSAGES_MAX, start_ns + DRAIN_UNTIL_NS,
                                        &drained_count);
        } else {
            drained_empty = false;
        }
        loop_figures_turn(&loop->figures, clock_monotonic_ns() - start_ns, clock_cpu_ns());
        // While messages come the other sockets are only looked at now and then: polling costs as
        // much as a turn.
        bool is_busy = drained_count > 0 || due_ms == 0 || has_more_metrics;
        timeout_ms = is_busy ? 0 : outboxes_wait && due_ms > 5 ? 5 : due_ms;
        if (!is_busy || ++busy_turns >= 16) {
            busy_turns = 0;
            wait_for_something(loop, signal_fd, timeout_ms);
        }
    }
    log_info("BROKER-STOPPED", "failed=%s", loop->has_failed ? "yes" : "no");
    return loop->has_failed ? 1 : 0;
}
