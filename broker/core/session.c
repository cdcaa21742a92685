// Path of a task, step 3 of 10: who, allowed?. From common/wire/command.c, to handle_submit.c.
//
// A session belongs to an instance (a process), not to a connection: a detached session keeps its
// leases until the process says HELLO again or its expiry has passed. Silence is measured in
// session time, which stands still while the broker does (engine.c).
#include "core/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/consumer.h"
#include "core/events.h"
#include "core/release.h"
#include "core/settle.h"
#include "core/wait.h"

struct session *
session_of_peer(const struct engine *engine, struct span peer)
{
    return map_get(engine->sessions_by_peer, peer.data, peer.len);
}

struct session *
session_of_instance(const struct engine *engine, const struct uid *instance)
{
    return map_get(engine->sessions_by_instance, instance->bytes, sizeof instance->bytes);
}

static struct span
span_copy(struct span span)
{
    return span_of(xmemdup(span.len > 0 ? span.data : (const uint8_t *)"", span.len), span.len);
}

static void
span_free(struct span *span)
{
    free((void *)(uintptr_t)span->data);
    *span = (struct span){0};
}

struct session *
session_new(struct engine *engine, const struct uid *instance)
{
    struct session *session = xcalloc(1, sizeof *session);
    session->number = ++engine->next_session;
    session->entered = session->number;
    session->instance = *instance;
    list_init(&session->leases);
    list_init(&session->outgoing);
    list_init(&session->waits);
    number_map_put(&engine->sessions, session->number, session);
    (void)map_put(engine->sessions_by_instance, instance->bytes, sizeof instance->bytes, session);
    list_append(&engine->sessions_list, &session->in_engine);
    return session;
}

void
session_renew(struct engine *engine, struct session *session)
{
    wait_drop_all(engine, session);
    (void)number_map_remove(&engine->sessions, session->number);
    session->number = ++engine->next_session;
    number_map_put(&engine->sessions, session->number, session);
    session->submits_open = 0;
    session->requests_count = 0;
    session->resuming_count = 0;
    session->is_welcomed = false;
    session->window = 0;
    session_refresh_free(engine, session);
}

enum zkt_err
session_may_ask(const struct session *session, struct problem *problem)
{
    if (session->requests_count >= SESSION_REQUESTS_MAX) {
        return problem_set(problem, ZKT_LIMIT, "%d questions wait for their answers already",
                           SESSION_REQUESTS_MAX);
    }
    return ZKT_OK;
}

void
session_describe(struct session *session, const struct hello *hello)
{
    span_free(&session->identity);
    span_free(&session->host);
    span_free(&session->language);
    session->identity = span_copy(hello->identity);
    session->host = span_copy(hello->host);
    session->language = span_copy(hello->language);
    session->pid = hello->pid;
    session->role = hello->role;
    session->is_transactional = hello->transactional;
    session->concurrency = hello->concurrency > 0 ? hello->concurrency : 1;
}

void
session_attach(struct engine *engine, struct session *session, struct span peer)
{
    zkt_assert(session->peer.len == 0);
    zkt_assert(session_of_peer(engine, peer) == NULL);
    session->peer = span_copy(peer);
    (void)map_put(engine->sessions_by_peer, peer.data, peer.len, session);
    session->sent_ms = engine->session_ms;
    session_heard(engine, session);
    heap_update(&engine->expiries, &session->expiry, session->heard_ms + session->expiry_ms);
    heap_update(&engine->beats, &session->beat, session->sent_ms + engine->options.interval_ms);
}

void
session_detach(struct engine *engine, struct session *session)
{
    if (session->peer.len == 0) {
        return;
    }
    struct effects *effects = &engine->options.effects;
    (void)map_remove(engine->sessions_by_peer, session->peer.data, session->peer.len);
    effects->forget_peer(effects->arg, session->peer);
    span_free(&session->peer);
    heap_remove(&engine->beats, &session->beat);
    session_refresh_free(engine, session);
}

void
session_join(struct engine *engine, struct session *session, struct consumer *consumer)
{
    zkt_assert(session->consumer == NULL);
    session->consumer = consumer;
    session->generation = consumer->generation;
    list_append(&consumer->sessions, &session->in_consumer);
    consumer->sessions_count++;
    consumer_mark_dirty(engine, consumer);
}

void
session_leave(struct engine *engine, struct session *session)
{
    struct consumer *consumer = session->consumer;
    if (consumer == NULL) {
        return;
    }
    session->is_welcomed = false;
    session_refresh_free(engine, session);
    session->consumer = NULL;
    list_remove(&session->in_consumer);
    list_remove(&session->flush);
    consumer->sessions_count--;
    consumer_mark_dirty(engine, consumer);
}

// The heaps keep the key of the last look: the sweep looks again before it believes it.
void
session_heard(struct engine *engine, struct session *session)
{
    session->heard_ms = engine->session_ms;
}

