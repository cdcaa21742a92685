// store_made.h: the mark in the keys of a data directory that says that it has a store. A store
// that vanished is not made anew in silence: the objects of its tasks would be swept.
#pragma once
#include "base/problem.h"

// store_made_check answers STORE_CORRUPT when the mark is there and the store is not.
ZKT_MUST enum zkt_err
store_made_check(const char *data_path, struct problem *problem);
// store_made_note sets the mark; the store stands.
ZKT_MUST enum zkt_err
store_made_note(const char *data_path, struct problem *problem);
