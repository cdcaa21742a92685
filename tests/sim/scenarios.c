// Each scenario builds its own world from the services of storm.c, does one thing, and says what
// must be true afterwards. The ledger's invariants hold in every one of them.
#include "sim/scenarios.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "core/state.h"
#include "sim/storm.h"

enum { FIRST, SECOND, THIRD, SINK, CHANGE, CHANGE_2, TEMP, DRAIN, DRAIN_EMPTY };

enum { SCENARIO = 19 }; // the number under which an expectation fails
#define EXPECT(world, condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            world_violated((world), SCENARIO, __VA_ARGS__);                                        \
        }                                                                                          \
    } while (0)

static bool
are_ready(struct world *world)
{
    for (size_t i = 0; i < world->peers_count; i++) {
        if (world->peers[i].phase != PEER_READY && world->peers[i].phase != PEER_DEAD) {
            return false;
        }
    }
    return world->messages_count == 0 && !store_is_committing(engine_store(world->engine)) &&
           store_batch_is_empty(engine_store(world->engine));
}

static void
settle_down(struct world *world)
{
    EXPECT(world, world_run(world, are_ready, 20000), "the peers do not get ready");
}

static struct peer *
worker(struct world *world, int service, uint32_t window)
{
    struct peer *peer = world_add_peer(world, PEER_WORKER, &services[service]);
    peer->window = window;
    return peer;
}

static struct peer *
producer(struct world *world)
{
    return world_add_peer(world, PEER_PRODUCER, NULL);
}

static void
run_ms(struct world *world, int64_t ms)
{
    (void)world_run(world, NULL, ms);
}

static void
come_to_rest(struct world *world)
{
    EXPECT(world, world_run(world, world_is_quiet, 120000), "the world does not come to rest");
    if (!world_is_violated(world)) {
        ledger_end(world);
    }
}

static struct consumer *
consumer_named(struct world *world, const char *identity)
{
    return world->engine == NULL
               ? NULL
               : map_get(world->engine->consumers_by_identity, identity, strlen(identity));
}

static uint64_t
waiting(struct world *world, const char *identity)
{
    struct consumer *consumer = consumer_named(world, identity);
    struct consumer_record record = {0};
    if (consumer == NULL ||
        !store_consumer(engine_store(world->engine), consumer->number, &record)) {
        return 0;
    }
    return record.waiting_counts[PRIORITY_HIGH] + record.waiting_counts[PRIORITY_NORMAL] +
           record.waiting_counts[PRIORITY_LOW];
}

static uint64_t
crashed(struct world *world)
{
    struct store_stats stats = {0};
    store_stats(engine_store(world->engine), &stats);
    return stats.state_counts[TASK_CRASHED];
}

static bool
is_up(struct world *world)
{
    return world->engine != NULL;
}

static void
kill_and_restart(struct world *world, int64_t down_ms)
{
    world_kill_broker(world, down_ms);
    EXPECT(world, world_run(world, is_up, down_ms + 1000), "the broker does not start");
}

static void
submit(struct world *world, struct peer *peer, char type, size_t count)
{
    while (count > 0) {
        size_t some = count < SENT_TASKS_MAX ? count : SENT_TASKS_MAX;
        if (peer_submit(world, peer, type, some, NULL, PRIORITY_NORMAL, NULL) == 0) {
            run_ms(world, 50);
            continue;
        }
        count -= some;
    }
}

// ---- Scenarios

// design §5 "Resuming", promise 1 and 2.
static void
killed_with_tasks(struct world *world)
{
    world->tasks_max = 100000;
    world_start_broker(world);
    struct peer *busy = worker(world, SINK, 4);
    struct peer *from = producer(world);
    busy->work_ms = 400;
    settle_down(world);
    submit(world, from, 'c', 12);
    run_ms(world, 150);
    EXPECT(world, peer_works_count(busy) == 4, "the window is not used: %zu",
           peer_works_count(busy));
    kill_and_restart(world, 100);
    come_to_rest(world);
    EXPECT(world, busy->delivered_count == 12, "12 tasks were delivered %" PRIu64 " times",
           busy->delivered_count);
    EXPECT(world, busy->finished_count == 12, "%" PRIu64 " of 12 finished", busy->finished_count);
    EXPECT(world, busy->revoked_count == 0, "a lease was taken away");
}

