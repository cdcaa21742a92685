// A client as libzkarton is one: SUBMITs in order with numbers, sent again from the first open one
// after a refusal or a new connection; HELLO with everything it holds; REPORTs repeated until they
// are answered.
#include "sim/world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/command.h"

enum { RETRY_MS = 30, WORK_MS_MAX = 40 };

static struct command
command_new(struct peer *peer, enum verb verb)
{
    return (struct command){.verb = verb, .id = ++peer->next_id};
}

static struct work *
find_work(struct peer *peer, uint64_t delivery)
{
    for (size_t i = 0; i < WORKS_MAX; i++) {
        if (peer->works[i].is_used && peer->works[i].delivery == delivery) {
            return &peer->works[i];
        }
    }
    return NULL;
}

size_t
peer_works_count(const struct peer *peer)
{
    size_t count = 0;
    for (size_t i = 0; i < WORKS_MAX; i++) {
        count += peer->works[i].is_used;
    }
    return count;
}

bool
peer_is_idle(const struct peer *peer)
{
    return peer->sent_count == 0 && peer_works_count(peer) == 0;
}

static void
drop_sent(struct peer *peer, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes_fini(&peer->sent[i].frame);
    }
    memmove(peer->sent, peer->sent + count, (peer->sent_count - count) * sizeof *peer->sent);
    peer->sent_count -= count;
}

void
peer_clear(struct peer *peer)
{
    drop_sent(peer, peer->sent_count);
    memset(peer->works, 0, sizeof peer->works);
}

void
peer_start(struct world *world, struct peer *peer)
{
    zkt_assert(peer->phase == PEER_DEAD);
    peer_clear(peer);
    random_draw_uid(&world->random, &peer->instance);
    peer->phase = PEER_OFFLINE;
    peer->pid += 100;
    peer->connection = 0;
    peer->last_number = 0;
    peer->generation = 0;
    peer->is_retiring = false;
    peer->wants_to_leave = false;
    peer->is_leaving = false;
    peer->resend_ms = 0;
    peer->revive_ms = 0;
    peer->stopped_until_ms = 0;
    peer->connect_ms = world->now_ms;
    if (peer->window == 0) {
        peer->window = 1 + (uint32_t)random_below(&world->random, 8);
    }
    world_trace(world, "peer %zu (%s) starts", peer->index, peer->identity);
}

void
peer_die(struct world *world, struct peer *peer, int64_t revive_after_ms)
{
    if (peer->phase == PEER_DEAD) {
        return;
    }
    world_trace(world, "peer %zu (%s) dies", peer->index, peer->identity);
    world_disconnect(world, peer);
    peer_clear(peer);
    peer->phase = PEER_DEAD;
    peer->revive_ms = revive_after_ms > 0 ? world->now_ms + revive_after_ms : 0;
}

void
peer_lost_connection(struct world *world, struct peer *peer)
{
    if (peer->is_leaving) {
        peer_die(world, peer, peer->revive_ms); // after BYE an instance is no more
        return;
    }
    peer->phase = PEER_OFFLINE;
    peer->connection = 0;
    peer->connect_ms = world->now_ms + (int64_t)random_below(&world->random, 50);
}

static struct value
filters_of(struct arena *arena, const struct service *service)
{
    struct value filters = value_list();
    for (const char *type = service->types; *type != '\0'; type++) {
        struct value rule = value_map();
        value_put(arena, &rule, "type", value_string(arena, type, 1));
        value_append(arena, &filters, rule);
    }
    return filters;
}

static size_t
held_of(const struct peer *peer, struct held *held)
{
    size_t count = 0;
    for (size_t i = 0; i < WORKS_MAX; i++) {
        if (peer->works[i].is_used) {
            held[count++] = (struct held){.delivery = peer->works[i].delivery,
                                          .uid = peer->works[i].uid,
                                          .started = peer->works[i].is_started};
        }
    }
    return count;
}