static uint32_t
free_of(const struct session *session)
{
    if (!session->is_welcomed || session->is_retiring || session->peer.len == 0) {
        return 0;
    }
    uint32_t busy_count = session->leases_count + session->resuming_count;
    return session->window > busy_count ? session->window - busy_count : 0;
}

void
session_refresh_free(struct engine *engine, struct session *session)
{
    struct consumer *consumer = session->consumer;
    if (consumer == NULL) {
        return;
    }
    uint32_t free_count = free_of(session);
    if (free_count == session->free_count) {
        return;
    }
    consumer->free_count += free_count;
    consumer->free_count -= session->free_count;
    session->free_count = free_count;
    if (free_count == 0) {
        list_remove(&session->ready);
    } else if (!list_is_linked(&session->ready)) {
        list_append(&consumer->ready, &session->ready);
    }
    consumer_mark_dirty(engine, consumer);
}

bool
session_send(struct engine *engine, struct session *session, const struct command *command)
{
    struct effects *effects = &engine->options.effects;
    if (session->peer.len == 0 || engine->has_failed) {
        return false;
    }
    session->sent_ms = engine->session_ms;
    if (effects->send(effects->arg, session->peer, command)) {
        return true;
    }
    log_info("PEER-GONE", "identity=%.*s session=%llu", (int)session->identity.len,
             (const char *)session->identity.data, (unsigned long long)session->number);
    session_detach(engine, session);
    return false;
}

static struct command
error_command(const struct command *at_fault, const struct problem *problem)
{
    return (struct command){
        .verb = VERB_ERROR,
        .id = at_fault != NULL ? at_fault->id : 0,
        .error = {.code = problem->code,
                  .message = span_of_text(problem->text),
                  .verb = at_fault != NULL ? (uint32_t)at_fault->verb : 0},
    };
}

void
session_error(struct engine *engine, struct session *session, const struct command *at_fault,
              const struct problem *problem)
{
    struct command command = error_command(at_fault, problem);
    (void)session_send(engine, session, &command);
}

void
peer_error(struct engine *engine, struct span peer, const struct command *at_fault,
           const struct problem *problem)
{
    struct session *session = session_of_peer(engine, peer);
    if (session != NULL) {
        session_error(engine, session, at_fault, problem);
        return;
    }
    struct command command = error_command(at_fault, problem);
    struct effects *effects = &engine->options.effects;
    if (!engine->has_failed && !effects->send(effects->arg, peer, &command)) {
        effects->forget_peer(effects->arg, peer);
    }
}

void
session_revoke(struct engine *engine, struct session *session, const uint64_t *deliveries,
               size_t deliveries_count, const char *reason)
{
    if (deliveries_count == 0) {
        return;
    }
    struct arena *arena = release_arena(engine);
    uint64_t *copy = arena_alloc(arena, deliveries_count * sizeof *copy);
    memcpy(copy, deliveries, deliveries_count * sizeof *copy);
    struct command command = {
        .verb = VERB_REVOKE,
        .revoke = {.deliveries = copy,
                   .deliveries_count = deliveries_count,
                   .reason = span_of_text(arena_copy(arena, reason, strlen(reason)))},
    };
    release_answer(engine, session, &command);
}

static void
session_free(struct session *session)
{
    span_free(&session->peer);
    span_free(&session->identity);
    span_free(&session->host);
    span_free(&session->language);
    free(session);
}

static void
forget_instance(struct engine *engine, struct session *session, enum session_end how)
{
    if (how == SESSION_LEFT && session->submits_open == 0) {
        store_drop_instance(engine->store, &session->instance);
    } else if (session->role == ROLE_WORKER) {
        // Its presence ends; its numbers stay, for it may come back.
        store_put_instance(engine->store, &session->instance, 0, engine->wall_ms);
    }
}

void
session_end(struct engine *engine, struct session **session_p, enum session_end how)
{
    struct session *session = *session_p;
    struct consumer *consumer = session->consumer;
    *session_p = NULL;
    session_detach(engine, session);
    settle_session_leases(engine, session, how == SESSION_LOST);
    forget_instance(engine, session, how);
    wait_drop_all(engine, session);
    if (consumer != NULL) {
        event_worker(engine, session, how == SESSION_LOST ? "lost" : "left");
    }
    session_leave(engine, session);
    heap_remove(&engine->expiries, &session->expiry);
    (void)number_map_remove(&engine->sessions, session->number);
    (void)map_remove(engine->sessions_by_instance, session->instance.bytes,
                     sizeof session->instance.bytes);
    list_remove(&session->in_engine);
    engine->sessions_lost_count += how == SESSION_LOST;
    session_free(session);
    if (consumer != NULL) {
        consumer_check_absence(engine, consumer);
    }
}

void
session_destroy_all(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->sessions_list)) != NULL) {
        struct session *session = container_of(link, struct session, in_engine);
        wait_drop_all(engine, session);
        list_remove(link);
        session_free(session);
    }
}
