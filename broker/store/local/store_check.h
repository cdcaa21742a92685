// store_check.h: looking at a store without a broker: every record and every relation between
// records verified, all records as values, a compacted copy.
#pragma once
#include <stdio.h>

#include "base/problem.h"
#include "model/task.h"
#include "model/value.h"

// store_file finds the file of the store in a data directory (DIR/store/data.mdb) or a store's own
// directory; the caller frees. NOT_FOUND names what was looked for.
ZKT_MUST enum zkt_err
store_file(const char *path, char **file, struct problem *problem);
// store_check writes a line to out for each damage and answers how many there are. STORE_LOCKED
// while a broker uses the store.
ZKT_MUST enum zkt_err
store_check(const char *path, FILE *out, uint64_t *damages_count, struct problem *problem);
// store_dump hands each record over, in order of keys; a record that does not verify as its bytes
// in hex. *damages_count: of records and pages.
ZKT_MUST enum zkt_err
store_dump(const char *path, const struct task_codec *codec,
           void (*row)(void *arg, const struct value *record), void *arg, uint64_t *damages_count,
           struct problem *problem);
// store_copy makes a compacted copy in a new directory, also beside a running broker; of a data
// directory the copy is one too, without its objects and keys. IN_USE: there is a store already.
// STORE_CORRUPT: a page is damaged, and nothing was made.
ZKT_MUST enum zkt_err
store_copy(const char *path, const char *copy_path, struct problem *problem);
