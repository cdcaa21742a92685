// metrics.h: what is counted, and its Prometheus form (engine_metrics in engine.h).
#pragma once
#include "core/state.h"

// counters_of returns the counters of an identity, made on first use; beyond LIMIT_CONSUMERS
// identities all others share those of the empty one.
struct counters *
counters_of(struct engine *engine, struct span identity);
// metrics_forget tells a walk under way that a consumer is about to go.
void
metrics_forget(struct engine *engine, const struct consumer *consumer);
void
counters_destroy_all(struct engine *engine);
