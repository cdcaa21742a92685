#include "core/events.h"

#include <string.h>

#include "core/release.h"

int64_t
event_seq(struct engine *engine, enum event_family family)
{
    return (int64_t)++engine->event_seqs[family];
}

static bool
is_wanted(const struct engine *engine, const char *topic)
{
    const struct effects *effects = &engine->options.effects;
    return effects->is_wanted(effects->arg, topic);
}

static void
put_span(struct arena *arena, struct value *map, const char *key, struct span text)
{
    value_put(arena, map, key, value_string(arena, text.data, text.len));
}

static void
put_uid(struct arena *arena, struct value *map, const char *key, const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    value_put(arena, map, key, value_text(arena, text));
}

static struct value
body_new(struct engine *engine, struct arena *arena, enum event_family family)
{
    struct value body = value_map();
    value_put(arena, &body, "seq", value_int(event_seq(engine, family)));
    value_put(arena, &body, "time_ms", value_int(engine->wall_ms));
    return body;
}

void
event_worker(struct engine *engine, const struct session *session, const char *what)
{
    struct arena *arena = release_arena(engine);
    const char *topic = arena_printf(arena, "worker.%.*s.%s", (int)session->identity.len,
                                     (const char *)session->identity.data, what);
    if (!is_wanted(engine, topic)) {
        return;
    }
    struct value body = body_new(engine, arena, FAMILY_WORKER);
    put_span(arena, &body, "identity", session->identity);
    put_span(arena, &body, "host", session->host);
    value_put(arena, &body, "pid", value_int(session->pid));
    put_span(arena, &body, "language", session->language);
    value_put(arena, &body, "session", value_int((int64_t)session->number));
    release_event(engine, topic, &body);
}

void
event_consumer(struct engine *engine, const struct consumer *consumer, const char *what)
{
    struct arena *arena = release_arena(engine);
    const char *topic = arena_printf(arena, "consumer.%.*s.%s", (int)consumer->identity.len,
                                     (const char *)consumer->identity.data, what);
    if (!is_wanted(engine, topic)) {
        return;
    }
    struct value body = body_new(engine, arena, FAMILY_CONSUMER);
    put_span(arena, &body, "identity", consumer->identity);
    value_put(arena, &body, "persistent", value_bool(consumer->is_persistent));
    value_put(arena, &body, "generation", value_uint(arena, consumer->generation));
    release_event(engine, topic, &body);
}

void
event_crashed(struct engine *engine, const struct consumer *consumer, const struct uid *uid,
              const struct uid *root)
{
    char root_text[UID_TEXT_SIZE];
    uid_format(root, root_text);
    struct arena *arena = release_arena(engine);
    const char *topic = arena_printf(arena, "analysis.%s.crashed", root_text);
    if (!is_wanted(engine, topic)) {
        return;
    }
    struct value body = body_new(engine, arena, FAMILY_ANALYSIS);
    put_uid(arena, &body, "root", root);
    put_uid(arena, &body, "uid", uid);
    put_span(arena, &body, "identity", consumer->identity);
    release_event(engine, topic, &body);
}

void
event_analysis_done(struct engine *engine, const struct uid *root,
                    const struct analysis_counts *counts)
{
    // Once a task, in a small pipeline: without a formatter.
    static const char head[] = "analysis.";
    static const char tail[] = ".finished";
    char topic[sizeof head + UID_TEXT_SIZE + sizeof tail];
    memcpy(topic, head, sizeof head);
    uid_format(root, topic + sizeof head - 1);
    memcpy(topic + sizeof head - 1 + UID_TEXT_SIZE - 1, tail, sizeof tail);
    if (!is_wanted(engine, topic)) {
        return;
    }
    struct arena *arena = &engine->scratch;
    struct value body = body_new(engine, arena, FAMILY_ANALYSIS);
    put_uid(arena, &body, "root", root);
    value_put(arena, &body, "finished", value_uint(arena, counts->finished_count));
    value_put(arena, &body, "crashed", value_uint(arena, counts->crashed_count));
    struct effects *effects = &engine->options.effects;
    effects->publish(effects->arg, topic, &body);
}

void
event_broker(struct engine *engine, const char *what, const char *reason)
{
    struct arena *arena = release_arena(engine);
    const char *topic = arena_printf(arena, "broker.%s", what);
    if (!is_wanted(engine, topic)) {
        return;
    }
    struct value body = body_new(engine, arena, FAMILY_BROKER);
    value_put(arena, &body, "reason", value_text(arena, reason));
    release_event(engine, topic, &body);
}