static void
greet(struct world *world, struct peer *peer)
{
    world_connect(world, peer);
    struct arena arena;
    arena_init(&arena);
    struct held held[WORKS_MAX];
    struct command command = command_new(peer, VERB_HELLO);
    struct hello *hello = &command.hello;
    *hello = (struct hello){.version = PROTOCOL_VERSION,
                            .instance = peer->instance,
                            .identity = span_of_text(peer->identity),
                            .role = ROLE_PRODUCER,
                            .host = span_of_text("sim"),
                            .pid = peer->pid + (int64_t)peer->index,
                            .language = span_of_text("sim"),
                            .concurrency = peer->concurrency};
    if (peer->role == PEER_OPERATOR) {
        hello->role = ROLE_OPERATOR;
    }
    if (peer->role == PEER_WORKER) {
        const struct service *service = peer->service;
        hello->role = ROLE_WORKER;
        hello->join = peer->is_joining;
        hello->has_bind = !peer->is_joining;
        hello->transactional = service->is_transactional;
        hello->bind_generation = peer->generation;
        hello->held = held;
        hello->held_count = held_of(peer, held);
        hello->bind = (struct bind){.identity = hello->identity,
                                    .filters = filters_of(&arena, service),
                                    .persistent = service->is_persistent};
        if (service->service_version != NULL) {
            hello->bind.service_version = value_text(&arena, service->service_version);
        }
    }
    peer->phase = PEER_GREETING;
    peer->heard_ms = world->now_ms;
    world_send(world, peer, &command);
    arena_fini(&arena);
}

// ---- Submitting

static void
resend_all(struct world *world, struct peer *peer)
{
    peer->resend_ms = 0;
    for (size_t i = 0; i < peer->sent_count && peer->connection != 0; i++) {
        world_send_frame(world, peer, bytes_span(&peer->sent[i].frame));
    }
}

static struct task
task_new(struct world *world, struct arena *arena, const struct peer *peer, char type,
         const struct work *parent)
{
    struct task task = {.priority = PRIORITY_NORMAL, .headers = value_map()};
    random_draw_uid(&world->random, &task.uid);
    value_put(arena, &task.headers, "type", value_string(arena, &type, 1));
    task.header_keys = value_list();
    task.payload = span_of("\x80", 1);
    task.payload_persistent = task.payload;
    if (parent == NULL) {
        // A persistent header that must arrive in the whole tree (A3).
        char text[UID_TEXT_SIZE];
        task.root = task.uid;
        uid_format(&task.uid, text);
        value_put(arena, &task.headers, "tree", value_text(arena, text));
        value_append(arena, &task.header_keys, value_text(arena, "tree"));
    } else {
        // What a client may try: the broker overwrites it.
        task.root = peer->instance;
        value_put(arena, &task.headers, "tree", value_text(arena, "forged"));
        value_put(arena, &task.headers, "origin", value_text(arena, "forged"));
    }
    return task;
}

uint64_t
peer_submit(struct world *world, struct peer *peer, char type, size_t count, struct work *parent,
            enum priority priority, struct uid *first)
{
    if (peer->sent_count >= SENT_MAX || peer->phase == PEER_DEAD) {
        return 0;
    }
    struct arena arena;
    arena_init(&arena);
    struct task tasks[SENT_TASKS_MAX] = {0};
    struct resource resource = {.size = 1, .metadata = value_null()};
    count = count < SENT_TASKS_MAX ? count : SENT_TASKS_MAX;
    for (size_t i = 0; i < count; i++) {
        tasks[i] = task_new(world, &arena, peer, type, parent);
        tasks[i].priority = priority;
    }
    if (parent != NULL && !uid_is_none(&parent->resource)) {
        resource.uid = parent->resource; // handed on by reference
    } else if (parent == NULL && !uid_is_none(&peer->uploaded)) {
        resource.uid = peer->uploaded;
        peer->uploaded = (struct uid){0};
    }
    if (!uid_is_none(&resource.uid) && count > 0) {
        tasks[0].resources = &resource;
        tasks[0].resources_count = 1;
    }
    struct sent *sent = &peer->sent[peer->sent_count++];
    *sent = (struct sent){.number = ++peer->last_number,
                          .id = ++peer->next_id,
                          .delivery = parent != NULL ? parent->delivery : 0};
    struct command command = {.verb = VERB_SUBMIT, .id = sent->id};
    command.submit = (struct submit){
        .number = sent->number, .delivery = sent->delivery, .tasks = tasks, .tasks_count = count};
    command_encode(&command, &sent->frame);
    for (size_t i = 0; i < count; i++) {
        ledger_submitted(world, peer, sent->number, &tasks[i], parent, type);
    }
    if (first != NULL && count > 0) {
        *first = tasks[0].uid;
    }
    if (peer->phase == PEER_READY && peer->resend_ms == 0) {
        world_send_frame(world, peer, bytes_span(&sent->frame));
    }
    arena_fini(&arena);
    return peer->last_number;
}

