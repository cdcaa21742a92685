// HELLO and BYE: how a process becomes a session, comes back, and leaves.
//
// One path for a new process, a lost connection and a restarted broker: the session belongs to the
// instance; the newest HELLO of an instance wins; `held` says what the process still works on.
// Leases it names go on, leases it does not name are requeued uncounted, what the store holds as
// suspect becomes a lease again (if this process was present when the broker stopped: one that was
// lost before has lost its leases for good), and the rest comes back as REVOKE. WELCOME leaves when
// bind and presence are durable; deliveries follow it.
#include "core/handle.h"

#include "base/log.h"
#include "core/consumer.h"
#include "core/events.h"
#include "core/lease.h"
#include "core/release.h"
#include "core/session.h"
#include "core/settle.h"
#include "core/wait.h"

static enum zkt_err
check_hello(const struct engine *engine, const struct hello *hello, struct problem *problem)
{
    if (hello->version != PROTOCOL_VERSION) {
        return problem_set(problem, ZKT_VERSION_UNSUPPORTED,
                           "v: protocol version %u is not spoken here, %d is", hello->version,
                           PROTOCOL_VERSION);
    }
    if (uid_is_none(&hello->instance)) {
        return problem_set(problem, ZKT_INVALID, "instance: must not be all zero");
    }
    enum zkt_err code = identity_check(hello->identity, hello->role != ROLE_WORKER, problem);
    if (code != ZKT_OK) {
        return code;
    }
    if (hello->role == ROLE_WORKER && hello->has_bind == hello->join) {
        return problem_set(problem, ZKT_INVALID, "bind: a worker gives either a bind or join");
    }
    if (hello->role != ROLE_WORKER && (hello->has_bind || hello->join || hello->held_count > 0)) {
        return problem_set(problem, ZKT_INVALID, "bind: only a worker has a bind, join or held");
    }
    if (hello->concurrency > LIMIT_CONCURRENCY) {
        return problem_set(problem, ZKT_INVALID, "concurrency: %u, at most %d", hello->concurrency,
                           LIMIT_CONCURRENCY);
    }
    if (session_of_instance(engine, &hello->instance) == NULL &&
        engine->sessions.len >= LIMIT_SESSIONS) {
        return problem_set(problem, ZKT_LIMIT, "%d sessions are connected already", LIMIT_SESSIONS);
    }
    return ZKT_OK;
}

// Whether a worker that comes back brings a bind that was replaced while it was away.
static bool
is_outdated(const struct engine *engine, const struct consumer *found, const struct hello *hello)
{
    if (found == NULL || hello->bind_generation == 0) {
        return false;
    }
    struct consumer_record record = {0};
    if (hello->bind_generation != found->generation) {
        return true;
    }
    return hello->has_bind && store_consumer(engine->store, found->number, &record) &&
           bind_replaces(record.bind, &hello->bind);
}

// Finds or registers the consumer that a worker serves.
static enum zkt_err
resolve_consumer(struct engine *engine, const struct hello *hello, struct consumer **consumer,
                 bool *is_retiring, struct problem *problem)
{
    struct consumer *found = consumer_of_identity(engine, hello->identity);
    *is_retiring = is_outdated(engine, found, hello);
    *consumer = found;
    if (hello->join && found == NULL) {
        return problem_set(problem, ZKT_NO_SUCH_CONSUMER,
                           "identity: nobody registered \"%.*s\" to join yet",
                           (int)hello->identity.len, (const char *)hello->identity.data);
    }
    if (hello->join || *is_retiring) {
        return ZKT_OK;
    }
    struct filter *filter = NULL;
    enum zkt_err code = filter_compile(&hello->bind.filters, &filter, problem);
    if (code != ZKT_OK) {
        return code;
    }
    if (found == NULL && map_len(engine->consumers_by_identity) >= LIMIT_CONSUMERS) {
        filter_destroy(&filter);
        return problem_set(problem, ZKT_LIMIT, "%d consumers are registered already",
                           LIMIT_CONSUMERS);
    }
    struct bind bind = hello->bind;
    bind.identity = hello->identity;
    *consumer = consumer_register(engine, &bind, &filter);
    return ZKT_OK;
}

