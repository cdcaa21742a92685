// wait.h: who waits for the end of an analysis (WAIT, DONE) or for an answer of the store.
#pragma once
#include "core/state.h"

// A question put to the store for a session.
struct request_open {
    uint64_t session;    // number
    uint64_t command_id; // to echo
    uint32_t consumer;   // of a resume; 0: a query
    uint64_t delivery;   // of a resume
    bool is_started;
    struct object_item object; // of PARTS and COMPLETE, without texts
    uint32_t first, count;     // of PARTS
};

// wait_add answers DONE later; false: too many open.
bool
wait_add(struct engine *engine, struct session *session, const struct uid *root, uint64_t id);
void
wait_drop_all(struct engine *engine, struct session *session);
// wait_analysis_done answers everybody who waits for root.
void
wait_analysis_done(struct engine *engine, const struct uid *root,
                   const struct analysis_counts *counts);
struct command
wait_done_command(const struct uid *root, const struct analysis_counts *counts, uint64_t id);

// request_open_new draws a number for store_page or store_resume.
uint64_t
request_open_new(struct engine *engine, const struct request_open *request);
// request_open_take answers and forgets; false: not known.
bool
request_open_take(struct engine *engine, uint64_t number, struct request_open *out);
void
request_open_destroy_all(struct engine *engine);
