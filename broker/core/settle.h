// settle.h: how a lease ends.
#pragma once
#include "core/state.h"

void
settle_finished(struct engine *engine, struct lease **lease_p);
void
settle_crashed(struct engine *engine, struct lease **lease_p, struct span error);
// settle_returned: the worker gives it back; not_before_ms is wall time, 0: at once.
void
settle_returned(struct engine *engine, struct lease **lease_p, int64_t not_before_ms);
// settle_session_leases gives back everything that a session holds; is_lost: the first
// `concurrency` of them count an attempt (promise 2).
void
settle_session_leases(struct engine *engine, struct session *session, bool is_lost);
// settle_rejected ends an offered task undelivered: it matches no more (S19).
void
settle_rejected(struct engine *engine, struct consumer *consumer, struct hold *hold);
// settle_dropped: the store ended the hold by itself.
void
settle_dropped(struct engine *engine, struct hold *hold);
