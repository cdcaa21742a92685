// Two queues, one for each batch that the store may have: the open one and the one being
// committed. An answer goes to the queue of the latest batch that is not durable yet, for what it
// tells may rest on any change before it. The arena of an answer is always the open queue's: it
// outlives the committing one.
#include "core/release.h"

#include "base/assert.h"
#include "core/session.h"

struct release_entry {
    struct release_entry *next;
    uint64_t session; // number; 0: an event
    const char *topic;
    struct value body;
    struct command command;
};

static bool
is_all_durable(const struct engine *engine)
{
    return store_batch_is_empty(engine->store) && !store_is_committing(engine->store) &&
           engine->open.first == NULL && engine->committing.first == NULL;
}

struct arena *
release_arena(struct engine *engine)
{
    return &engine->open.arena;
}

static struct release_queue *
latest(struct engine *engine)
{
    bool is_open = !store_batch_is_empty(engine->store) || engine->open.first != NULL;
    return is_open ? &engine->open : &engine->committing;
}

static struct release_entry *
entry_new(struct engine *engine)
{
    struct release_queue *queue = latest(engine);
    struct release_entry *entry = arena_alloc(release_arena(engine), sizeof *entry);
    entry->next = NULL;
    if (queue->first == NULL) {
        queue->last_p = &queue->first;
    }
    *queue->last_p = entry;
    queue->last_p = &entry->next;
    return entry;
}

void
release_begin(struct engine *engine)
{
    if (is_all_durable(engine)) {
        arena_clear(&engine->open.arena);
    }
}

static void
answer_now(struct engine *engine, struct session *session, const struct command *command)
{
    if (command->verb == VERB_SUBMITTED) {
        zkt_assert(session->submits_open > 0);
        session->submits_open--;
    }
    if (command->verb == VERB_WELCOME) {
        session->is_welcomed = true;
        session_refresh_free(engine, session);
    }
    session_send(engine, session, command);
}

void
release_answer(struct engine *engine, struct session *session, const struct command *command)
{
    if (is_all_durable(engine)) {
        answer_now(engine, session, command);
        return;
    }
    struct release_entry *entry = entry_new(engine);
    entry->session = session->number;
    entry->command = *command;
}

void
release_event(struct engine *engine, const char *topic, const struct value *body)
{
    if (is_all_durable(engine)) {
        engine->options.effects.publish(engine->options.effects.arg, topic, body);
        return;
    }
    struct release_entry *entry = entry_new(engine);
    entry->session = 0;
    entry->topic = topic;
    entry->body = *body;
}

void
release_batch_handed(struct engine *engine)
{
    zkt_assert(engine->committing.first == NULL);
    struct release_queue handed = engine->open;
    engine->open = engine->committing;
    engine->committing = handed;
    arena_clear(&engine->open.arena);
}

void
release_batch_durable(struct engine *engine)
{
    struct release_entry *entry = engine->committing.first;
    engine->committing.first = NULL;
    while (entry != NULL) {
        struct release_entry *next = entry->next;
        if (entry->session == 0) {
            engine->options.effects.publish(engine->options.effects.arg, entry->topic,
                                            &entry->body);
        } else {
            struct session *session = number_map_get(&engine->sessions, entry->session);
            if (session != NULL) {
                answer_now(engine, session, &entry->command);
            }
        }
        entry = next;
    }
}

bool
release_is_empty(const struct engine *engine)
{
    return engine->open.first == NULL && engine->committing.first == NULL;
}
