// release.h: answers and events that must not leave before everything so far is durable (promise
// 1). Guarantees the order in which they were given. What they refer to lives in release_arena.
#pragma once
#include "core/state.h"

// release_begin is called before a command or a turn: what earlier ones allocated for answers that
// left at once is forgotten.
void
release_begin(struct engine *engine);
// release_arena is where texts and lists of an answer must be allocated; valid until it has left.
struct arena *
release_arena(struct engine *engine);
// release_answer sends command to the session once all that was said to the store so far is
// durable, at once if it already is. A session that ended meanwhile gets nothing.
void
release_answer(struct engine *engine, struct session *session, const struct command *command);
// release_event publishes likewise; topic and body from release_arena.
void
release_event(struct engine *engine, const char *topic, const struct value *body);
// release_batch_handed: the open batch is being committed. release_batch_durable lets its answers
// go.
void
release_batch_handed(struct engine *engine);
void
release_batch_durable(struct engine *engine);
bool
release_is_empty(const struct engine *engine);