// The task was settled before the kill; its REPORTED got lost.
static void
unknown_report(struct world *world)
{
    world_start_broker(world);
    struct peer *busy = worker(world, SINK, 1);
    struct peer *from = producer(world);
    busy->work_ms = 100;
    settle_down(world);
    submit(world, from, 'c', 1);
    run_ms(world, 60);
    world->delay_ms_max = 0;
    disk_set_delay(world->disk, 0, 0);
    for (int i = 0; i < 200 && busy->finished_count == 0; i++) {
        // The moment at which the report is durable and its answer on the way.
        uint64_t left = engine_store(world->engine) != NULL ? world->engine->leases.len : 1;
        world_step(world, 1);
        if (left == 0 && store_batch_is_empty(engine_store(world->engine)) &&
            !store_is_committing(engine_store(world->engine)) && busy->finished_count == 0) {
            break;
        }
    }
    world->delay_ms_max = 3;
    struct work work = {0};
    for (size_t i = 0; i < WORKS_MAX; i++) {
        work = busy->works[i].is_used ? busy->works[i] : work;
    }
    kill_and_restart(world, 50);
    come_to_rest(world);
    EXPECT(world, busy->finished_count + busy->gone_count + busy->revoked_count == 1,
           "the report was answered %" PRIu64 " times", busy->finished_count + busy->gone_count);
    EXPECT(world, busy->delivered_count == 1, "the task ran twice");
    (void)work;
}

// Promise 2: the first `concurrency` unsettled ones count, Started heard or not.
static void
killer_task(struct world *world)
{
    world_start_broker(world);
    struct peer *victim = worker(world, FIRST, 4);
    struct peer *from = producer(world);
    victim->is_killed_by_tasks = true;
    (void)worker(world, SINK, 4);
    (void)worker(world, SECOND, 4);
    (void)worker(world, THIRD, 4);
    settle_down(world);
    submit(world, from, 'k', 1);
    submit(world, from, 'a', 3);
    come_to_rest(world);
    EXPECT(world, crashed(world) == 1, "%" PRIu64 " tasks crashed, only the killer should",
           crashed(world));
}

static bool
is_full(struct world *world)
{
    return store_pressure(engine_store(world->engine)) == STORE_SOFT;
}

// §5 "Flow control": what a session that holds a delivery submits passes.
static void
full_with_children(struct world *world)
{
    world->tasks_max = 40;
    world_start_broker(world);
    struct peer *from = producer(world);
    struct peer *first = worker(world, FIRST, 1);
    first->is_lazy = true;
    (void)worker(world, SECOND, 1);
    settle_down(world);
    world->peers[2].is_lazy = true;
    for (int i = 0; i < 12; i++) {
        (void)peer_submit(world, from, 'a', 3, NULL, PRIORITY_NORMAL, NULL);
    }
    EXPECT(world, world_run(world, is_full, 5000), "the soft limit is not reached");
    EXPECT(world, world_run(world, NULL, 500), "…");
    EXPECT(world, from->errors[ZKT_BUSY] > 0, "the producer was not refused");
    first->is_lazy = false;
    world->peers[2].is_lazy = false;
    (void)worker(world, THIRD, 4);
    (void)worker(world, SINK, 4);
    (void)worker(world, TEMP, 4);
    come_to_rest(world);
    EXPECT(world, first->errors[ZKT_BUSY] == 0 || first->finished_count > 0,
           "a worker with a delivery was refused for good");
    EXPECT(world, from->sent_count == 0, "a refused SUBMIT was never applied");
}

