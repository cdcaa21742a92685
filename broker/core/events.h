// events.h: what is published for watchers (schemas/events.json). What nobody subscribes to is not
// built. Each family (the first word of the topic) has its own sequence number in the body's `seq`.
#pragma once
#include "core/state.h"

void
event_worker(struct engine *engine, const struct session *session, const char *what);
void
event_consumer(struct engine *engine, const struct consumer *consumer, const char *what);
// event_crashed: a task of an analysis crashed.
void
event_crashed(struct engine *engine, const struct consumer *consumer, const struct uid *uid,
              const struct uid *root);
// event_analysis_done is called when the completion is durable: it leaves at once.
void
event_analysis_done(struct engine *engine, const struct uid *root,
                    const struct analysis_counts *counts);
void
event_broker(struct engine *engine, const char *what, const char *reason);
// event_seq draws the next number of a family.
enum event_family { FAMILY_ANALYSIS, FAMILY_WORKER, FAMILY_CONSUMER, FAMILY_BROKER };
int64_t
event_seq(struct engine *engine, enum event_family family);