static void
take_submitted(struct world *world, struct peer *peer, const struct submitted *submitted)
{
    (void)world;
    size_t count = 0;
    while (count < peer->sent_count && peer->sent[count].number < submitted->number) {
        count++;
    }
    if (count < peer->sent_count && peer->sent[count].number == submitted->number) {
        // Answers come in order; an earlier one that is missing is asked for again.
        if (count == 0) {
            drop_sent(peer, 1);
        } else if (peer->resend_ms == 0) {
            peer->resend_ms = world->now_ms + RETRY_MS;
        }
    }
}

// ---- Working

static void
report(struct world *world, struct peer *peer, struct work *work)
{
    struct command command = command_new(peer, VERB_REPORT);
    struct report_item item = {
        .delivery = work->delivery, .uid = work->uid, .state = work->state, .after = work->after};
    if (work->state == REPORT_CRASHED) {
        item.error = span_of_text("it did not work");
    }
    if (work->state == REPORT_RETURNED && random_is(&world->random, 500)) {
        item.delay_ms = 1 + (int64_t)random_below(&world->random, 100);
    }
    command.report = (struct report){.items = &item, .items_count = 1};
    work->due_ms = world->now_ms + EXPIRY_MS;
    world_send(world, peer, &command);
}

static void
start(struct world *world, struct peer *peer, struct work *work)
{
    struct command command = command_new(peer, VERB_REPORT);
    struct report_item item = {
        .delivery = work->delivery, .uid = work->uid, .state = REPORT_STARTED};
    command.report = (struct report){.items = &item, .items_count = 1};
    work->is_started = true;
    work->due_ms =
        world->now_ms +
        (peer->work_ms > 0 ? peer->work_ms : (int64_t)random_below(&world->random, WORK_MS_MAX));
    world_send(world, peer, &command);
}

static void
emit_children(struct world *world, struct peer *peer, struct work *work)
{
    const struct service *service = peer->service;
    if (service->children_max == 0) {
        return;
    }
    size_t count = (size_t)random_below(&world->random, service->children_max + 1);
    size_t types_count = strlen(service->emits);
    while (count > 0 && types_count > 0) {
        size_t some = 1 + (size_t)random_below(&world->random, count);
        char type = service->emits[random_below(&world->random, types_count)];
        uint64_t number = peer_submit(world, peer, type, some, work, PRIORITY_LOW, NULL);
        if (number == 0) {
            return;
        }
        work->after = number;
        count -= some < count ? some : count;
    }
}

static void
finish(struct world *world, struct peer *peer, struct work *work)
{
    work->state = REPORT_FINISHED;
    if (random_is(&world->random, world->crash_permille)) {
        work->state = REPORT_CRASHED;
    }
    if (random_is(&world->random, world->return_permille)) {
        work->state = REPORT_RETURNED;
    } else {
        emit_children(world, peer, work);
    }
    work->is_reported = true;
    report(world, peer, work);
}

static size_t
running_count(const struct peer *peer)
{
    size_t count = 0;
    for (size_t i = 0; i < WORKS_MAX; i++) {
        count += peer->works[i].is_used && peer->works[i].is_started && !peer->works[i].is_reported;
    }
    return count;
}

