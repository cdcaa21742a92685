// rows.h: the rows of ANSWERs from memory. The instance of a session is its right to resume: no row
// shows it.
#pragma once
#include "core/state.h"

struct value
row_consumer(struct engine *engine, struct arena *arena, const struct consumer *consumer);
struct value
row_queue(struct engine *engine, struct arena *arena, const struct consumer *consumer);
struct value
row_worker(struct arena *arena, const struct session *session);
struct value
row_match(struct arena *arena, const struct consumer *consumer, const struct value *headers);
struct value
row_analysis(struct arena *arena, const struct uid *root, bool is_live,
             const struct analysis_counts *counts);
