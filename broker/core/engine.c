// The glue: what the store calls back, what a turn does, which verb goes where.
//
// Time is handed in once a turn. Session time advances by at most the poll timeout and a little, so
// that a stopped broker expires nobody. The wall clock that the store is told is held back for one
// grace period when it steps by more than a minute against the monotonic clock: a wrong clock must
// not age tasks away.
#include "core/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/consumer.h"
#include "core/dispatch.h"
#include "core/events.h"
#include "core/handle.h"
#include "core/lease.h"
#include "core/metrics.h"
#include "core/release.h"
#include "core/route.h"
#include "core/session.h"
#include "core/settle.h"
#include "core/state.h"
#include "core/sweep.h"
#include "core/urls.h"
#include "core/wait.h"

// ---- The store's callbacks

static void
on_offer(void *arg, struct hold *hold)
{
    dispatch_offer(arg, hold);
}

static void
on_hold_dropped(void *arg, struct hold *hold)
{
    settle_dropped(arg, hold);
}

static void
on_release(void *arg, const struct task *task, uint64_t release)
{
    handle_release(arg, task, release);
}

static void
on_analysis_done(void *arg, const struct uid *root, const struct analysis_counts *counts)
{
    struct engine *engine = arg;
    engine->analyses_done_count++;
    event_analysis_done(engine, root, counts);
    wait_analysis_done(engine, root, counts);
}

static void
on_object_unreferenced(void *arg, const struct uid *object)
{
    struct engine *engine = arg;
    engine->options.effects.delete_object(engine->options.effects.arg, object);
}

static void
on_task_ended(void *arg, uint32_t number, const struct uid *uid, const struct uid *root,
              enum outcome outcome, const char *reason)
{
    struct engine *engine = arg;
    struct consumer *consumer = consumer_of(engine, number);
    if (consumer == NULL || outcome != OUTCOME_CRASHED) {
        return;
    }
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    log_warn("TASK-CRASHED", "task=%s identity=%.*s reason=\"%s\"", text,
             (int)consumer->identity.len, (const char *)consumer->identity.data, reason);
    consumer->counters->crashed_count++;
    event_crashed(engine, consumer, uid, root);
}

static void
on_consumer_gone(void *arg, uint32_t consumer)
{
    consumer_gone(arg, consumer);
}

static void
on_result(void *arg, uint64_t request, enum zkt_err code, const struct value *rows,
          struct span next)
{
    handle_result(arg, request, code, rows, next);
}

static void
on_resumed(void *arg, uint64_t request, struct hold *hold, bool taken)
{
    (void)taken; // gone or another's: either way it is not the asking worker's
    handle_resumed(arg, request, hold);
}

static void
on_retried(void *arg, uint64_t request, const struct uid *retried)
{
    handle_retried(arg, request, retried);
}

static void
on_durable(void *arg, uint64_t batch)
{
    (void)batch; // one is being committed at a time
    release_batch_durable(arg);
}

static void
on_failed(void *arg, uint64_t batch, const char *reason)
{
    struct engine *engine = arg;
    (void)batch;
    if (engine->has_failed) {
        return;
    }
    engine->has_failed = true;
    (void)snprintf(engine->failure, sizeof engine->failure, "%s", reason);
    engine->options.effects.fail(engine->options.effects.arg, reason);
}

// ---- Life

static void
init_containers(struct engine *engine)
{
    engine->sessions_by_peer = map_new();
    engine->sessions_by_instance = map_new();
    engine->consumers_by_identity = map_new();
    engine->counters_by_identity = map_new();
    engine->waits_by_root = map_new();
    engine->index = filter_index_new();
    number_map_init(&engine->sessions);
    number_map_init(&engine->consumers);
    number_map_init(&engine->leases);
    number_map_init(&engine->requests);
    list_init(&engine->sessions_list);
    list_init(&engine->consumers_list);
    list_init(&engine->counters_list);
    list_init(&engine->dirty);
    list_init(&engine->urls);
    list_init(&engine->limited);
    list_init(&engine->leases_free);
    list_init(&engine->flush);
    heap_init(&engine->expiries);
    heap_init(&engine->beats);
    arena_init(&engine->scratch);
    arena_init(&engine->match_scratch);
    arena_init(&engine->open.arena);
    arena_init(&engine->committing.arena);
}

