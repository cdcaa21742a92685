// object_stores.h: the object store that the configuration names, opened.
#pragma once
#include "base/problem.h"
#include "object/object_store.h"
#include "options.h"

struct object_stores {
    struct object_store *store; // what the broker uses
    struct object_store *dir;   // what its HTTP port serves; NULL: nothing
    struct object_store *s3; // where the HTTP port sends who asks for what has moved; NULL: nowhere
    bool is_moving;          // store is both
};

// object_stores_open makes what is missing (with --setup-bucket also the bucket). What is wrong
// with the bucket or the keys is said in problem, naming the option.
ZKT_MUST enum zkt_err
object_stores_open(const struct broker_options *options, struct object_stores *stores,
                   struct problem *problem);
// is_guest: beside a running broker. object_stores_open_dir and object_stores_open_s3 open one
// store, whatever [object] kind says.
ZKT_MUST enum zkt_err
object_stores_open_dir(const struct broker_options *options, bool is_guest,
                       struct object_store **store, struct problem *problem);
ZKT_MUST enum zkt_err
object_stores_open_s3(const struct broker_options *options, struct object_store **store,
                      struct problem *problem);
// object_stores_check: what of the configuration of the store is missing or wrong; opens nothing.
ZKT_MUST enum zkt_err
object_stores_check(const struct broker_options *options, struct problem *problem);
// object_stores_sweep_mode: what [object] sweep means for this store.
enum object_sweep { OBJECT_SWEEP_OFF, OBJECT_SWEEP_OWN, OBJECT_SWEEP_ALL };
enum object_sweep
object_stores_sweep_mode(const struct broker_options *options);
void
object_stores_close(struct object_stores *stores);
