// LOG: records of peers (S13, parity "log record"), checked, limited and published. Fire and
// forget: what is wrong or too much is dropped and counted, and leaves a gap in `seq`.
#include "core/handle.h"

#include "core/release.h"

enum { LEVEL_BYTES_MAX = 32 };

// log.<level>.<identity>; the identity is the session's, so that no peer speaks for another.
static const char *
topic_of(struct arena *arena, const struct session *session, const struct value *level)
{
    char name[LEVEL_BYTES_MAX + 1];
    if (level == NULL || level->type != VALUE_STRING || level->len == 0 ||
        level->len > LEVEL_BYTES_MAX) {
        return NULL;
    }
    for (uint32_t i = 0; i < level->len; i++) {
        char byte = level->text[i];
        bool is_upper = byte >= 'A' && byte <= 'Z';
        bool is_word = is_upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
        if (!is_word && byte != '_') {
            return NULL;
        }
        name[i] = is_upper ? (char)(byte - 'A' + 'a') : byte;
    }
    name[level->len] = '\0';
    return arena_printf(arena, "log.%s.%.*s", name, (int)session->identity.len,
                        (const char *)session->identity.data);
}

static bool
is_over_rate(struct engine *engine, struct session *session)
{
    int64_t second = engine->session_ms / 1000;
    if (session->log_second != second) {
        session->log_second = second;
        session->log_count = 0;
    }
    return ++session->log_count > LIMIT_LOG_RATE;
}

static bool
publish(struct engine *engine, struct session *session, const struct value *record)
{
    struct effects *effects = &engine->options.effects;
    struct arena *arena = &engine->scratch;
    if (record->type != VALUE_MAP || is_over_rate(engine, session)) {
        return false;
    }
    const char *topic = topic_of(arena, session, value_get(record, "levelname"));
    if (topic == NULL) {
        return false;
    }
    engine->log_seq++;
    engine->log_records_count++;
    if (!effects->is_wanted(effects->arg, topic)) {
        return true;
    }
    struct value body = value_map();
    for (uint32_t i = 0; i < record->len; i++) {
        value_put_key(arena, &body, record->members[i].key, record->members[i].value);
    }
    value_put(arena, &body, "seq", value_uint(arena, engine->log_seq));
    effects->publish(effects->arg, topic, &body);
    return true;
}

void
handle_log(struct engine *engine, struct session *session, const struct command *command)
{
    const struct value *records = &command->log_records;
    for (uint32_t i = 0; records->type == VALUE_LIST && i < records->len; i++) {
        if (!publish(engine, session, &records->items[i])) {
            engine->log_seq++;
            engine->log_dropped_count++;
        }
    }
}
