// The loop. One turn: poll → engine_turn (completions, dispatch, timers, slices) → hand the batch
// over → drain the front. Nobody hears of anything that could still be lost: answers leave when
// their batch is durable, which the engine decides. The longest turn is the longest time that
// anybody waits for the broker; it is measured and shown.
#include "loop.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/engine.h"
#include "endpoints.h"
#include "http/server.h"
#include "io/front.h"
#include "io/janitor.h"
#include "io/log_pub.h"
#include "loop_metrics.h"
#include "object/object_dir.h"
#include "signals.h"
#include "wire/task_body.h"

enum { DRAIN_MESSAGES_MAX = 512, METRICS_PERIOD_MS = 1000, DRAIN_STOP_MS = 10000 };

struct loop {
    const struct broker_options *options;
    void *zmq_context;
    struct front *front;
    struct log_pub *log_pub;
    struct engine *engine;
    struct object_store *objects;
    struct http_server *http;
    struct janitor *janitor;
    char http_address[300];
    char events_told[300]; // as WELCOME tells it: without the host when it listens on all
    char http_told[300];
    struct loop_figures figures;
    int64_t metrics_due_ms;
    int64_t stop_by_ms; // 0: not stopping
    bool has_failed;
};

// ---- Effects

static bool
effect_send(void *arg, struct span peer, const struct command *command)
{
    struct loop *loop = arg;
    return front_send(loop->front, peer, command);
}

static bool
effect_is_wanted(void *arg, const char *topic)
{
    struct loop *loop = arg;
    return log_pub_is_wanted(loop->log_pub, topic);
}

static void
effect_publish(void *arg, const char *topic, const struct value *body)
{
    struct loop *loop = arg;
    log_pub_publish(loop->log_pub, topic, body);
}

static void
effect_delete_object(void *arg, const struct uid *object)
{
    struct loop *loop = arg;
    janitor_delete(loop->janitor, object, 1);
}

static void
effect_random_uid(void *arg, struct uid *uid)
{
    (void)arg;
    uid_random(uid);
}

static void
effect_fail(void *arg, const char *reason)
{
    struct loop *loop = arg;
    log_error("STORE-FAILED", "reason=\"%s\"", reason);
    loop->has_failed = true;
}

static void
effect_forget_peer(void *arg, struct span peer)
{
    struct loop *loop = arg;
    front_forget(loop->front, peer);
}

static void
on_command(void *arg, struct span peer, const struct command *command)
{
    struct loop *loop = arg;
    engine_command(loop->engine, peer, command);
}

static void
on_bad_frame(void *arg, struct span peer, const struct command *partial,
             const struct problem *problem)
{
    struct loop *loop = arg;
    engine_bad_frame(loop->engine, peer, partial, problem);
}
