// protocol_table.h: every verb with the shape of its body, and the shapes of the maps inside. The
// table is made from schemas/protocol.json, as docs/protocol/verbs.md is. Internal to wire/.
#pragma once
#include "model/command.h"
#include "wire/shape.h"

struct verb_row {
    const char *name;
    const struct shape *shape; // NULL: QUERY and CONTROL, whose arguments are free
    size_t offset;             // of what shape describes, in struct command
};

extern const struct verb_row verb_table[VERBS_END]; // index 0 is no verb

extern const struct shape task_shape;     // struct task with all fields
extern const struct shape task_ids_shape; // what identifies it: uid, root, parent, orig, prio
extern const struct shape body_shape;     // what its stored body has: hp, payload, pp, resources
