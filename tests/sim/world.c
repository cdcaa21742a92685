// The loop of the broker, the network and the clocks, all in one thread and without chance but the
// seed's. Frames go through the real codec. Per connection and direction messages keep their order;
// between peers they do not.
#include "sim/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "core/state.h"
#include "wire/command.h"
#include "wire/task_body.h"

enum { DRAIN_MAX = 64, POLL_TIMEOUT_MS = 20 };

struct connection {
    size_t peer_index;
    struct uid instance;
    bool is_alive;
    bool is_known_dead; // the broker's sends fail
    int64_t last_due_ms[2];
};
struct message {
    int64_t due_ms;
    uint64_t order;
    uint64_t connection;
    bool to_broker;
    bool is_lost; // notice of a lost connection, for the peer
    struct bytes frame;
};

void
world_trace(struct world *world, const char *format, ...)
{
    if (!world->is_traced) {
        return;
    }
    printf("%8" PRId64 " ", world->now_ms);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

void
world_violated(struct world *world, int invariant, const char *format, ...)
{
    if (world_is_violated(world)) {
        return;
    }
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(world->violation, sizeof world->violation, "I%d at %" PRId64 " ms: %s",
                   invariant, world->now_ms, text);
    world_trace(world, "VIOLATED %s", world->violation);
}

bool
world_is_violated(const struct world *world)
{
    return world->violation[0] != '\0';
}

// ---- Messages

static bool
is_sooner(const struct message *a, const struct message *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void
push(struct world *world, struct message *message)
{
    if (world->messages_count == world->messages_capacity) {
        world->messages_capacity = world->messages_capacity * 2 + 64;
        world->messages =
            xrealloc(world->messages, world->messages_capacity * sizeof(struct message *));
    }
    size_t at = world->messages_count++;
    while (at > 0 && is_sooner(message, world->messages[(at - 1) / 2])) {
        world->messages[at] = world->messages[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->messages[at] = message;
}

static struct message *
pop(struct world *world)
{
    if (world->messages_count == 0 || world->messages[0]->due_ms > world->now_ms) {
        return NULL;
    }
    struct message *first = world->messages[0];
    struct message *last = world->messages[--world->messages_count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= world->messages_count) {
            break;
        }
        if (child + 1 < world->messages_count &&
            is_sooner(world->messages[child + 1], world->messages[child])) {
            child++;
        }
        if (!is_sooner(world->messages[child], last)) {
            break;
        }
        world->messages[at] = world->messages[child];
        at = child;
    }
    if (world->messages_count > 0) {
        world->messages[at] = last;
    }
    return first;
}

static void
message_free(struct message *message)
{
    bytes_fini(&message->frame);
    free(message);
}

static struct connection *
connection_of(struct world *world, uint64_t number)
{
    return number == 0 ? NULL : &world->connections[number - 1];
}

static void
post(struct world *world, uint64_t number, bool to_broker, struct span frame, bool is_lost)
{
    struct connection *connection = connection_of(world, number);
    struct message *message = xcalloc(1, sizeof *message);
    int64_t due_ms =
        world->now_ms + (int64_t)random_below(&world->random, (uint64_t)world->delay_ms_max + 1);
    if (due_ms < connection->last_due_ms[to_broker]) {
        due_ms = connection->last_due_ms[to_broker];
    }
    connection->last_due_ms[to_broker] = due_ms;
    message->due_ms = due_ms;
    message->order = world->messages_order++;
    message->connection = number;
    message->to_broker = to_broker;
    message->is_lost = is_lost;
    bytes_append(&message->frame, frame.data, frame.len);
    push(world, message);
}

void
world_send_frame(struct world *world, struct peer *peer, struct span frame)
{
    struct connection *connection = connection_of(world, peer->connection);
    peer->sent_ms = world->now_ms;
    if (connection == NULL || !connection->is_alive) {
        return;
    }
    if (!world->is_calm && random_is(&world->random, world->drop_permille)) {
        world_disconnect(world, peer);
        return;
    }
    post(world, peer->connection, true, frame, false);
}

void
world_send(struct world *world, struct peer *peer, const struct command *command)
{
    struct bytes frame = {0};
    command_encode(command, &frame);
    world_send_frame(world, peer, bytes_span(&frame));
    bytes_fini(&frame);
}

void
world_connect(struct world *world, struct peer *peer)
{
    if (world->connections_count == world->connections_capacity) {
        world->connections_capacity = world->connections_capacity * 2 + 64;
        world->connections =
            xrealloc(world->connections, world->connections_capacity * sizeof *world->connections);
    }
    world->connections[world->connections_count++] = (struct connection){
        .peer_index = peer->index, .instance = peer->instance, .is_alive = true};
    peer->connection = world->connections_count;
    world_trace(world, "peer %zu connects as %" PRIu64, peer->index, peer->connection);
}

// Everything in flight is gone; each side notices later by itself.
void
world_disconnect(struct world *world, struct peer *peer)
{
    struct connection *connection = connection_of(world, peer->connection);
    if (connection == NULL || !connection->is_alive) {
        return;
    }
    world_trace(world, "connection %" PRIu64 " of peer %zu drops", peer->connection, peer->index);
    connection->is_alive = false;
    connection->is_known_dead = random_is(&world->random, 500);
    post(world, peer->connection, false, (struct span){0}, true);
}

// ---- Effects

static uint64_t
connection_number(struct span peer)
{
    uint64_t number = 0;
    zkt_assert(peer.len == sizeof number);
    memcpy(&number, peer.data, sizeof number);
    return number;
}

static bool
effect_send(void *arg, struct span peer, const struct command *command)
{
    struct world *world = arg;
    if (peer.len != sizeof(uint64_t)) {
        return true; // no peer of this world: a scenario that speaks to the engine itself
    }
    uint64_t number = connection_number(peer);
    struct connection *connection = connection_of(world, number);
    if (connection->is_known_dead) {
        ledger_unsent(world, &world->peers[connection->peer_index], command);
        return false;
    }
    ledger_said(world, &world->peers[connection->peer_index], &connection->instance, command);
    world_trace(world, "broker -> %zu %s id=%" PRIu64, connection->peer_index,
                verb_name((uint32_t)command->verb), command->id);
    if (command->verb == VERB_ERROR) {
        world_trace(world, "  %.*s", (int)command->error.message.len,
                    (const char *)command->error.message.data);
    }
    if (connection->is_alive) {
        struct bytes frame = {0};
        command_encode(command, &frame);
        post(world, number, false, bytes_span(&frame), false);
        bytes_fini(&frame);
    }
    return true;
}

static bool
effect_is_wanted(void *arg, const char *topic)
{
    (void)arg;
    (void)topic;
    return true;
}

static void
effect_publish(void *arg, const char *topic, const struct value *body)
{
    struct world *world = arg;
    world_trace(world, "event %s", topic);
    if (world->is_quiet) {
        return;
    }
    ledger_published(world, topic, body);
}

static enum zkt_err
effect_presign_put(void *arg, const struct object_item *object, struct bytes *out)
{
    (void)arg;
    (void)object;
    bytes_append_text(out, "http://put");
    return ZKT_OK;
}

static enum zkt_err
effect_presign_get(void *arg, const struct uid *object, struct bytes *out)
{
    (void)arg;
    (void)object;
    bytes_append_text(out, "http://get");
    return ZKT_OK;
}

static void
effect_delete_object(void *arg, const struct uid *object)
{
    struct world *world = arg;
    ledger_object_deleted(world, object);
}

static void
effect_random_uid(void *arg, struct uid *uid)
{
    struct world *world = arg;
    random_draw_uid(&world->random, uid);
}

static void
effect_fail(void *arg, const char *reason)
{
    struct world *world = arg;
    world_trace(world, "broker fails: %s", reason);
    world->has_failed = true;
}

static void
effect_forget_peer(void *arg, struct span peer)
{
    (void)arg;
    (void)peer;
}

// ---- Broker

void
world_start_broker(struct world *world)
{
    zkt_assert(world->engine == NULL);
    struct engine_options options = {
        .effects = {.arg = world,
                    .send = effect_send,
                    .is_wanted = effect_is_wanted,
                    .publish = effect_publish,
                    .presign_put = effect_presign_put,
                    .presign_get = effect_presign_get,
                    .delete_object = effect_delete_object,
                    .random_uid = effect_random_uid,
                    .fail = effect_fail,
                    .forget_peer = effect_forget_peer},
        .store = {.codec = &wire_task_codec,
                  .records = disk_records(world->disk),
                  .tasks_max = world->tasks_max,
                  .crashed_ttl_ms = world->crashed_ttl_ms,
                  .upload_grace_ms = 3600 * 1000},
        .interval_ms = INTERVAL_MS,
        .expiry_ms = EXPIRY_MS,
        .expiry_max_ms = EXPIRY_MS * 10,
        .resume_grace_ms = world->resume_grace_ms,
        .deliveries_max = DELIVERIES_MAX,
    };
    random_draw_uid(&world->random, &options.store.store_id);
    struct problem problem = {0};
    world->has_failed = false;
    world->turn_now_ms = world->now_ms;
    world->session_ms = 0;
    enum zkt_err code =
        engine_new(&options, world->now_ms, world->wall_ms, &world->engine, &problem);
    if (code != ZKT_OK) {
        world_violated(world, 1, "the store does not open: %s", problem.text);
        return;
    }
    world_trace(world, "broker starts");
}

void
world_kill_broker(struct world *world, int64_t down_ms)
{
    if (world->engine == NULL) {
        return;
    }
    world_trace(world, "broker is killed for %" PRId64 " ms", down_ms);
    ledger_killed(world, disk_durable(world->disk), disk_in_flight(world->disk));
    disk_crash(world->disk);
    engine_destroy(&world->engine);
    world->restart_ms = world->now_ms + down_ms;
    world->restarts_count++;
    for (size_t i = 0; i < world->peers_count; i++) {
        world_disconnect(world, &world->peers[i]);
    }
}

static void
deliver_to_broker(struct world *world, struct message *message)
{
    struct connection *connection = connection_of(world, message->connection);
    if (world->engine == NULL || !connection->is_alive) {
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct command command;
    struct problem problem = {0};
    struct span peer = span_of(&message->connection, sizeof message->connection);
    struct peer *from = &world->peers[connection->peer_index];
    if (command_decode(bytes_span(&message->frame), &arena, &command, &problem) != ZKT_OK) {
        engine_bad_frame(world->engine, peer, &command, &problem);
    } else {
        world_trace(world, "broker <- %zu %s id=%" PRIu64, from->index,
                    verb_name((uint32_t)command.verb), command.id);
        ledger_heard(world, from, &command);
        engine_command(world->engine, peer, &command);
        ledger_applied(world, from, &command);
    }
    arena_fini(&arena);
}

static void
deliver_to_peer(struct world *world, struct message *message)
{
    struct connection *connection = connection_of(world, message->connection);
    struct peer *peer = &world->peers[connection->peer_index];
    if (peer->phase == PEER_DEAD || peer->connection != message->connection) {
        return;
    }
    if (message->is_lost) {
        peer_lost_connection(world, peer);
        return;
    }
    if (!connection->is_alive) {
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct command command;
    struct problem problem = {0};
    if (command_decode(bytes_span(&message->frame), &arena, &command, &problem) != ZKT_OK) {
        world_violated(world, 20, "a frame of the broker cannot be read: %s", problem.text);
    } else {
        peer_receive(world, peer, &command);
    }
    arena_fini(&arena);
}

// A stopped peer receives when it wakes; a stopped or full broker when it goes on.
static bool
must_wait(struct world *world, const struct message *message, int64_t *until_ms)
{
    const struct connection *connection = connection_of(world, message->connection);
    const struct peer *peer = &world->peers[connection->peer_index];
    if (!message->to_broker) {
        *until_ms = peer->stopped_until_ms;
        return peer->stopped_until_ms > world->now_ms;
    }
    bool is_busy = world->frozen_until_ms > world->now_ms ||
                   (world->engine != NULL && engine_is_full(world->engine));
    *until_ms = world->frozen_until_ms > world->now_ms ? world->frozen_until_ms : world->now_ms + 1;
    return is_busy;
}

// True: the drain ended because nothing was left.
static bool
drain(struct world *world)
{
    size_t drained_count = 0;
    struct message *message = NULL;
    while ((message = pop(world)) != NULL) {
        int64_t until_ms = 0;
        if (must_wait(world, message, &until_ms)) {
            struct connection *connection = connection_of(world, message->connection);
            message->due_ms = until_ms;
            message->order = world->messages_order++;
            if (connection->last_due_ms[message->to_broker] < until_ms) {
                connection->last_due_ms[message->to_broker] = until_ms;
            }
            push(world, message);
            continue;
        }
        world->events_count++;
        if (message->to_broker) {
            drained_count++;
            deliver_to_broker(world, message);
        } else {
            deliver_to_peer(world, message);
        }
        message_free(message);
        if (drained_count >= DRAIN_MAX) {
            return false;
        }
    }
    return true;
}

void
world_restore_send(struct world *world)
{
    world->engine->options.effects.send = effect_send;
}

void
world_turn(struct world *world)
{
    if (world->engine == NULL) {
        if (world->restart_ms != 0 && world->now_ms >= world->restart_ms) {
            world->restart_ms = 0;
            world_start_broker(world);
        }
        return;
    }
    if (world->frozen_until_ms > world->now_ms) {
        return;
    }
    int64_t elapsed_ms = world->now_ms - world->turn_now_ms;
    int64_t most_ms = POLL_TIMEOUT_MS + 100;
    world->session_ms += elapsed_ms < most_ms ? elapsed_ms : most_ms;
    world->turn_now_ms = world->now_ms;
    (void)engine_turn(world->engine, world->now_ms, world->wall_ms, POLL_TIMEOUT_MS,
                      world->is_draining_empty);
    engine_commit(world->engine);
    if (world->has_failed) {
        world_kill_broker(world, 1 + (int64_t)random_below(&world->random, 500));
    }
}

void
world_step(struct world *world, int64_t elapsed_ms)
{
    world->now_ms += elapsed_ms;
    world->wall_ms += elapsed_ms;
    disk_advance(world->disk, world->now_ms);
    world_turn(world);
    for (size_t i = 0; i < world->peers_count; i++) {
        if (world->peers[i].stopped_until_ms <= world->now_ms) {
            peer_act(world, &world->peers[i]);
        }
    }
    world->is_draining_empty = drain(world);
    if (world->engine != NULL && !world->has_failed) {
        world_check_engine(world);
    }
}

bool
world_run(struct world *world, bool (*until)(struct world *world), int64_t max_ms)
{
    int64_t end_ms = world->now_ms + max_ms;
    while (world->now_ms < end_ms && !world_is_violated(world)) {
        world_step(world, 1 + (int64_t)random_below(&world->random, 8));
        if (until != NULL && until(world)) {
            return true;
        }
    }
    return until == NULL && !world_is_violated(world);
}

bool
world_is_quiet(struct world *world)
{
    if (world->engine == NULL || world->messages_count > 0) {
        return false;
    }
    struct store *store = engine_store(world->engine);
    struct store_stats stats = {0};
    store_stats(store, &stats);
    if (stats.state_counts[TASK_DECLARED] + stats.state_counts[TASK_SPAWNED] +
                stats.state_counts[TASK_STARTED] >
            0 ||
        stats.intents_count > 0 || store_is_committing(store) || !store_batch_is_empty(store)) {
        return false;
    }
    for (size_t i = 0; i < world->peers_count; i++) {
        if (!peer_is_idle(&world->peers[i])) {
            return false;
        }
    }
    return true;
}

struct peer *
world_add_peer(struct world *world, enum peer_role role, const struct service *service)
{
    zkt_assert(world->peers_count < PEERS_MAX);
    struct peer *peer = &world->peers[world->peers_count];
    peer->index = world->peers_count++;
    peer->role = role;
    peer->service = service;
    peer->identity = service != NULL ? service->identity : "producer";
    peer->phase = PEER_DEAD;
    peer->concurrency = 1;
    peer_start(world, peer);
    return peer;
}

struct world *
world_new(uint64_t seed, bool is_traced)
{
    struct world *world = xcalloc(1, sizeof *world);
    random_init(&world->random, seed);
    world->seed = seed;
    world->is_traced = is_traced;
    world->now_ms = 1000;
    world->wall_ms = 1700000000000;
    world->disk = disk_new(&world->random);
    disk_set_delay(world->disk, 5, 5);
    world->delay_ms_max = 3;
    world->tasks_max = 100000;
    world->crashed_ttl_ms = (int64_t)3 * 24 * 3600 * 1000;
    world->ledger = ledger_new();
    world->is_calm = true;
    return world;
}

void
world_destroy(struct world **world_p)
{
    struct world *world = *world_p;
    *world_p = NULL;
    if (world->engine != NULL) {
        disk_crash(world->disk);
        engine_destroy(&world->engine);
    }
    for (size_t i = 0; i < world->messages_count; i++) {
        message_free(world->messages[i]);
    }
    for (size_t i = 0; i < world->peers_count; i++) {
        peer_clear(&world->peers[i]);
    }
    free(world->messages);
    free(world->connections);
    ledger_destroy(&world->ledger);
    disk_destroy(&world->disk);
    free(world);
}
