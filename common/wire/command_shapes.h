// command_shapes.h: the shape of each verb's body. Internal to wire/.
#pragma once
#include "model/command.h"
#include "wire/shape.h"

// command_shape answers where the body of a verb lies in struct command, and its shape; NULL: the
// verb has no table (DELIVER when encoded, QUERY and CONTROL, or no body at all).
const struct shape *
command_shape(enum verb verb, size_t *offset);
