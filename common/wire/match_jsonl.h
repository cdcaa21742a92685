// match_jsonl.h: one line of `zkarton match --jsonl`.
#pragma once
#include "base/bytes.h"

// match_jsonl_line reads {"filters": …, "headers": …} and appends one line: {"match": true},
// {"match": false}, or {"error": "…"} for filters that would be refused or a line that cannot be
// read.
void
match_jsonl_line(struct span line, struct bytes *out);
