// task_body.h: the stored form of a task (struct task_codec), which DELIVER splices in without
// decoding it.
//
// Layout: version 1 (1 byte), fields behind the headers (1 byte), headers (2 bytes), length of
// their pairs (4 bytes, all big-endian), the pairs as msgpack without "receiver", then hp, payload,
// pp and resources as msgpack pairs.
#pragma once
#include "model/task.h"
#include "wire/packer.h"

extern const struct task_codec wire_task_codec;

// pack_delivered_task writes the task map of DELIVER: identifiers of task, the body, and the header
// "receiver" (A4).
void
pack_delivered_task(msgpack_packer *packer, const struct task *task, struct span body,
                    struct span receiver);