static void
act_on_work(struct world *world, struct peer *peer, struct work *work)
{
    if (work->due_ms > world->now_ms) {
        return;
    }
    if (work->is_reported) {
        if (peer->phase == PEER_READY) {
            report(world, peer, work);
        }
        return;
    }
    if (work->is_started) {
        finish(world, peer, work);
        return;
    }
    if (running_count(peer) >= peer->concurrency || peer->is_lazy) {
        return;
    }
    if (work->type == 'k' && peer->is_killed_by_tasks) {
        peer_die(world, peer, 20);
        return;
    }
    start(world, peer, work);
}

static void
take_deliver(struct world *world, struct peer *peer, const struct deliver *deliver)
{
    for (size_t i = 0; i < deliver->items_count; i++) {
        const struct deliver_item *item = &deliver->items[i];
        struct work *work = NULL;
        for (size_t j = 0; j < WORKS_MAX && work == NULL; j++) {
            work = peer->works[j].is_used ? NULL : &peer->works[j];
        }
        if (work == NULL) {
            world_violated(world, 8, "peer %zu has more than %d deliveries", peer->index,
                           WORKS_MAX);
            return;
        }
        const struct value *type = value_get(&item->task.headers, "type");
        *work = (struct work){.is_used = true,
                              .delivery = item->delivery,
                              .uid = item->task.uid,
                              .root = item->task.root,
                              .type = type != NULL ? type->text[0] : '?',
                              .due_ms = world->now_ms};
        if (item->task.resources_count > 0) {
            work->resource = item->task.resources[0].uid;
        }
        peer->delivered_count++;
    }
}

static void
take_reported(struct world *world, struct peer *peer, const struct reported *reported)
{
    for (size_t i = 0; i < reported->items_count; i++) {
        const struct reported_item *item = &reported->items[i];
        struct work *work = find_work(peer, item->delivery);
        if (work == NULL || !work->is_reported) {
            continue;
        }
        if (item->code == ZKT_NOT_YET) {
            work->due_ms = world->now_ms + RETRY_MS;
            continue;
        }
        peer->lost_count += item->code == ZKT_LEASE_LOST;
        peer->gone_count += item->code == ZKT_OK && item->gone;
        peer->finished_count += item->code == ZKT_OK && !item->gone;
        *work = (struct work){0};
    }
}

static void
take_revoke(struct peer *peer, const struct revoke *revoke)
{
    for (size_t i = 0; i < revoke->deliveries_count; i++) {
        struct work *work = find_work(peer, revoke->deliveries[i]);
        if (work != NULL) {
            *work = (struct work){0};
            peer->revoked_count++;
        }
    }
}

// ---- Receiving

static void
take_welcome(struct world *world, struct peer *peer, const struct welcome *welcome)
{
    peer->phase = PEER_READY;
    peer->generation = welcome->bind_generation;
    peer->is_retiring = welcome->retiring;
    resend_all(world, peer);
    for (size_t i = 0; i < WORKS_MAX && peer->phase == PEER_READY; i++) {
        if (peer->works[i].is_used && peer->works[i].is_reported) {
            report(world, peer, &peer->works[i]);
        }
    }
    if (peer->role == PEER_WORKER && peer->phase == PEER_READY) {
        struct command command = command_new(peer, VERB_CREDIT);
        command.credit_window = peer->window;
        world_send(world, peer, &command);
    }
}

static void
take_error(struct world *world, struct peer *peer, const struct command *command)
{
    enum zkt_err code = command->error.code;
    peer->errors[code]++;
    switch (code) {
    case ZKT_HELLO_REQUIRED:
        if (peer->phase == PEER_READY) {
            world_disconnect(world, peer);
            peer_lost_connection(world, peer);
        }
        break;
    case ZKT_SESSION_REPLACED:
        break; // an old connection of ours
    case ZKT_BUSY:
    case ZKT_DISK_FULL:
    case ZKT_SEQUENCE_GAP:
    case ZKT_LIMIT:
        if (peer->resend_ms == 0) {
            peer->resend_ms = world->now_ms + RETRY_MS;
        }
        break;
    case ZKT_NO_SUCH_CONSUMER:
        world_disconnect(world, peer);
        peer_lost_connection(world, peer);
        break;
    default:
        break;
    }
}