// §5 "SUBMIT in order, once".
static void
refused_then_later(struct world *world)
{
    world_start_broker(world);
    struct peer *from = producer(world);
    (void)worker(world, SINK, 4);
    settle_down(world);
    disk_set_full(world->disk, true);
    run_ms(world, 50);
    for (int i = 0; i < 6; i++) {
        (void)peer_submit(world, from, 'c', 2, NULL, PRIORITY_NORMAL, NULL);
    }
    run_ms(world, 300);
    EXPECT(world, from->errors[ZKT_DISK_FULL] > 0, "a full disk does not refuse");
    EXPECT(world, from->errors[ZKT_SEQUENCE_GAP] > 0, "later numbers are not refused as a gap");
    EXPECT(world, ledger_acked_count(world) == 0, "something was acknowledged");
    disk_set_full(world->disk, false);
    come_to_rest(world);
    EXPECT(world, ledger_acked_count(world) == 12, "%" PRIu64 " of 12 were acknowledged",
           ledger_acked_count(world));
}

// A parent reports Finished while the SUBMIT of its children is refused: NOT_YET.
static void
finished_before_children(struct world *world)
{
    world_start_broker(world);
    struct peer *from = producer(world);
    struct peer *first = worker(world, FIRST, 1);
    (void)worker(world, SINK, 4);
    (void)worker(world, SECOND, 4);
    (void)worker(world, THIRD, 4);
    (void)worker(world, TEMP, 4);
    first->work_ms = 100;
    settle_down(world);
    submit(world, from, 'a', 8);
    for (int i = 0; i < 40; i++) {
        disk_set_full(world->disk, i % 2 == 0);
        run_ms(world, 60);
    }
    disk_set_full(world->disk, false);
    come_to_rest(world);
    EXPECT(world, first->errors[ZKT_DISK_FULL] > 0, "no child was refused");
    EXPECT(world, first->finished_count == 8, "%" PRIu64 " of 8 finished", first->finished_count);
}

// §5 "Binds": a worker that resumes with an old bind keeps its leases and registers nothing.
static void
retired_returns(struct world *world)
{
    world_start_broker(world);
    struct peer *old = worker(world, CHANGE, 2);
    struct peer *from = producer(world);
    old->work_ms = 2000;
    settle_down(world);
    submit(world, from, 'd', 2);
    run_ms(world, 100);
    EXPECT(world, peer_works_count(old) == 2, "the old worker has no work");
    world_disconnect(world, old);
    struct peer *new_one = worker(world, CHANGE_2, 2);
    EXPECT(world, world_run(world, are_ready, 5000), "the new worker does not get ready");
    struct consumer *consumer = consumer_named(world, "p.change");
    EXPECT(world, consumer != NULL && consumer->generation == new_one->generation,
           "the new bind is not in force");
    run_ms(world, 300);
    EXPECT(world, old->is_retiring || old->phase == PEER_DEAD, "the old worker was not retired");
    EXPECT(world, consumer->generation == new_one->generation, "the old bind came back");
    EXPECT(world, old->revoked_count == 0, "the old worker lost its leases");
    new_one->is_retiring = false;
    for (int i = 0; i < 600 && old->finished_count < 2; i++) {
        run_ms(world, 10);
    }
    EXPECT(world, old->finished_count == 2, "the old worker could not finish: %" PRIu64,
           old->finished_count);
}

