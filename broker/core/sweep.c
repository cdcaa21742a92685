// Time. Everything here runs on session time, which advances by no more than one turn may take: a
// broker that was stopped for an hour expires nobody when it goes on. The heaps hold the earliest
// moment at which a session can be due; receiving or sending does not touch them, so that a message
// costs no heap operation, and the look at the moment itself decides.
#include "core/sweep.h"

#include "base/log.h"
#include "core/consumer.h"
#include "core/release.h"
#include "core/session.h"

enum { SWEEP_DUE_MAX_MS = 1000 };

static void
sweep_beats(struct engine *engine)
{
    struct heap_node *node = NULL;
    while ((node = heap_first(&engine->beats)) != NULL && node->key <= engine->session_ms) {
        struct session *session = container_of(node, struct session, beat);
        int64_t due_ms = session->sent_ms + engine->options.interval_ms;
        if (due_ms > engine->session_ms) {
            heap_update(&engine->beats, node, due_ms);
            continue;
        }
        heap_update(&engine->beats, node, engine->session_ms + engine->options.interval_ms);
        struct command command = {.verb = VERB_HEARTBEAT};
        (void)session_send(engine, session, &command);
    }
}

static void
sweep_expiries(struct engine *engine)
{
    struct heap_node *node = NULL;
    while ((node = heap_first(&engine->expiries)) != NULL && node->key <= engine->session_ms) {
        struct session *session = container_of(node, struct session, expiry);
        int64_t due_ms = session->heard_ms + session->expiry_ms;
        if (due_ms > engine->session_ms) {
            heap_update(&engine->expiries, node, due_ms);
            continue;
        }
        if (session->consumer != NULL) {
            log_warn("WORKER-LOST", "identity=%.*s session=%llu leases=%u",
                     (int)session->identity.len, (const char *)session->identity.data,
                     (unsigned long long)session->number, session->leases_count);
        }
        session_end(engine, &session, SESSION_LOST);
    }
}

// The grace after a start is over: what nobody resumed is queued again, and temporary consumers
// that nobody serves go.
static void
end_grace(struct engine *engine)
{
    engine->is_in_grace = false;
    store_end_grace(engine->store, 0, engine->wall_ms);
    struct list_link *link = list_first(&engine->consumers_list);
    while (link != NULL) {
        struct consumer *consumer = container_of(link, struct consumer, in_engine);
        link = list_next(&engine->consumers_list, link);
        consumer_check_absence(engine, consumer);
    }
}

void
sweep_turn(struct engine *engine, bool may_expire)
{
    sweep_beats(engine);
    if (may_expire) {
        sweep_expiries(engine);
    }
    if (engine->is_in_grace && may_expire && engine->session_ms >= engine->grace_until_ms) {
        end_grace(engine);
    }
}

static int64_t
earlier(int64_t due_ms, const struct heap *heap, int64_t session_ms)
{
    const struct heap_node *node = heap_first(heap);
    if (node == NULL || node->key - session_ms >= due_ms) {
        return due_ms;
    }
    return node->key > session_ms ? node->key - session_ms : 0;
}

int64_t
sweep_due(const struct engine *engine)
{
    int64_t due_ms = SWEEP_DUE_MAX_MS;
    due_ms = earlier(due_ms, &engine->beats, engine->session_ms);
    due_ms = earlier(due_ms, &engine->expiries, engine->session_ms);
    if (engine->is_in_grace && engine->grace_until_ms - engine->session_ms < due_ms) {
        due_ms = engine->grace_until_ms - engine->session_ms;
        due_ms = due_ms > 0 ? due_ms : 0;
    }
    return due_ms;
}
