// Path of a task, step 5 of 10: match. From handle_submit.c, to store/local/queue.c.
//
// The index proposes consumers by the equality terms of their filters; each is asked. A bind that
// cannot be evaluated on these headers does not match, is counted, and shows as unhealthy (F8). One
// whose regexes ran into their limits too often in a turn has them switched off until the next
// turn, so that it stalls nobody (F10).
#include "core/route.h"

#include "base/log.h"
#include "core/consumer.h"
#include "core/events.h"

static void
note_outcome(struct engine *engine, struct consumer *consumer, const struct filter_outcome *outcome)
{
    if (outcome->errors_count == 0 && outcome->limits_count == 0) {
        return;
    }
    consumer->errors_count += outcome->errors_count;
    consumer->limits_count += outcome->limits_count;
    consumer->limits_in_turn += outcome->limits_count;
    if (outcome->limits_count > 0 && !list_is_linked(&consumer->limited)) {
        list_append(&engine->limited, &consumer->limited);
    }
    if (!consumer->is_unhealthy) {
        consumer->is_unhealthy = true;
        log_warn("BIND-UNHEALTHY", "identity=%.*s errors=%u limits=%u", (int)consumer->identity.len,
                 (const char *)consumer->identity.data, outcome->errors_count,
                 outcome->limits_count);
        event_consumer(engine, consumer, "unhealthy");
    }
}

bool
route_still_matches(struct engine *engine, struct consumer *consumer, const struct value *headers)
{
    if (consumer->filter == NULL) {
        return false;
    }
    struct filter_outcome outcome = {.are_regexes_off =
                                         consumer->limits_in_turn >= LIMIT_REGEX_HITS_PER_TURN};
    bool is_match = filter_match(consumer->filter, headers, &outcome);
    note_outcome(engine, consumer, &outcome);
    return is_match;
}

size_t
route_match(struct engine *engine, const struct value *headers, const uint32_t **consumers)
{
    size_t candidates_count = filter_index_candidates(engine->index, headers, &engine->matches,
                                                      &engine->matches_capacity);
    size_t matches_count = 0;
    for (size_t i = 0; i < candidates_count; i++) {
        struct consumer *consumer = consumer_of(engine, engine->matches[i]);
        if (consumer != NULL && route_still_matches(engine, consumer, headers)) {
            engine->matches[matches_count++] = consumer->number;
        }
    }
    *consumers = engine->matches;
    return matches_count;
}

void
route_new_turn(struct engine *engine)
{
    struct list_link *link = NULL;
    while ((link = list_first(&engine->limited)) != NULL) {
        struct consumer *consumer = container_of(link, struct consumer, limited);
        consumer->limits_in_turn = 0;
        list_remove(link);
    }
}
