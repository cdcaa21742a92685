// A seed draws how bad its world is: slow or fast network and disk, how often connections drop,
// processes die, the broker is killed or frozen, the disk fails or is full, clocks jump. Then
// everything calms down, every service gets a living worker, and what was promised must have
// happened.
#include "sim/storm.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "sim/world.h"

// Types: a → first, second; b → second, third (transactional); c → sink; d, e → changing; f → the
// temporary one; k kills its worker; z is taken by nobody.
const struct service services[] = {
    {"p.first", "ak", true, false, true, "bcd", 3, NULL},
    {"p.second", "ab", true, false, true, "cf", 2, NULL},
    {"p.third", "b", true, true, true, "cz", 4, NULL},
    {"p.sink", "ck", true, false, true, "", 0, NULL},
    {"p.change", "d", true, false, false, "c", 1, NULL},
    {"p.change", "e", true, false, false, "c", 1, "2"},
    {"t.temp", "cf", false, false, false, "c", 1, NULL},
    {"p.drain", "g", true, false, false, "", 0, NULL},
    {"p.drain", "", false, false, false, "", 0, NULL},
};
const size_t services_count = sizeof services / sizeof *services;

struct weather {
    unsigned submit_permille; // per producer and step
    unsigned die_permille;    // per step, a peer
    unsigned stop_permille;   // per step, a peer stops for longer than the expiry
    unsigned leave_permille;  // per step, a worker leaves
    unsigned kill_permille;   // per step, the broker
    unsigned freeze_permille; // per step, the broker
    unsigned fail_permille;   // per step, the next commit
    unsigned full_permille;   // per step, the disk for a while
    unsigned clock_permille;  // per step, the wall clock
    unsigned upload_permille;
    int64_t full_until_ms;
};

static unsigned
draw(struct random *random, unsigned chance_permille, unsigned most)
{
    return random_is(random, chance_permille) ? 1 + (unsigned)random_below(random, most) : 0;
}

static void
draw_weather(struct world *world, struct weather *weather)
{
    struct random *random = &world->random;
    *weather = (struct weather){
        .submit_permille = 100 + (unsigned)random_below(random, 400),
        .die_permille = draw(random, 600, 8),
        .stop_permille = draw(random, 400, 3),
        .leave_permille = draw(random, 500, 6),
        .kill_permille = draw(random, 500, 4),
        .freeze_permille = draw(random, 300, 3),
        .fail_permille = draw(random, 200, 2),
        .full_permille = draw(random, 200, 3),
        .clock_permille = draw(random, 200, 3),
        .upload_permille = draw(random, 500, 300),
    };
    world->drop_permille = draw(random, 600, 10);
    world->delay_ms_max = (int64_t)random_below(random, 30);
    world->crash_permille = draw(random, 500, 100);
    world->return_permille = draw(random, 500, 100);
    disk_set_delay(world->disk, (int64_t)random_below(random, 60),
                   (int64_t)random_below(random, 40));
    if (random_is(random, 300)) {
        world->tasks_max = 20 + random_below(random, 200);
    }
}

static void
populate(struct world *world)
{
    for (size_t i = 0; i < services_count; i++) {
        size_t count = services[i].is_strict ? 1 + random_below(&world->random, 3) : 1;
        for (size_t j = 0; j < count && !(i == services_count - 1); j++) {
            struct peer *peer = world_add_peer(world, PEER_WORKER, &services[i]);
            peer->concurrency = 1 + (uint32_t)random_below(&world->random, 3);
            peer->is_killed_by_tasks = random_is(&world->random, 700);
        }
    }
    for (int i = 0; i < 3; i++) {
        (void)world_add_peer(world, PEER_PRODUCER, NULL);
    }
    (void)world_add_peer(world, PEER_OPERATOR, NULL);
}

static bool
has_all_consumers(struct world *world)
{
    for (size_t i = 0; i < services_count; i++) {
        uint32_t number = 0;
        if (services[i].is_strict &&
            (world->engine == NULL ||
             !store_find_consumer(
                 engine_store(world->engine),
                 (struct span){(const uint8_t *)services[i].identity, strlen(services[i].identity)},
                 &number))) {
            return false;
        }
    }
    return true;
}

