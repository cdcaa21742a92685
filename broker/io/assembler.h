// assembler.h: begins uploads in parts and makes objects of their parts, on two threads of its own:
// it may take as long as the network, or reading gigabytes again, takes; neither the loop nor the
// janitor waits for that, and no begin waits for a completion. What is asked of one kind is
// answered in order, once. An upload that nobody goes on with is the janitor's.
#pragma once
#include "base/problem.h"
#include "model/command.h"
#include "object/object_store.h"

struct assembler;

enum { ASSEMBLY_LANES = 2 }; // one that begins, one that completes

enum assembly { ASSEMBLY_NONE, ASSEMBLY_BEGUN, ASSEMBLY_COMPLETED };

// assembler_start borrows context and store.
ZKT_MUST enum zkt_err
assembler_start(void *zmq_context, struct object_store *store, struct assembler **assembler,
                struct problem *problem);
// assembler_begin and assembler_complete (of the upload and the tags of parts) copy what they are
// given and never block.
void
assembler_begin(struct assembler *assembler, uint64_t request, const struct object_item *object);
void
assembler_complete(struct assembler *assembler, uint64_t request, const struct object_item *object,
                   const struct upload_parts *parts);
// assembler_socket: when that of any lane (under ASSEMBLY_LANES) is readable, assembler_receive may
// have something.
void *
assembler_socket(struct assembler *assembler, size_t lane);
// assembler_receive takes one outcome: what it was, of which request, how it ended (code of
// problem), and of BEGUN the upload's id, appended to upload.
enum assembly
assembler_receive(struct assembler *assembler, uint64_t *request, struct bytes *upload,
                  struct problem *problem);
// assembler_stop waits for what is under way (object_store_interrupt shortens it); the rest is
// dropped: who asked asks again.
void
assembler_stop(struct assembler **assembler_p);
