// scratch.h: folders for temporary files that go away by themselves. TEMP/zkarton-KIND-XXXXXX
// belongs to one process, which holds a lock in it for as long as it lives; who opens one later
// removes those whose lock is free, so that a killed process leaves nothing for long. A folder gets
// that name only when its lock is held; until then it is TEMP/zkarton-new-XXXXXX.
#pragma once
#include <stdbool.h>

#include "base/problem.h"

struct scratch {
    char *path; // owned; NULL: not open
    int lock;
};

// scratch_open removes what dead processes left under temp, of every kind, and makes a folder. kind
// is "exec" or "work". IO: scratch->path is NULL.
ZKT_MUST enum zkt_err
scratch_open(const char *temp, const char *kind, struct scratch *scratch, struct problem *problem);
// scratch_close removes the folder with everything in it.
void
scratch_close(struct scratch *scratch);
// tree_remove removes path and everything below it, without following links or leaving the
// filesystem; what is gone already is fine.
bool
tree_remove(const char *path);