// T7: the same filters and persistence from another library replace nothing.
static void
two_languages(struct world *world)
{
    world_start_broker(world);
    struct peer *one = worker(world, SINK, 2);
    settle_down(world);
    uint64_t generation = one->generation;
    struct peer *two = worker(world, SINK, 2);
    struct peer *three = worker(world, SINK, 2);
    three->is_joining = true;
    settle_down(world);
    EXPECT(world, two->generation == generation && three->generation == generation,
           "the bind was replaced");
    EXPECT(world, !one->is_retiring && !two->is_retiring, "a worker was retired");
    struct peer *from = producer(world);
    settle_down(world);
    submit(world, from, 'c', 30);
    come_to_rest(world);
    EXPECT(world, one->finished_count > 0 && two->finished_count > 0 && three->finished_count > 0,
           "not all take part: %" PRIu64 ", %" PRIu64 ", %" PRIu64, one->finished_count,
           two->finished_count, three->finished_count);
}

// Promise 4, both ways.
static void
temporary_restart(struct world *world)
{
    world_start_broker(world);
    struct peer *temp = worker(world, TEMP, 2);
    struct peer *from = producer(world);
    (void)worker(world, SINK, 2);
    temp->work_ms = 300;
    settle_down(world);
    submit(world, from, 'f', 6);
    run_ms(world, 100);
    kill_and_restart(world, 200);
    run_ms(world, EXPIRY_MS * 3);
    EXPECT(world, consumer_named(world, "t.temp") != NULL,
           "it did not survive its worker's return");
    come_to_rest(world);
    EXPECT(world, temp->delivered_count == temp->finished_count,
           "%" PRIu64 " tasks were delivered %" PRIu64 " times", temp->finished_count,
           temp->delivered_count);
    submit(world, from, 'f', 6);
    run_ms(world, 60);
    peer_die(world, temp, 0);
    kill_and_restart(world, 100);
    run_ms(world, EXPIRY_MS);
    EXPECT(world, consumer_named(world, "t.temp") != NULL, "it went before the grace was over");
    run_ms(world, EXPIRY_MS * 2);
    EXPECT(world, consumer_named(world, "t.temp") == NULL, "it stays without workers");
    come_to_rest(world);
}

// §5 "Liveness": a stopped broker expires nobody.
static void
stopped_broker(struct world *world)
{
    world_start_broker(world);
    struct peer *busy = worker(world, SINK, 4);
    struct peer *from = producer(world);
    busy->work_ms = 300;
    settle_down(world);
    submit(world, from, 'c', 8);
    run_ms(world, 100);
    for (int i = 0; i < 3; i++) {
        // The peers are patient here: their own expiry is another matter.
        world->frozen_until_ms = world->now_ms + EXPIRY_MS * 5;
        busy->stopped_until_ms = world->frozen_until_ms;
        from->stopped_until_ms = world->frozen_until_ms;
        world_step(world, EXPIRY_MS * 5 + 1);
        busy->heard_ms = world->now_ms;
        from->heard_ms = world->now_ms;
        run_ms(world, 50);
    }
    EXPECT(world, world->engine->sessions_lost_count == 0, "%" PRIu64 " sessions were lost",
           world->engine->sessions_lost_count);
    come_to_rest(world);
    EXPECT(world, busy->delivered_count == 8, "a task was delivered twice");
}

// Promise 2: a worker stopped past its expiry is fenced when it wakes.
static void
stopped_worker(struct world *world)
{
    world_start_broker(world);
    struct peer *sleeper = worker(world, SINK, 2);
    struct peer *from = producer(world);
    sleeper->work_ms = 200;
    settle_down(world);
    submit(world, from, 'c', 2);
    run_ms(world, 100);
    sleeper->stopped_until_ms = world->now_ms + EXPIRY_MS * 4;
    struct peer *other = worker(world, SINK, 2);
    run_ms(world, EXPIRY_MS + 1000);
    EXPECT(world, other->delivered_count == 2, "not redelivered within the expiry and a second");
    come_to_rest(world);
    EXPECT(world, other->finished_count == 2, "the other worker finished %" PRIu64 " of 2",
           other->finished_count);
    EXPECT(world, sleeper->finished_count == 0, "the sleeper's late report was taken");
}

