// dispatch.h: offers of the store become leases and DELIVERs.
#pragma once
#include "core/state.h"

// dispatch_want tells the store how much room each changed consumer has.
void
dispatch_want(struct engine *engine);
// dispatch_offer gives a task to the next session with room, or back.
void
dispatch_offer(struct engine *engine, struct hold *hold);
// dispatch_flush sends what was given since the last flush, a DELIVER a session.
void
dispatch_flush(struct engine *engine);
