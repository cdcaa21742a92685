// route.h: which consumers take a task.
#pragma once
#include "core/state.h"

// route_match answers the numbers of the consumers whose filters match the headers, ascending; the
// list is the engine's, valid until the next call.
size_t
route_match(struct engine *engine, const struct value *headers, const uint32_t **consumers);
// route_still_matches asks one consumer, for a task that was matched under an older bind.
bool
route_still_matches(struct engine *engine, struct consumer *consumer, const struct value *headers);
// route_new_turn lets binds that were too slow try again (F10).
void
route_new_turn(struct engine *engine);
