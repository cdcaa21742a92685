// sweep.h: what happens by time: heartbeats, expiries, the end of the grace after a start.
#pragma once
#include "core/state.h"

// sweep_turn does what is due at engine->session_ms; nobody expires unless may_expire.
void
sweep_turn(struct engine *engine, bool may_expire);
// sweep_due answers the ms of session time until something is due, at most 1000.
int64_t
sweep_due(const struct engine *engine);
