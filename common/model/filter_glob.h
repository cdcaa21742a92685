// filter_glob.h: wildcards of top-level strings: the pattern of Python's fnmatch.translate,
// searched for as Karton does, that is anchored at the end only (parity F2).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/value.h"

struct glob;

// glob_is_needed: the text has one of ? * [ ] ! and is compared by a pattern.
bool
glob_is_needed(const struct value *text);
// glob_compile cannot fail: every text is a pattern. The glob lives in arena.
struct glob *
glob_compile(struct arena *arena, const char *text, size_t len);
// glob_match tells whether string ends in what the glob describes. Time is at most pattern ×
// string; lowers *steps.
bool
glob_match(const struct glob *glob, const struct value *string, int64_t *steps);
