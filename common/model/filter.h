// filter.h: Karton's filters over headers (parity F1-F10, S28-S33), compiled once per bind.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "model/value.h"

struct filter;       // the compiled filters of one bind
struct filter_index; // many binds, found by their equality terms

// What went wrong while matching; a run-time error is "no match" (F8). Zeroed by the caller, added
// to.
struct filter_outcome {
    uint32_t errors_count; // evaluations that Karton would raise on
    uint32_t limits_count; // regexes stopped by a match, depth or heap limit (F10)
    bool are_regexes_off;  // in: a regex that is reached counts as stopped, without being tried
};

// filter_compile checks and compiles `filters` (a list of maps; [] and {} match nothing; [{}]
// everything). FILTER_INVALID names the clause: filters[0].platform: unknown operator "$nto". Did
// you mean "$not"?
ZKT_MUST enum zkt_err
filter_compile(const struct value *filters, struct filter **filter, struct problem *problem);
void
filter_destroy(struct filter **filter_p);
bool
filter_match(const struct filter *filter, const struct value *headers,
             struct filter_outcome *outcome);
// filter_is_empty: matches nothing whatever the headers ([] or {}; S18).
bool
filter_is_empty(const struct filter *filter);
// filter_explain says why headers do not match: the first failing clause of each rule, for `zkarton
// match`.
void
filter_explain(const struct filter *filter, const struct value *headers, struct bytes *out);

// The index borrows its filters; consumer is the caller's number for them.
struct filter_index *
filter_index_new(void);
void
filter_index_destroy(struct filter_index **index_p);
void
filter_index_add(struct filter_index *index, uint32_t consumer, const struct filter *filter);
void
filter_index_remove(struct filter_index *index, uint32_t consumer);
// filter_index_candidates appends to *consumers (grown with xrealloc, *capacity in items) every
// consumer whose filter may match; each once, in ascending order. The caller asks filter_match for
// each.
size_t
filter_index_candidates(struct filter_index *index, const struct value *headers,
                        uint32_t **consumers, size_t *capacity);