enum zkt_err
engine_new(const struct engine_options *options, int64_t now_ms, int64_t wall_ms,
           struct engine **engine_p, struct problem *problem)
{
    struct engine *engine = xcalloc(1, sizeof *engine);
    *engine_p = NULL;
    engine->options = *options;
    init_containers(engine);
    engine->now_ms = now_ms;
    engine->started_ms = now_ms;
    engine->wall_ms = wall_ms;
    engine->wall_seen_ms = wall_ms;
    engine->options.store.now_ms = wall_ms;
    engine->options.store.callbacks = (struct store_callbacks){
        .arg = engine,
        .on_offer = on_offer,
        .on_hold_dropped = on_hold_dropped,
        .on_release = on_release,
        .on_analysis_done = on_analysis_done,
        .on_object_unreferenced = on_object_unreferenced,
        .on_task_ended = on_task_ended,
        .on_consumer_gone = on_consumer_gone,
        .on_result = on_result,
        .on_resumed = on_resumed,
        .on_retried = on_retried,
        .on_durable = on_durable,
        .on_failed = on_failed,
    };
    enum zkt_err code = store_open(&engine->options.store, &engine->store, problem);
    if (code != ZKT_OK) {
        engine_destroy(&engine);
        return code;
    }
    int64_t grace_ms =
        options->resume_grace_ms > 0 ? options->resume_grace_ms : options->expiry_ms * 2;
    engine->is_in_grace = true;
    engine->grace_until_ms = engine->session_ms + grace_ms;
    consumer_load_all(engine);
    struct list_link *link = list_first(&engine->consumers_list);
    for (; link != NULL; link = list_next(&engine->consumers_list, link)) {
        consumer_check_grace(engine, container_of(link, struct consumer, in_engine));
    }
    *engine_p = engine;
    return ZKT_OK;
}

void
engine_destroy(struct engine **engine_p)
{
    struct engine *engine = *engine_p;
    *engine_p = NULL;
    if (engine == NULL) {
        return;
    }
    session_destroy_all(engine);
    lease_destroy_all(engine);
    consumer_destroy_all(engine);
    counters_destroy_all(engine);
    if (engine->store != NULL) {
        store_close(&engine->store);
    }
    filter_index_destroy(&engine->index);
    free(engine->matches);
    request_open_destroy_all(engine);
    urls_destroy_all(engine);
    map_destroy(&engine->sessions_by_peer);
    map_destroy(&engine->sessions_by_instance);
    map_destroy(&engine->consumers_by_identity);
    map_destroy(&engine->counters_by_identity);
    map_destroy(&engine->waits_by_root);
    number_map_fini(&engine->sessions);
    number_map_fini(&engine->consumers);
    number_map_fini(&engine->leases);
    number_map_fini(&engine->requests);
    heap_fini(&engine->expiries);
    heap_fini(&engine->beats);
    arena_fini(&engine->scratch);
    arena_fini(&engine->match_scratch);
    arena_fini(&engine->open.arena);
    arena_fini(&engine->committing.arena);
    free(engine);
}

struct store *
engine_store(struct engine *engine)
{
    return engine->store;
}

// ---- Commands

