// json.h: JSON as Python's json reads and writes it (parity T3): NaN, Infinity and -Infinity,
// integers of any size, lone surrogates ("\ud800", kept as WTF-8), duplicate keys (the last one
// wins).
#pragma once
#include "base/arena.h"
#include "base/bytes.h"
#include "base/float_text.h"
#include "base/problem.h"
#include "model/value.h"

enum json_style {
    JSON_DEFAULT = 0, // json.dumps(x): ASCII, ", " and ": "
    JSON_SORTED = 1,  // sort_keys=True
    JSON_COMPACT = 2, // separators=(",", ":")
    JSON_INDENT2 = 4, // indent=2
    JSON_INDENT4 = 8, // indent=4
};

// json_parse reads one document. INVALID or TOO_LARGE names line and column. Texts are copied into
// arena.
ZKT_MUST enum zkt_err
json_parse(struct span text, struct arena *arena, struct value *out, struct problem *problem);
// json_write appends value byte for byte as json.dumps would. A resource is written as
// {"__karton_resource__": index}: who writes whole tasks replaces resources first (task_json.h).
void
json_write(const struct value *value, struct bytes *out, unsigned style);
