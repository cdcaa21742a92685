// janitor.h: deletes objects on a thread of its own, again and again with a growing pause until the
// store has done it, and walks through the store to find objects that nobody knows. What is to be
// deleted stands durably in the task store; the janitor's memory may be lost at any time. The loop
// hands in uids, and takes back those that are gone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "base/uid.h"
#include "object/object_store.h"

struct janitor;

// What the janitor says of a uid.
enum janitor_word {
    JANITOR_NOTHING, // no word at the moment
    JANITOR_DELETED, // one that was handed in: it is gone
    JANITOR_FOUND,   // an old one that the store lists
};

// janitor_start borrows context and store.
ZKT_MUST enum zkt_err
janitor_start(void *zmq_context, struct object_store *store, struct janitor **janitor,
              struct problem *problem);
// janitor_delete never blocks and never loses one.
void
janitor_delete(struct janitor *janitor, const struct uid *uids, size_t uids_count);
// janitor_sweep starts one walk through the store, a page at a time with pauses: each object that
// is older than grace_ms is told as FOUND. It is listed before the loop hears of it, so whoever
// refers to it by then is known to the loop. During a walk nothing happens.
void
janitor_sweep(struct janitor *janitor, int64_t grace_ms);
// janitor_socket is readable when janitor_receive may have something.
void *
janitor_socket(struct janitor *janitor);
// janitor_receive takes one word.
enum janitor_word
janitor_receive(struct janitor *janitor, struct uid *uid);
// janitor_waiting_count: handed in, not yet received back.
uint64_t
janitor_waiting_count(const struct janitor *janitor);
void
janitor_stop(struct janitor **janitor_p);