enum { ANY_ROLE = 0, WORKERS = 1 };
struct verb_row {
    void (*handle)(struct engine *engine, struct session *session, const struct command *command);
    int who;
};
static const struct verb_row verb_rows[VERBS_END] = {
    [VERB_SUBMIT] = {handle_submit, ANY_ROLE},   [VERB_CREDIT] = {handle_credit, WORKERS},
    [VERB_REPORT] = {handle_report, WORKERS},    [VERB_LOG] = {handle_log, ANY_ROLE},
    [VERB_PARTS] = {handle_parts, ANY_ROLE},     [VERB_COMPLETE] = {handle_complete, ANY_ROLE},
    [VERB_UPLOAD] = {handle_upload, ANY_ROLE},   [VERB_DOWNLOAD] = {handle_download, ANY_ROLE},
    [VERB_WAIT] = {handle_wait, ANY_ROLE},       [VERB_QUERY] = {handle_query, ANY_ROLE},
    [VERB_CONTROL] = {handle_control, ANY_ROLE}, [VERB_BYE] = {handle_bye, ANY_ROLE},
};

static void
command_of_session(struct engine *engine, struct session *session, const struct command *command)
{
    struct problem problem = {0};
    session_heard(engine, session);
    if (command->verb == VERB_HEARTBEAT) {
        return;
    }
    const struct verb_row *row = &verb_rows[command->verb < VERBS_END ? command->verb : 0];
    if (row->handle == NULL) {
        problem_set(&problem, ZKT_VERB_ILLEGAL, "verb: %u is for a broker to send",
                    (unsigned)command->verb);
        session_error(engine, session, command, &problem);
        return;
    }
    if (row->who == WORKERS && session->consumer == NULL) {
        problem_set(&problem, ZKT_VERB_ILLEGAL, "verb: %u is for workers", (unsigned)command->verb);
        session_error(engine, session, command, &problem);
        return;
    }
    row->handle(engine, session, command);
}

void
engine_command(struct engine *engine, struct span peer, const struct command *command)
{
    if (engine->has_failed) {
        return;
    }
    release_begin(engine);
    arena_clear(&engine->scratch);
    if (command->verb == VERB_HELLO) {
        handle_hello(engine, peer, command);
        return;
    }
    struct session *session = session_of_peer(engine, peer);
    if (session == NULL) {
        struct problem problem = {0};
        problem_set(&problem, ZKT_HELLO_REQUIRED, "no session: say HELLO");
        peer_error(engine, peer, command, &problem);
        return;
    }
    command_of_session(engine, session, command);
}

void
engine_bad_frame(struct engine *engine, struct span peer, const struct command *partial,
                 const struct problem *problem)
{
    if (engine->has_failed) {
        return;
    }
    engine->bad_frames_count++;
    peer_error(engine, peer, partial, problem);
}

void
engine_object_deleted(struct engine *engine, const struct uid *object)
{
    if (!engine->has_failed) {
        store_object_deleted(engine->store, object);
    }
}

void
engine_parts_begun(struct engine *engine, uint64_t request, struct span upload,
                   const struct problem *problem)
{
    if (!engine->has_failed) {
        release_begin(engine);
        handle_parts_begun(engine, request, upload, problem);
    }
}

void
engine_parts_completed(struct engine *engine, uint64_t request, const struct problem *problem)
{
    if (!engine->has_failed) {
        release_begin(engine);
        handle_parts_completed(engine, request, problem);
    }
}

void
engine_object_found(struct engine *engine, const struct uid *object)
{
    if (!engine->has_failed) {
        store_object_found(engine->store, object, engine->wall_ms);
    }
}

// ---- Turns

// A step of the wall clock is told to the store one grace period later.
static void
advance_wall(struct engine *engine, int64_t elapsed_ms, int64_t wall_ms)
{
    int64_t step_ms = wall_ms - (engine->wall_seen_ms + elapsed_ms);
    engine->wall_seen_ms = wall_ms;
    if (step_ms > CLOCK_STEP_MS || step_ms < -CLOCK_STEP_MS) {
        engine->wall_held_until_ms = engine->session_ms + engine->options.expiry_ms * 2;
        log_warn("CLOCK-STEP", "step_ms=%lld", (long long)step_ms);
    }
    if (engine->wall_held_until_ms > engine->session_ms) {
        engine->wall_ms += elapsed_ms;
        return;
    }
    engine->wall_held_until_ms = 0;
    engine->wall_ms = wall_ms;
}