// Promise 3, with the kill between the children and the report of their parent.
static void
held_children_restart(struct world *world)
{
    world_start_broker(world);
    struct peer *third = worker(world, THIRD, 2);
    struct peer *from = producer(world);
    struct peer *sink = worker(world, SINK, 8);
    (void)worker(world, SECOND, 4);
    settle_down(world);
    for (int round = 0; round < 12; round++) {
        submit(world, from, 'b', 3);
        run_ms(world, 20 + round * 7);
        if (round % 3 == 2) {
            peer_die(world, third, 100); // another delivery, other children
        }
        kill_and_restart(world, 50);
        settle_down(world);
    }
    (void)worker(world, TEMP, 4);
    come_to_rest(world);
    EXPECT(world, third->finished_count + third->gone_count > 0, "no parent finished");
    EXPECT(world, sink->finished_count > 0, "no child got out");
}

// Promise 11: after a failed commit nothing is said; the restart has what was acknowledged.
static void
failed_commit(struct world *world)
{
    world_start_broker(world);
    struct peer *from = producer(world);
    (void)worker(world, SINK, 4);
    settle_down(world);
    submit(world, from, 'c', 8);
    run_ms(world, 100);
    uint64_t acked = ledger_acked_count(world);
    disk_fail_next_commit(world->disk);
    submit(world, from, 'c', 8);
    run_ms(world, 30);
    EXPECT(world, world->restarts_count == 1, "the broker goes on after a failed commit");
    EXPECT(world, acked == 8, "%" PRIu64 " of 8 were acknowledged", acked);
    come_to_rest(world);
    EXPECT(world, ledger_acked_count(world) == 16, "%" PRIu64 " of 16 were acknowledged",
           ledger_acked_count(world));
}

// P3, S20: high before normal before low, first in first out.
static void
strict_priority(struct world *world)
{
    world_start_broker(world);
    struct peer *sink = worker(world, SINK, 1);
    struct peer *from = producer(world);
    sink->is_lazy = true;
    settle_down(world);
    submit(world, from, 'c', 1);
    run_ms(world, 60);
    EXPECT(world, peer_works_count(sink) == 1, "the worker is not busy");
    struct uid firsts[PRIORITIES_COUNT];
    (void)peer_submit(world, from, 'c', 3, NULL, PRIORITY_LOW, &firsts[PRIORITY_LOW]);
    (void)peer_submit(world, from, 'c', 3, NULL, PRIORITY_NORMAL, &firsts[PRIORITY_NORMAL]);
    (void)peer_submit(world, from, 'c', 3, NULL, PRIORITY_HIGH, &firsts[PRIORITY_HIGH]);
    run_ms(world, 100);
    EXPECT(world, waiting(world, "p.sink") == 9, "%" PRIu64 " of 9 wait", waiting(world, "p.sink"));
    struct uid seen[10];
    size_t seen_count = 0;
    sink->is_lazy = false;
    for (int i = 0; i < 4000 && seen_count < 10; i++) {
        world_step(world, 1);
        for (size_t j = 0; j < WORKS_MAX; j++) {
            const struct work *work = &sink->works[j];
            bool is_new = work->is_used;
            for (size_t k = 0; k < seen_count; k++) {
                is_new = is_new && !uid_equal(&seen[k], &work->root);
            }
            if (is_new && seen_count < 10) {
                seen[seen_count++] = work->root;
            }
        }
    }
    EXPECT(world,
           seen_count == 10 && uid_equal(&seen[1], &firsts[PRIORITY_HIGH]) &&
               uid_equal(&seen[4], &firsts[PRIORITY_NORMAL]) &&
               uid_equal(&seen[7], &firsts[PRIORITY_LOW]),
           "the order of priorities is not kept");
    come_to_rest(world);
}

