// payload.h: the bags of tasks, as clients see them.
#pragma once
#include "base/arena.h"
#include "model/value.h"

// payload_merge gives a child what it inherits (A3): each entry of the parent's persistent payload
// goes into the child's persistent bag and takes the place of the child's own entry of that name,
// in either bag. What is inherited is copied into arena, the child's.
void
payload_merge(struct arena *arena, const struct value *parent_persistent, struct value *payload,
              struct value *persistent);