static void
tell_replaced(struct engine *engine, struct session *session, struct span peer)
{
    if (session->peer.len == 0 || span_equal(session->peer, peer)) {
        return;
    }
    struct problem problem = {0};
    problem_set(&problem, ZKT_SESSION_REPLACED, "the same instance said HELLO elsewhere");
    session_error(engine, session, NULL, &problem);
}

// The session of this instance, fresh or renewed, attached to this peer.
static struct session *
take_session(struct engine *engine, struct span peer, const struct hello *hello,
             const struct consumer *consumer)
{
    struct session *other = session_of_peer(engine, peer);
    if (other != NULL && !uid_equal(&other->instance, &hello->instance)) {
        session_end(engine, &other, SESSION_LOST);
    }
    struct session *session = session_of_instance(engine, &hello->instance);
    if (session != NULL) {
        tell_replaced(engine, session, peer);
        if (session->consumer != consumer) {
            session_end(engine, &session, SESSION_MOVED);
        }
    }
    if (session == NULL) {
        session = session_new(engine, &hello->instance);
    } else {
        session_detach(engine, session);
        session_renew(engine, session);
    }
    session_describe(session, hello);
    int64_t wanted_ms = hello->expiry_ms > 0 ? hello->expiry_ms : engine->options.expiry_ms;
    int64_t least_ms = engine->options.interval_ms * 2;
    wanted_ms = wanted_ms < least_ms ? least_ms : wanted_ms;
    int64_t most_ms = engine->options.expiry_max_ms;
    session->expiry_ms = wanted_ms > most_ms && most_ms > 0 ? most_ms : wanted_ms;
    session_attach(engine, session, peer);
    return session;
}

static void
resume_held(struct engine *engine, struct session *session, const struct held *held,
            uint64_t *revoked, size_t *revoked_count)
{
    struct lease *lease = lease_of(engine, held->delivery);
    if (lease != NULL) {
        if (lease->session != session || !uid_equal(&lease->hold->uid, &held->uid)) {
            revoked[(*revoked_count)++] = held->delivery;
            return;
        }
        lease->is_named = true;
        lease->is_started |= held->started;
        list_remove(&lease->outgoing);
        return;
    }
    if (!session->may_resume) {
        revoked[(*revoked_count)++] = held->delivery;
        return;
    }
    struct request_open request = {
        .session = session->number,
        .consumer = session->consumer->number,
        .delivery = held->delivery,
        .is_started = held->started,
    };
    uint64_t number = request_open_new(engine, &request);
    session->resuming_count++;
    session->consumer->resuming_count++;
    store_resume(engine->store, session->consumer->number, &held->uid, held->delivery,
                 held->started, number, engine->wall_ms);
}

// Takes up what the worker says it holds; gives back what it does not name.
static void
resume_all(struct engine *engine, struct session *session, const struct hello *hello)
{
    struct list_link *link = list_first(&session->leases);
    for (; link != NULL; link = list_next(&session->leases, link)) {
        container_of(link, struct lease, in_session)->is_named = false;
    }
    size_t revoked_count = 0;
    uint64_t *revoked = arena_alloc(&engine->scratch, (hello->held_count + 1) * sizeof *revoked);
    for (size_t i = 0; i < hello->held_count; i++) {
        resume_held(engine, session, &hello->held[i], revoked, &revoked_count);
    }
    link = list_first(&session->leases);
    while (link != NULL) {
        struct lease *lease = container_of(link, struct lease, in_session);
        link = list_next(&session->leases, link);
        if (!lease->is_named) {
            settle_returned(engine, &lease, 0);
        }
    }
    session_refresh_free(engine, session);
    session_revoke(engine, session, revoked, revoked_count, "lease lost");
}