// S18, S19: an empty bind drains a queue without delivering anything.
static void
drain_by_empty_filters(struct world *world)
{
    world_start_broker(world);
    struct peer *old = worker(world, DRAIN, 1);
    struct peer *from = producer(world);
    old->is_lazy = true;
    settle_down(world);
    submit(world, from, 'g', 20);
    run_ms(world, 100);
    peer_die(world, old, 0);
    run_ms(world, EXPIRY_MS + 500);
    EXPECT(world, waiting(world, "p.drain") == 20, "%" PRIu64 " of 20 wait",
           waiting(world, "p.drain"));
    struct peer *broom = worker(world, DRAIN_EMPTY, 4);
    settle_down(world);
    run_ms(world, 500);
    EXPECT(world, waiting(world, "p.drain") == 0, "%" PRIu64 " still wait",
           waiting(world, "p.drain"));
    EXPECT(world, broom->delivered_count == 0, "a rejected task was delivered");
    peer_leave(world, broom, 0);
    run_ms(world, EXPIRY_MS);
    EXPECT(world, consumer_named(world, "p.drain") == NULL, "the temporary consumer stays");
    come_to_rest(world);
    EXPECT(world, world->finished_events == 20, "%" PRIu64 " of 20 analyses finished",
           world->finished_events);
}

// I4, S12, promise 7: a retried task completes its analysis once more.
static void
retry_crashed(struct world *world)
{
    world_start_broker(world);
    struct peer *sink = worker(world, SINK, 1);
    struct peer *from = producer(world);
    struct peer *operator_peer = world_add_peer(world, PEER_OPERATOR, NULL);
    settle_down(world);
    world->crash_permille = 1000;
    submit(world, from, 'c', 1);
    for (int i = 0; i < 100 && crashed(world) == 0; i++) {
        struct uid uid = {0};
        run_ms(world, 5);
        for (size_t j = 0; j < WORKS_MAX; j++) {
            uid = sink->works[j].is_used ? sink->works[j].uid : uid;
        }
        if (!uid_is_none(&uid)) {
            operator_peer->uploaded = uid;
        }
    }
    EXPECT(world, crashed(world) == 1, "the task did not crash");
    run_ms(world, 50);
    world->crash_permille = 0;
    char text[UID_TEXT_SIZE];
    uid_format(&operator_peer->uploaded, text);
    ledger_retried(world, &operator_peer->uploaded);
    peer_control(world, operator_peer, "retry", "uid", text);
    run_ms(world, 300);
    EXPECT(world, operator_peer->answered_query, "retry was not answered");
    come_to_rest(world);
    EXPECT(world, crashed(world) == 0, "the crashed task is still there");
    EXPECT(world, world->finished_events == 2, "%" PRIu64 " completions instead of 2",
           world->finished_events);
}

// The operator's delete, and who may.
static void
delete_consumer(struct world *world)
{
    world_start_broker(world);
    struct peer *sink = worker(world, SINK, 1);
    struct peer *from = producer(world);
    struct peer *operator_peer = world_add_peer(world, PEER_OPERATOR, NULL);
    settle_down(world);
    peer_control(world, operator_peer, "delete_consumer", "identity", "p.sink");
    run_ms(world, 50);
    EXPECT(world, operator_peer->errors[ZKT_IN_USE] == 1, "a consumer in use was deleted");
    peer_control(world, from, "delete_consumer", "identity", "p.sink");
    run_ms(world, 50);
    EXPECT(world, from->errors[ZKT_DENIED] == 1, "a producer may delete consumers");
    peer_leave(world, sink, 0);
    run_ms(world, 100);
    submit(world, from, 'c', 10);
    run_ms(world, 100);
    EXPECT(world, waiting(world, "p.sink") == 10, "S16: %" PRIu64 " of 10 wait",
           waiting(world, "p.sink"));
    peer_control(world, operator_peer, "delete_consumer", "identity", "p.sink");
    run_ms(world, 300);
    EXPECT(world, operator_peer->answered_query, "the delete was not answered");
    EXPECT(world, consumer_named(world, "p.sink") == NULL, "the consumer is still there");
    EXPECT(world, world->finished_events == 10, "%" PRIu64 " of 10 analyses finished",
           world->finished_events);
    EXPECT(world, world_run(world, world_is_quiet, 10000), "the world does not come to rest");
}

