// engine.h: the engine: sessions, binds, matching, leases, answers. Pure: no clock, no I/O, no
// randomness; `now` is handed in, effects are handed out, so that the whole engine runs under a
// simulator.
//
// One turn of the loop: engine_command for each drained message; store_poll; engine_turn (dispatch,
// timers, slices); store_commit when the last batch is durable. Answers that promise durability
// wait for on_durable of their batch.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "base/uid.h"
#include "model/command.h"
#include "store/store.h"

struct engine;

// What the engine does to the world. All calls copy or encode what they are given before they
// return.
struct effects {
    void *arg;
    // Sends one command to a peer (a ZeroMQ routing id). False: the peer is gone or its outbox is
    // over its limit: the engine ends that session.
    bool (*send)(void *arg, struct span peer, const struct command *command);
    // is_wanted: does anybody subscribe to this topic (what nobody wants is not built)?
    bool (*is_wanted)(void *arg, const char *topic);
    void (*publish)(void *arg, const char *topic, const struct value *body);
    // Presigned URLs, into out; OBJECT_UNKNOWN or IO with a reason.
    enum zkt_err (*presign_put)(void *arg, const struct object_item *object, struct bytes *out);
    enum zkt_err (*presign_get)(void *arg, const struct uid *object, struct bytes *out);
    // Uploads in parts. begin_parts is answered by engine_parts_begun, complete_parts (of the uid,
    // the upload and the tags of parts) by engine_parts_completed, with the number of the request.
    // part is from 1, size its own. Without multipart_threshold they are not used.
    void (*begin_parts)(void *arg, uint64_t request, const struct object_item *object);
    enum zkt_err (*presign_part)(void *arg, const struct uid *object, struct span upload,
                                 uint32_t part, int64_t size, struct bytes *out);
    void (*complete_parts)(void *arg, uint64_t request, const struct object_item *object,
                           const struct upload_parts *parts);
    void (*delete_object)(void *arg, const struct uid *object); // answered by engine_object_deleted
    void (*random_uid)(void *arg, struct uid *uid);             // version 4
    // A failed commit: nothing may be released any more; the broker exits non-zero.
    void (*fail)(void *arg, const char *reason);
    void (*forget_peer)(void *arg, struct span peer); // its session ended: the outbox may go
};

struct engine_options {
    struct effects effects;
    struct store_options store; // callbacks are filled in by the engine
    int64_t interval_ms;        // heartbeat
    int64_t expiry_ms;
    int64_t expiry_max_ms;
    int64_t resume_grace_ms;    // 0: 2 × expiry
    uint32_t deliveries_max;    // max_deliveries
    struct span events_address; // as told in WELCOME
    struct span http_address;
    struct span object_kind;
    int64_t multipart_threshold; // larger objects may come in parts; 0: none
};

// Opens the store (recovering it) and makes the engine.
ZKT_MUST enum zkt_err
engine_new(const struct engine_options *options, int64_t now_ms, int64_t wall_ms,
           struct engine **engine, struct problem *problem);
void
engine_destroy(struct engine **engine_p);
struct store *
engine_store(struct engine *engine);

// One decoded message of a peer. now is monotonic, wall is wall time, both ms. The command is
// borrowed.
void
engine_command(struct engine *engine, struct span peer, const struct command *command);
// A frame that could not be decoded: answered with ERROR; the peer is kept or dropped as the
// protocol says.
void
engine_bad_frame(struct engine *engine, struct span peer, const struct command *partial,
                 const struct problem *problem);
// engine_turn is called once a turn before draining with the clocks: session time advances by at
// most poll_timeout + 100 ms a turn; drained_empty: the last drain ended because nothing was left
// (only then may a session expire). Polls the store, dispatches, runs timers and slices. Returns ms
// until the next thing to do (≥ 0, ≤ 1000).
int64_t
engine_turn(struct engine *engine, int64_t now_ms, int64_t wall_ms, int64_t poll_timeout_ms,
            bool drained_empty);
// engine_commit hands the open batch to the store if it is not empty and none is being committed.
void
engine_commit(struct engine *engine);
// engine_is_full: both batches are full: do not read the front.
bool
engine_is_full(const struct engine *engine);
void
engine_object_deleted(struct engine *engine, const struct uid *object);
// engine_parts_begun: the store's name of the upload, or why there is none (code of problem).
void
engine_parts_begun(struct engine *engine, uint64_t request, struct span upload,
                   const struct problem *problem);
void
engine_parts_completed(struct engine *engine, uint64_t request, const struct problem *problem);
// engine_object_found: the object store lists an old object; if nobody knows it, it is deleted.
void
engine_object_found(struct engine *engine, const struct uid *object);
// engine_drain begins a graceful stop: no new offers; engine_is_drained when everything answered is
// durable.
void
engine_drain(struct engine *engine);
bool
engine_is_drained(const struct engine *engine);

// Prometheus text of queues, states, consumers, sessions and counters (the caller adds store,
// process and loop figures).
void
engine_metrics(const struct engine *engine, struct bytes *out);
// engine_metrics_some writes the same in slices of about rows_max consumers: with thousands of them
// the whole is a matter of many milliseconds. Call it until it answers true: then the text is
// complete, and the next call begins another.
bool
engine_metrics_some(struct engine *engine, struct bytes *out, size_t rows_max);
// Health: NULL when well, else a reason.
const char *
engine_unhealthy(const struct engine *engine);
