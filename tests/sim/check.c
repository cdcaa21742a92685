// What must hold inside the engine between any two steps (I14, I17).
#include <inttypes.h>

#include "core/state.h"
#include "sim/world.h"

enum { CHECK_EVERY = 4 };

static uint32_t
expected_free(const struct session *session)
{
    uint32_t busy_count = session->leases_count + session->resuming_count;
    if (!session->is_welcomed || session->is_retiring || session->peer.len == 0 ||
        session->window < busy_count) {
        return 0;
    }
    return session->window - busy_count;
}

static void
check_session(struct world *world, const struct engine *engine, const struct session *session,
              size_t *leases_count)
{
    size_t count = 0;
    struct list_link *link = list_first(&session->leases);
    for (; link != NULL; link = list_next(&session->leases, link)) {
        const struct lease *lease = container_of(link, struct lease, in_session);
        count++;
        if (lease->session != session || lease->hold == NULL || lease->hold->user != lease ||
            number_map_get(&engine->leases, lease->hold->delivery) != lease) {
            world_violated(world, 14, "a lease of %.*s is not what its hold says",
                           (int)session->identity.len, (const char *)session->identity.data);
            return;
        }
        if (session->consumer == NULL || lease->hold->consumer != session->consumer->number) {
            world_violated(world, 14, "a lease is of another consumer than its session");
        }
    }
    if (count != session->leases_count) {
        world_violated(world, 14, "a session counts %u leases, it has %zu", session->leases_count,
                       count);
    }
    if (session->consumer != NULL && session->free_count != expected_free(session)) {
        world_violated(world, 14, "a session counts %u free, it has %u", session->free_count,
                       expected_free(session));
    }
    if ((session->free_count > 0) != list_is_linked(&session->ready)) {
        world_violated(world, 14, "a session with %u free is%s ready", session->free_count,
                       list_is_linked(&session->ready) ? "" : " not");
    }
    *leases_count += count;
}

static void
check_consumer(struct world *world, const struct engine *engine, const struct consumer *consumer)
{
    uint64_t free_count = 0;
    size_t sessions_count = 0;
    uint64_t leases_count = 0;
    struct list_link *link = list_first(&consumer->sessions);
    for (; link != NULL; link = list_next(&consumer->sessions, link)) {
        const struct session *session = container_of(link, struct session, in_consumer);
        free_count += session->free_count;
        leases_count += session->leases_count;
        sessions_count++;
        if (session->generation != consumer->generation && !session->is_retiring) {
            world_violated(world, 17, "a session of an old bind is not retiring");
        }
    }
    if (free_count != consumer->free_count || sessions_count != consumer->sessions_count) {
        world_violated(world, 14,
                       "a consumer counts %" PRIu64 " free and %zu sessions, it has "
                       "%" PRIu64 " and %zu",
                       consumer->free_count, consumer->sessions_count, free_count, sessions_count);
    }
    struct consumer_record record;
    if (!store_consumer(engine->store, consumer->number, &record)) {
        world_violated(world, 14, "the store does not know a consumer of the engine");
        return;
    }
    if (record.held_count != leases_count && !consumer->is_dropping) {
        world_violated(world, 14,
                       "the store counts %" PRIu64 " held tasks, there are %" PRIu64 " leases",
                       record.held_count, leases_count);
    }
    if (record.generation != consumer->generation) {
        world_violated(world, 17, "engine and store know another generation");
    }
}

void
world_check_engine(struct world *world)
{
    const struct engine *engine = world->engine;
    if (world->events_count % CHECK_EVERY != 0) {
        return;
    }
    size_t leases_count = 0;
    struct list_link *link = list_first(&engine->sessions_list);
    for (; link != NULL; link = list_next(&engine->sessions_list, link)) {
        check_session(world, engine, container_of(link, struct session, in_engine), &leases_count);
    }
    if (leases_count != engine->leases.len) {
        world_violated(world, 14, "%zu leases are known, sessions have %zu", engine->leases.len,
                       leases_count);
    }
    link = list_first(&engine->consumers_list);
    for (; link != NULL; link = list_next(&engine->consumers_list, link)) {
        check_consumer(world, engine, container_of(link, struct consumer, in_engine));
    }
}
