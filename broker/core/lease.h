// lease.h: the leases of this broker, found by delivery, without an allocation per task.
#pragma once
#include "core/state.h"

// lease_new gives a hold to a session; outgoing: it has yet to be sent.
struct lease *
lease_new(struct engine *engine, struct session *session, struct hold *hold, bool is_outgoing);
// lease_end forgets it; the hold is the caller's again.
struct hold *
lease_end(struct engine *engine, struct lease **lease_p);
struct lease *
lease_of(const struct engine *engine, uint64_t delivery); // NULL: none
// lease_of_session returns a lease of this delivery and session, else NULL.
struct lease *
lease_of_session(const struct engine *engine, const struct session *session, uint64_t delivery);
void
lease_destroy_all(struct engine *engine);