static void
upload(struct world *world, struct peer *peer)
{
    struct object_item item = {.size = 1};
    random_draw_uid(&world->random, &item.uid);
    struct command command = {.verb = VERB_UPLOAD, .id = ++peer->next_id};
    command.objects = (struct objects){.items = &item, .items_count = 1};
    world_send(world, peer, &command);
}

static void
produce(struct world *world, struct peer *peer, const struct weather *weather)
{
    static const char types[] = "aaaabbcdefgkz";
    if (peer->phase != PEER_READY) {
        return;
    }
    if (random_is(&world->random, weather->upload_permille)) {
        upload(world, peer);
    }
    if (!random_is(&world->random, weather->submit_permille)) {
        return;
    }
    char type = types[random_below(&world->random, sizeof types - 1)];
    struct uid first;
    if (peer_submit(world, peer, type, 1 + random_below(&world->random, 3), NULL,
                    (enum priority)random_below(&world->random, PRIORITIES_COUNT), &first) != 0 &&
        random_is(&world->random, 100)) {
        peer_wait(world, peer, &first);
    }
}

static struct peer *
any_peer(struct world *world)
{
    return &world->peers[random_below(&world->random, world->peers_count)];
}

static void
trouble_peers(struct world *world, const struct weather *weather)
{
    struct random *random = &world->random;
    if (random_is(random, weather->die_permille)) {
        peer_die(world, any_peer(world), 1 + (int64_t)random_below(random, EXPIRY_MS * 2));
    }
    if (random_is(random, weather->stop_permille)) {
        any_peer(world)->stopped_until_ms =
            world->now_ms + (int64_t)random_below(random, EXPIRY_MS * 3);
    }
    if (random_is(random, weather->leave_permille)) {
        struct peer *peer = any_peer(world);
        if (peer->phase == PEER_READY && peer->role == PEER_WORKER) {
            peer_leave(world, peer, 1 + (int64_t)random_below(random, 500));
        }
    }
}

static void
trouble_broker(struct world *world, struct weather *weather)
{
    struct random *random = &world->random;
    if (random_is(random, weather->kill_permille)) {
        world_kill_broker(world, 1 + (int64_t)random_below(random, EXPIRY_MS));
    }
    if (random_is(random, weather->freeze_permille)) {
        world->frozen_until_ms = world->now_ms + (int64_t)random_below(random, EXPIRY_MS * 4);
    }
    if (random_is(random, weather->fail_permille)) {
        disk_fail_next_commit(world->disk);
    }
    if (random_is(random, weather->full_permille)) {
        disk_set_full(world->disk, true);
        weather->full_until_ms = world->now_ms + (int64_t)random_below(random, 300);
    }
    if (weather->full_until_ms != 0 && world->now_ms >= weather->full_until_ms) {
        weather->full_until_ms = 0;
        disk_set_full(world->disk, false);
    }
    if (random_is(random, weather->clock_permille)) {
        world->wall_ms += (int64_t)random_below(random, 7200000) - 3600000;
    }
}

static void
storm(struct world *world, struct weather *weather, uint64_t events_min)
{
    while (world->events_count < events_min && !world_is_violated(world)) {
        for (size_t i = 0; i < world->peers_count; i++) {
            if (world->peers[i].role == PEER_PRODUCER) {
                produce(world, &world->peers[i], weather);
            }
        }
        trouble_peers(world, weather);
        trouble_broker(world, weather);
        world_step(world, 1 + (int64_t)random_below(&world->random, 8));
    }
}

// No more faults, and every service has living workers.
static void
calm(struct world *world)
{
    world->is_calm = true;
    world->crash_permille = 0;
    world->return_permille = 0;
    world->frozen_until_ms = 0;
    world->tasks_max = 1000000;
    disk_set_full(world->disk, false);
    disk_set_delay(world->disk, 3, 3);
    world->delay_ms_max = 3;
    for (size_t i = 0; i < world->peers_count; i++) {
        struct peer *peer = &world->peers[i];
        peer->is_killed_by_tasks = false;
        peer->stopped_until_ms = 0;
        peer->wants_to_leave = false;
        if (peer->service != NULL && peer->service->service_version != NULL) {
            peer_die(world, peer, 0); // two binds of one name would replace each other for ever
            peer->revive_ms = 0;
            continue;
        }
        if (peer->phase == PEER_DEAD && peer->revive_ms == 0) {
            peer->revive_ms = world->now_ms + 1;
        }
    }
    world_trace(world, "calm");
}

