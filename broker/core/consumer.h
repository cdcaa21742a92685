// consumer.h: binds in force: registered, replaced, dropped.
#pragma once
#include "core/state.h"

struct consumer *
consumer_of(const struct engine *engine, uint32_t number); // NULL: none
struct consumer *
consumer_of_identity(const struct engine *engine, struct span identity); // dropped ones: NULL
// consumer_load_all takes over what the store recovered.
void
consumer_load_all(struct engine *engine);
// consumer_register puts the bind in the store and in force; consumes the compiled filter. Workers
// with another generation are told to retire.
struct consumer *
consumer_register(struct engine *engine, const struct bind *bind, struct filter **filter_p);
// consumer_drop is an intent: its tasks go in slices, whatever state they are in.
void
consumer_drop(struct engine *engine, struct consumer *consumer);
// consumer_check_absence drops a temporary consumer that nobody serves any more (promise 4).
void
consumer_check_absence(struct engine *engine, struct consumer *consumer);
// consumer_check_grace ends the grace of its suspects once nobody is missing who could resume them.
void
consumer_check_grace(struct engine *engine, struct consumer *consumer);
void
consumer_gone(struct engine *engine, uint32_t number); // no records left
void
consumer_mark_dirty(struct engine *engine, struct consumer *consumer);
void
consumer_destroy_all(struct engine *engine);
