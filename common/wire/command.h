// command.h: the codec of the messages of protocol ZKP/1 (docs/protocol). One frame = msgpack
// [verb, id, body]. Spans and values of a decoded command are borrowed from the frame and from the
// arena given to command_decode.
#pragma once
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "model/command.h"

// command_decode reads one frame. On failure problem holds the code (INVALID, TOO_LARGE,
// VERB_UNKNOWN, VERSION_UNSUPPORTED) and the path of the field, out->verb and out->id what could be
// read (else 0), and nothing else. Limits of limits.h are enforced here. Unknown keys are ignored.
ZKT_MUST enum zkt_err
command_decode(struct span frame, struct arena *arena, struct command *out,
               struct problem *problem);
// command_encode appends the frame to out.
void
command_encode(const struct command *command, struct bytes *out);
// verb_name: "HELLO"; NULL for an unknown number.
const char *
verb_name(uint32_t verb);
// The codec of stored bodies for the core and the store (wire/task_body.c).
extern const struct task_codec wire_task_codec;