static void
welcome(struct engine *engine, struct session *session, uint64_t id)
{
    const struct engine_options *options = &engine->options;
    struct instance_record instance = {0};
    if (store_instance(engine->store, &session->instance, &instance)) {
        session->last_number = instance.last_number;
    } else {
        session->last_number = 0;
    }
    session->has_first_number = false;
    struct command command = {
        .verb = VERB_WELCOME,
        .id = id,
        .welcome = {.session = session->number,
                    .bind_generation = session->generation,
                    .interval_ms = options->interval_ms,
                    .expiry_ms = session->expiry_ms,
                    .time_ms = engine->wall_ms,
                    .last_number = session->last_number,
                    .submit_tasks_max = LIMIT_SUBMIT_TASKS,
                    .submit_bytes_max = LIMIT_SUBMIT_BYTES,
                    .task_bytes_max = LIMIT_TASK_BYTES,
                    .events_address = options->events_address,
                    .http_address = options->http_address,
                    .object_kind = options->object_kind,
                    .retiring = session->is_retiring},
    };
    release_answer(engine, session, &command);
}

void
handle_hello(struct engine *engine, struct span peer, const struct command *command)
{
    const struct hello *hello = &command->hello;
    struct problem problem = {0};
    struct consumer *consumer = NULL;
    bool is_retiring = false;
    if (check_hello(engine, hello, &problem) != ZKT_OK ||
        (hello->role == ROLE_WORKER &&
         resolve_consumer(engine, hello, &consumer, &is_retiring, &problem) != ZKT_OK)) {
        peer_error(engine, peer, command, &problem);
        return;
    }
    struct session *session = take_session(engine, peer, hello, consumer);
    bool is_back = session->consumer != NULL;
    if (consumer != NULL && !is_back) {
        session_join(engine, session, consumer);
    }
    session->is_retiring = is_retiring;
    if (consumer != NULL) {
        struct instance_record instance = {0};
        session->generation = is_retiring ? hello->bind_generation : consumer->generation;
        session->may_resume = store_instance(engine->store, &session->instance, &instance) &&
                              instance.consumer == consumer->number;
        store_put_instance(engine->store, &session->instance, consumer->number, engine->wall_ms);
        resume_all(engine, session, hello);
    }
    welcome(engine, session, command->id);
    if (consumer != NULL && !is_back) {
        event_worker(engine, session, "joined");
        log_info("WORKER-JOINED", "identity=%.*s session=%llu held=%zu", (int)session->identity.len,
                 (const char *)session->identity.data, (unsigned long long)session->number,
                 hello->held_count);
    }
    if (consumer != NULL) {
        consumer_check_grace(engine, consumer);
    }
}

void
handle_resumed(struct engine *engine, uint64_t number, struct hold *hold)
{
    struct request_open request;
    if (!request_open_take(engine, number, &request)) {
        return;
    }
    struct consumer *consumer = consumer_of(engine, request.consumer);
    if (consumer != NULL) {
        consumer->resuming_count--;
    }
    struct session *session = number_map_get(&engine->sessions, request.session);
    if (session == NULL) {
        if (hold != NULL) {
            store_return(engine->store, hold, false, 0, engine->wall_ms);
        }
    } else {
        session->resuming_count--;
        if (hold == NULL) {
            session_refresh_free(engine, session);
            session_revoke(engine, session, &request.delivery, 1, "lease lost");
        } else {
            struct lease *lease = lease_new(engine, session, hold, false);
            lease->is_started = request.is_started;
            lease->started_ms = engine->wall_ms;
        }
    }
    if (consumer != NULL) {
        consumer_check_grace(engine, consumer);
    }
}

// BYE is answered at once: it promises nothing that could be lost. What the worker held is queued
// again, and after a crash of the broker it would be as well.
void
handle_bye(struct engine *engine, struct session *session, const struct command *command)
{
    struct command answer = {.verb = VERB_BYE, .id = command->id};
    (void)session_send(engine, session, &answer);
    log_info("PEER-LEFT", "identity=%.*s session=%llu", (int)session->identity.len,
             (const char *)session->identity.data, (unsigned long long)session->number);
    session_end(engine, &session, SESSION_LEFT);
}