// WAIT, and an analysis that nobody takes (S4).
static void
wait_for_analysis(struct world *world)
{
    world_start_broker(world);
    struct peer *sink = worker(world, SINK, 1);
    struct peer *from = producer(world);
    sink->work_ms = 200;
    settle_down(world);
    struct uid root;
    struct uid untaken;
    (void)peer_submit(world, from, 'c', 1, NULL, PRIORITY_NORMAL, &root);
    run_ms(world, 50);
    peer_wait(world, from, &root);
    run_ms(world, 50);
    EXPECT(world, from->done_count == 0, "DONE came before the end");
    run_ms(world, 400);
    EXPECT(world, from->done_count == 1, "DONE did not come");
    peer_wait(world, from, &root);
    run_ms(world, 50);
    EXPECT(world, from->done_count == 2, "a finished analysis is not remembered");
    (void)peer_submit(world, from, 'z', 1, NULL, PRIORITY_NORMAL, &untaken);
    run_ms(world, 100);
    peer_wait(world, from, &untaken);
    run_ms(world, 50);
    EXPECT(world, from->done_count == 3, "an analysis without takers never ends");
    struct uid unknown = {.bytes = {1}};
    peer_wait(world, from, &unknown);
    run_ms(world, 50);
    EXPECT(world, from->errors[ZKT_NOT_FOUND] == 1, "WAIT for nothing is not NOT_FOUND");
    come_to_rest(world);
}

// ---- Millions

static const struct span mass_peer = {(const uint8_t *)"mass", 4};

static bool
ignore_send(void *arg, struct span peer, const struct command *command)
{
    (void)arg;
    (void)peer;
    (void)command;
    return true;
}

static void
fill(struct world *world, struct arena *arena, uint64_t tasks_count)
{
    struct command hello = {.verb = VERB_HELLO, .id = 1};
    hello.hello = (struct hello){.version = PROTOCOL_VERSION, .role = ROLE_PRODUCER};
    random_draw_uid(&world->random, &hello.hello.instance);
    engine_command(world->engine, mass_peer, &hello);
    struct task *tasks = arena_alloc(arena, LIMIT_SUBMIT_TASKS * sizeof *tasks);
    for (size_t i = 0; i < LIMIT_SUBMIT_TASKS; i++) {
        tasks[i] = (struct task){.priority = PRIORITY_NORMAL, .headers = value_map()};
        value_put(arena, &tasks[i].headers, "type", value_text(arena, "g"));
        tasks[i].header_keys = value_list();
        tasks[i].payload = span_of("\x80", 1);
        tasks[i].payload_persistent = tasks[i].payload;
    }
    for (uint64_t number = 1; tasks_count > 0; number++) {
        size_t some = tasks_count < LIMIT_SUBMIT_TASKS ? (size_t)tasks_count : LIMIT_SUBMIT_TASKS;
        for (size_t i = 0; i < some; i++) {
            random_draw_uid(&world->random, &tasks[i].uid);
            tasks[i].root = tasks[i].uid;
        }
        struct command command = {.verb = VERB_SUBMIT, .id = number};
        command.submit = (struct submit){.number = number, .tasks = tasks, .tasks_count = some};
        engine_command(world->engine, mass_peer, &command);
        tasks_count -= some;
        world_turn(world);
        if (number % 16 == 0) {
            world->now_ms++;
            disk_advance(world->disk, world->now_ms);
        }
    }
}