static struct peer *
ready_operator(struct world *world)
{
    for (size_t i = 0; i < world->peers_count; i++) {
        struct peer *peer = &world->peers[i];
        if (peer->role == PEER_OPERATOR && peer->phase == PEER_READY) {
            return peer;
        }
    }
    return NULL;
}

static bool
is_answered(struct world *world)
{
    const struct peer *peer = ready_operator(world);
    return peer != NULL && peer->answered_query;
}

static void
ask_for_crashed(struct world *world)
{
    struct peer *peer = ready_operator(world);
    if (peer == NULL) {
        world_violated(world, 18, "the operator has no session in the end");
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct value args = value_map();
    value_put(&arena, &args, "state", value_text(&arena, "Crashed"));
    value_put(&arena, &args, "limit", value_int(LIMIT_PAGE_ROWS));
    peer_query(world, peer, "tasks", &args);
    arena_fini(&arena);
    if (!world_run(world, is_answered, 10000)) {
        world_violated(world, 18, "a query was not answered");
    }
}

static void
check_rest(struct world *world)
{
    struct store_stats stats = {0};
    store_stats(engine_store(world->engine), &stats);
    if (stats.state_counts[TASK_DECLARED] + stats.state_counts[TASK_SPAWNED] +
            stats.state_counts[TASK_STARTED] >
        0) {
        world_violated(world, 14, "no analysis is open, but tasks are");
    }
}

// What keeps the world from coming to rest, for the report.
static void
explain_unrest(struct world *world)
{
    struct store_stats stats = {0};
    size_t works_count = 0;
    size_t sent_count = 0;
    if (world->engine != NULL) {
        store_stats(engine_store(world->engine), &stats);
    }
    for (size_t i = 0; i < world->peers_count; i++) {
        works_count += peer_works_count(&world->peers[i]);
        sent_count += world->peers[i].sent_count;
    }
    world_violated(world, 18,
                   "no rest: %llu analyses, %llu declared, %llu spawned, %llu started, "
                   "%llu suspect, %llu intents, %zu works, %zu open SUBMITs",
                   (unsigned long long)stats.analyses_count,
                   (unsigned long long)stats.state_counts[TASK_DECLARED],
                   (unsigned long long)stats.state_counts[TASK_SPAWNED],
                   (unsigned long long)stats.state_counts[TASK_STARTED],
                   (unsigned long long)stats.suspects_count,
                   (unsigned long long)stats.intents_count, works_count, sent_count);
}

void
storm_run(uint64_t seed, uint64_t events_min, bool is_traced, struct storm_result *result)
{
    struct world *world = world_new(seed, is_traced);
    struct weather weather;
    *result = (struct storm_result){0};
    world_start_broker(world);
    populate(world);
    if (!world_run(world, has_all_consumers, 10000)) {
        world_violated(world, 18, "the services do not register");
    }
    // Only now may things go wrong: a consumer exists from its first registration on (S16).
    if (!world_run(world, world_is_quiet, 10000)) {
        world_violated(world, 18, "the start does not come to rest");
    }
    draw_weather(world, &weather);
    world->is_calm = false;
    storm(world, &weather, events_min);
    uint64_t limit = world->tasks_max;
    calm(world);
    bool is_quiet = world_run(world, world_is_quiet, 30000);
    if (!is_quiet && limit < world->tasks_max && !world_is_violated(world)) {
        // The hard limit was reached with children pending: an operator raises it.
        world_kill_broker(world, 10);
    }
    if (!is_quiet && !world_is_violated(world) && !world_run(world, world_is_quiet, 600000)) {
        explain_unrest(world);
    }
    if (!world_is_violated(world)) {
        check_rest(world);
        ask_for_crashed(world);
        ledger_end(world);
    }
    result->events_count = world->events_count;
    result->acked_count = ledger_acked_count(world);
    result->restarts_count = world->restarts_count;
    (void)snprintf(result->violation, sizeof result->violation, "%s", world->violation);
    world_destroy(&world);
}
