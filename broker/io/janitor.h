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

// What the janitor says.
enum janitor_word {
    JANITOR_NOTHING, // no word at the moment
    JANITOR_DELETED, // of a uid that was handed in: it is gone
    JANITOR_FOUND,   // of a uid: an old object that the store lists
    JANITOR_PENDING, // of a uid: an old upload in parts that the store lists
    JANITOR_WALKED,  // a walk ended: janitor_walk
};

// What a walk saw and did.
struct janitor_walk {
    uint64_t listed_count;  // objects
    uint64_t old_count;     // of them, told as FOUND
    uint64_t pending_count; // old uploads in parts, told as PENDING
    uint64_t foreign_count; // deleted: old, and no objects of this broker
    bool has_failed;        // it ended early; the next one comes anyway
};

// janitor_start borrows context and store.
ZKT_MUST enum zkt_err
janitor_start(void *zmq_context, struct object_store *store, struct janitor **janitor,
              struct problem *problem);
// janitor_delete never blocks and never loses one.
void
janitor_delete(struct janitor *janitor, const struct uid *uids, size_t uids_count);
// janitor_abort ends all uploads in parts of a uid.
void
janitor_abort(struct janitor *janitor, const struct uid *uid);
// janitor_sweep starts one walk through the store, a page at a time with pauses: each object that
// is older than grace_ms is told as FOUND, each such upload in parts as PENDING. It is listed
// before the loop hears of it, so whoever refers to it by then is known to the loop. with_foreign:
// what is no object of this broker and as old is deleted too. During a walk nothing happens.
void
janitor_sweep(struct janitor *janitor, int64_t grace_ms, bool with_foreign);
// janitor_socket is readable when janitor_receive may have something.
void *
janitor_socket(struct janitor *janitor);
// janitor_receive takes one word.
enum janitor_word
janitor_receive(struct janitor *janitor, struct uid *uid);
// janitor_walk: of the last walk that ended.
struct janitor_walk
janitor_walk(const struct janitor *janitor);
// janitor_waiting_count: handed in, not yet received back.
uint64_t
janitor_waiting_count(const struct janitor *janitor);
void
janitor_stop(struct janitor **janitor_p);