// Mass operations are intents: effective at once, then slices; nobody waits (design §4).
static void
mass_drop_of(struct world *world, uint64_t tasks_count)
{
    world->tasks_max = tasks_count * 2;
    world->is_quiet = true;
    disk_set_blind(world->disk);
    disk_set_delay(world->disk, 0, 0);
    world_start_broker(world);
    struct peer *old = worker(world, DRAIN, 1);
    struct peer *sink = worker(world, SINK, 4);
    struct peer *from = producer(world);
    settle_down(world);
    old->is_lazy = true;
    world->engine->options.effects.send = ignore_send;
    struct arena arena;
    arena_init(&arena);
    fill(world, &arena, tasks_count);
    arena_fini(&arena);
    world_restore_send(world);
    peer_leave(world, old, 0);
    settle_down(world);
    struct consumer *consumer = consumer_named(world, "p.drain");
    EXPECT(world, consumer != NULL && waiting(world, "p.drain") >= tasks_count - 1,
           "%" PRIu64 " of %" PRIu64 " wait", waiting(world, "p.drain"), tasks_count);
    if (world_is_violated(world)) {
        return;
    }
    struct peer *operator_peer = world_add_peer(world, PEER_OPERATOR, NULL);
    settle_down(world);
    peer_control(world, operator_peer, "delete_consumer", "identity", "p.drain");
    run_ms(world, 30);
    EXPECT(world, consumer_named(world, "p.drain") == NULL, "the name is not free at once");
    struct store_stats before = {0};
    store_stats(engine_store(world->engine), &before);
    EXPECT(world, before.state_counts[TASK_SPAWNED] > tasks_count / 2,
           "the slices are not slices: %" PRIu64 " left", before.state_counts[TASK_SPAWNED]);
    submit(world, from, 'c', 4);
    run_ms(world, 200);
    EXPECT(world, sink->finished_count == 4, "others wait for the drop: %" PRIu64 " of 4",
           sink->finished_count);
    EXPECT(world, world_run(world, world_is_quiet, 1 << 30), "the drop does not end");
    struct store_stats after = {0};
    store_stats(engine_store(world->engine), &after);
    EXPECT(world, after.tasks_count == 0, "%" PRIu64 " tasks are left", after.tasks_count);
}

static void
mass_drop(struct world *world)
{
    mass_drop_of(world, 5000000);
}

const struct scenario scenarios[] = {
    {"killed-with-tasks", "tasks in process and prefetched run once", killed_with_tasks},
    {"unknown-report", "a report that the restarted broker does not know is answered",
     unknown_report},
    {"killer-task", "a task that kills its worker crashes, others are not counted", killer_task},
    {"full-with-children", "a full pipeline drains", full_with_children},
    {"refused-then-later", "a refusal keeps the order", refused_then_later},
    {"finished-before-children", "no parent finishes before its children are in",
     finished_before_children},
    {"retired-returns", "an old bind does not come back", retired_returns},
    {"two-languages", "one identity, many libraries, one bind", two_languages},
    {"temporary-restart", "a temporary consumer lives as long as its workers", temporary_restart},
    {"stopped-broker", "a stopped broker expires nobody", stopped_broker},
    {"stopped-worker", "a stopped worker is fenced", stopped_worker},
    {"mass-drop", "5 million tasks of a dropped consumer go in slices", mass_drop},
    {"held-children-restart", "a subtree is exact over restarts", held_children_restart},
    {"failed-commit", "nothing is said after a failed commit", failed_commit},
    {"strict-priority", "high, normal, low; first in, first out", strict_priority},
    {"drain-by-empty-filters", "an empty bind drains undelivered", drain_by_empty_filters},
    {"retry-crashed", "a retry completes the analysis again", retry_crashed},
    {"delete-consumer", "only unused, only by an operator", delete_consumer},
    {"wait-for-analysis", "DONE once, remembered, and for nothing", wait_for_analysis},
};
const size_t scenarios_count = sizeof scenarios / sizeof *scenarios;