void
peer_receive(struct world *world, struct peer *peer, const struct command *command)
{
    peer->heard_ms = world->now_ms;
    switch (command->verb) {
    case VERB_WELCOME:
        take_welcome(world, peer, &command->welcome);
        break;
    case VERB_SUBMITTED:
        take_submitted(world, peer, &command->submitted);
        break;
    case VERB_DELIVER:
        take_deliver(world, peer, &command->deliver);
        break;
    case VERB_REPORTED:
        take_reported(world, peer, &command->reported);
        break;
    case VERB_REVOKE:
        take_revoke(peer, &command->revoke);
        break;
    case VERB_RETIRE:
        peer->is_retiring = true;
        break;
    case VERB_URLS:
        if (command->objects.items_count > 0 && command->objects.items[0].code == ZKT_OK) {
            peer->uploaded = command->objects.items[0].uid;
        }
        break;
    case VERB_DONE:
        peer->done_count++;
        break;
    case VERB_ANSWER:
        peer->answered_query = true;
        break;
    case VERB_ERROR:
        take_error(world, peer, command);
        break;
    case VERB_BYE:
        peer_die(world, peer, peer->revive_ms);
        break;
    default:
        break;
    }
}

// BYE must arrive: the connection lives on until the frame is there.
void
peer_leave(struct world *world, struct peer *peer, int64_t revive_after_ms)
{
    struct command command = command_new(peer, VERB_BYE);
    world_send(world, peer, &command);
    peer->revive_ms = revive_after_ms;
    peer->is_leaving = true;
    peer->phase = PEER_GREETING; // waits for the BYE of the broker
    peer->heard_ms = world->now_ms;
}

void
peer_act(struct world *world, struct peer *peer)
{
    if (peer->phase == PEER_DEAD) {
        if (peer->revive_ms != 0 && world->now_ms >= peer->revive_ms) {
            peer_start(world, peer);
        }
        return;
    }
    if (peer->phase == PEER_OFFLINE) {
        if (world->now_ms >= peer->connect_ms) {
            greet(world, peer);
        }
        return;
    }
    if (world->now_ms - peer->heard_ms > EXPIRY_MS) {
        world_disconnect(world, peer);
        peer_lost_connection(world, peer);
        return;
    }
    for (size_t i = 0; i < WORKS_MAX && peer->phase == PEER_READY; i++) {
        if (peer->works[i].is_used) {
            act_on_work(world, peer, &peer->works[i]);
        }
    }
    if (peer->phase != PEER_READY) {
        return;
    }
    if (peer->resend_ms != 0 && world->now_ms >= peer->resend_ms) {
        resend_all(world, peer);
    }
    if ((peer->is_retiring || peer->wants_to_leave) && peer_is_idle(peer)) {
        peer_leave(world, peer, peer->wants_to_leave ? 0 : 50);
        return;
    }
    if (world->now_ms - peer->sent_ms >= INTERVAL_MS && peer->phase == PEER_READY) {
        struct command command = {.verb = VERB_HEARTBEAT};
        world_send(world, peer, &command);
    }
}

// ---- Asking

void
peer_query(struct world *world, struct peer *peer, const char *what, const struct value *args)
{
    struct command command = command_new(peer, VERB_QUERY);
    command.request = (struct request){.what = span_of_text(what), .args = *args};
    peer->answered_query = false;
    world_send(world, peer, &command);
}

void
peer_control(struct world *world, struct peer *peer, const char *what, const char *key,
             const char *text)
{
    struct arena arena;
    arena_init(&arena);
    struct command command = command_new(peer, VERB_CONTROL);
    command.request = (struct request){.what = span_of_text(what), .args = value_map()};
    value_put(&arena, &command.request.args, key, value_text(&arena, text));
    peer->answered_query = false;
    world_send(world, peer, &command);
    arena_fini(&arena);
}

void
peer_wait(struct world *world, struct peer *peer, const struct uid *root)
{
    struct command command = command_new(peer, VERB_WAIT);
    command.wait_root = *root;
    world_send(world, peer, &command);
}
