// Leases come from a pool in chunks and go back to it: a delivery costs no allocation.
#include "core/lease.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "core/session.h"

enum { CHUNK_LEASES = 256 };

struct lease_chunk {
    struct lease_chunk *next;
    struct lease leases[CHUNK_LEASES];
};

static void
grow(struct engine *engine)
{
    struct lease_chunk *chunk = xcalloc(1, sizeof *chunk);
    chunk->next = engine->lease_chunks;
    engine->lease_chunks = chunk;
    for (size_t i = 0; i < CHUNK_LEASES; i++) {
        list_append(&engine->leases_free, &chunk->leases[i].in_session);
    }
}

struct lease *
lease_new(struct engine *engine, struct session *session, struct hold *hold, bool is_outgoing)
{
    if (list_is_empty(&engine->leases_free)) {
        grow(engine);
    }
    struct list_link *link = list_first(&engine->leases_free);
    struct lease *lease = container_of(link, struct lease, in_session);
    list_remove(link);
    *lease = (struct lease){.hold = hold, .session = session};
    hold->user = lease;
    list_append(&session->leases, &lease->in_session);
    if (is_outgoing) {
        list_append(&session->outgoing, &lease->outgoing);
        if (!list_is_linked(&session->flush)) {
            list_append(&engine->flush, &session->flush);
        }
    }
    session->leases_count++;
    number_map_put(&engine->leases, hold->delivery, lease);
    session_refresh_free(engine, session);
    return lease;
}

struct hold *
lease_end(struct engine *engine, struct lease **lease_p)
{
    struct lease *lease = *lease_p;
    struct hold *hold = lease->hold;
    struct session *session = lease->session;
    *lease_p = NULL;
    zkt_assert(hold->user == lease);
    (void)number_map_remove(&engine->leases, hold->delivery);
    list_remove(&lease->in_session);
    list_remove(&lease->outgoing);
    zkt_assert(session->leases_count > 0);
    session->leases_count--;
    hold->user = NULL;
    lease->hold = NULL;
    list_prepend(&engine->leases_free, &lease->in_session);
    if (engine->pass_session == session->number) {
        engine->pass_session = 0;
    }
    session_refresh_free(engine, session);
    return hold;
}

struct lease *
lease_of(const struct engine *engine, uint64_t delivery)
{
    return number_map_get(&engine->leases, delivery);
}

struct lease *
lease_of_session(const struct engine *engine, const struct session *session, uint64_t delivery)
{
    struct lease *lease = lease_of(engine, delivery);
    return lease != NULL && lease->session == session ? lease : NULL;
}

void
lease_destroy_all(struct engine *engine)
{
    struct lease_chunk *chunk = engine->lease_chunks;
    engine->lease_chunks = NULL;
    while (chunk != NULL) {
        struct lease_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}