enum { INTAKE_OPEN_MS = 1000 };

// Tells when intake closes, why, and when it is open again for a while: at the limit each task that
// ends opens it for the next one.
static void
watch_intake(struct engine *engine)
{
    enum store_pressure pressure = store_pressure(engine->store);
    if (pressure != STORE_OK) {
        bool is_disk = pressure == STORE_DISK;
        engine->intake_closed_ms = engine->session_ms;
        if (!engine->is_intake_closed || (is_disk && !engine->is_intake_on_disk)) {
            log_warn("INTAKE-CLOSED", "reason=\"%s\"",
                     is_disk ? "the disk is full" : "the store holds as many tasks as it may");
            engine->is_intake_on_disk = is_disk;
        }
        engine->is_intake_closed = true;
    } else if (engine->is_intake_closed &&
               engine->session_ms - engine->intake_closed_ms >= INTAKE_OPEN_MS) {
        log_info("INTAKE-OPENED", "reason=\"there is room again\"");
        engine->is_intake_closed = engine->is_intake_on_disk = false;
    }
}

static void
advance_clocks(struct engine *engine, int64_t now_ms, int64_t wall_ms, int64_t poll_timeout_ms)
{
    int64_t elapsed_ms = now_ms > engine->now_ms ? now_ms - engine->now_ms : 0;
    int64_t most_ms = poll_timeout_ms + SESSION_TIME_SLACK_MS;
    engine->now_ms = now_ms;
    engine->session_ms += elapsed_ms < most_ms ? elapsed_ms : most_ms;
    advance_wall(engine, elapsed_ms, wall_ms);
}

int64_t
engine_turn(struct engine *engine, int64_t now_ms, int64_t wall_ms, int64_t poll_timeout_ms,
            bool drained_empty)
{
    advance_clocks(engine, now_ms, wall_ms, poll_timeout_ms);
    if (engine->has_failed) {
        return 1000;
    }
    release_begin(engine);
    arena_clear(&engine->scratch);
    route_new_turn(engine);
    store_poll(engine->store);
    if (engine->has_failed) {
        return 1000;
    }
    watch_intake(engine);
    sweep_turn(engine, drained_empty);
    dispatch_want(engine);
    bool has_more = store_turn(engine->store, engine->wall_ms);
    has_more = urls_turn(engine) || has_more;
    dispatch_flush(engine);
    bool is_dirty = !list_is_empty(&engine->dirty);
    return has_more || is_dirty ? 0 : sweep_due(engine);
}

void
engine_commit(struct engine *engine)
{
    if (engine->has_failed || store_batch_is_empty(engine->store) ||
        store_is_committing(engine->store)) {
        return;
    }
    release_batch_handed(engine);
    store_commit(engine->store, engine->wall_ms);
}

bool
engine_is_full(const struct engine *engine)
{
    return store_batch_is_full(engine->store) && store_is_committing(engine->store);
}

void
engine_drain(struct engine *engine)
{
    engine->is_draining = true;
    struct list_link *link = list_first(&engine->consumers_list);
    for (; link != NULL; link = list_next(&engine->consumers_list, link)) {
        consumer_mark_dirty(engine, container_of(link, struct consumer, in_engine));
    }
    event_broker(engine, "stopping", "the broker was asked to stop");
}

bool
engine_is_drained(const struct engine *engine)
{
    return engine->is_draining && urls_is_empty(engine) && release_is_empty(engine) &&
           store_batch_is_empty(engine->store) && !store_is_committing(engine->store);
}

const char *
engine_unhealthy(const struct engine *engine)
{
    if (engine->has_failed) {
        return engine->failure;
    }
    struct store_stats stats = {0};
    store_stats(engine->store, &stats);
    if (stats.damaged_count > 0) {
        return "records of the store are damaged: run store check";
    }
    return store_pressure(engine->store) == STORE_DISK ? "the disk is full" : NULL;
}
