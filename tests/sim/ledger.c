// The ledger knows what was promised to whom and compares it with what happens. The invariants are
// numbered in docs/testing.md. It believes only what leaves the broker: a SUBMITTED that was sent
// counts as acknowledged, whether it arrived or not.
#include "sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "core/state.h"
#include "wire/task_body.h"

// One unrouted task, known by the uid its client gave it.
struct entry {
    struct uid uid;
    struct uid initial;  // of its tree
    struct uid parent;   // routed; none: initial
    struct uid resource; // none: it has none
    enum priority priority;
    char type;
    const char *sender;
    uint64_t parent_delivery; // 0: initial
    bool is_held;             // child of a transactional parent
    bool is_acked;
    bool is_refused;
    struct routed *routed[SERVICES_MAX]; // one for each consumer, as delivered
};

// One routed task, known by its first delivery.
struct routed {
    struct uid uid;
    struct entry *entry;
    size_t service_index;
    uint32_t attempt;
    uint64_t last_delivery;
    uint64_t children_delivery; // of a transactional parent: the delivery whose children were seen
    uint64_t ok_delivery;       // the delivery that settled it
    bool is_finished;           // REPORTED OK
    bool is_crashed;
    bool may_be_settled; // a REPORT of its last delivery reached the broker, which may have kept it
    uint64_t settled_batch; // the batch of that; 0: durable
    bool is_gone;           // REPORTED gone
    bool was_settled;       // before the report being handled
    bool is_in_crashed_rows;
};

struct given {
    struct routed *routed;
    uint64_t delivery;
    struct uid instance;
    bool is_open; // counts against the window
    bool is_reported;
    enum report_state state;
    uint64_t life;  // of the broker that gave it
    uint64_t after; // the last SUBMIT that its report names
};

struct root {
    struct uid uid;
    struct entry *entry;
    uint64_t finished_events;
    uint64_t completions_max; // submits and retries that may complete it again
};

// What of an instance waits for durability.
struct presence {
    struct uid instance;
    uint64_t applied_number;
    uint64_t applied_batch;
    uint64_t before_number; // applied before the SUBMIT being handled
    uint64_t said_number;   // the highest acknowledged in this life of the broker
    uint64_t seen_number;   // the highest that was applied, restarts or not
    uint32_t window;
    uint32_t open_count;
    int64_t heard_ms; // session time
};

struct ledger {
    struct map *entries;
    struct map *routed;
    struct map *given;
    struct map *roots;
    struct map *presences;
    struct entry **entries_list;
    size_t entries_count, entries_capacity;
    struct routed **routed_list;
    size_t routed_count, routed_capacity;
    struct given **given_list;
    size_t given_count, given_capacity;
    struct root **roots_list;
    size_t roots_count, roots_capacity;
    struct presence **presences_list;
    size_t presences_count, presences_capacity;
    uint64_t first_sequences[SERVICES_MAX][PRIORITIES_COUNT]; // highest first delivery before now
    uint64_t turn_sequences[SERVICES_MAX][PRIORITIES_COUNT];  // … of this turn, over all sessions
    int64_t turn_ms;
    uint64_t exempt_sequences[SERVICES_MAX][PRIORITIES_COUNT];
    uint64_t restarts_count;
    uint64_t acked_count;
};

#define GROW(list, count, capacity)                                                                \
    do {                                                                                           \
        if ((count) == (capacity)) {                                                               \
            (capacity) = (capacity)*2 + 64;                                                        \
            (list) = xrealloc((list), (capacity) * sizeof *(list));                                \
        }                                                                                          \
    } while (0)

struct ledger *
ledger_new(void)
{
    struct ledger *ledger = xcalloc(1, sizeof *ledger);
    ledger->entries = map_new();
    ledger->routed = map_new();
    ledger->given = map_new();
    ledger->roots = map_new();
    ledger->presences = map_new();
    return ledger;
}

void
ledger_destroy(struct ledger **ledger_p)
{
    struct ledger *ledger = *ledger_p;
    *ledger_p = NULL;
    for (size_t i = 0; i < ledger->entries_count; i++) {
        free(ledger->entries_list[i]);
    }
    for (size_t i = 0; i < ledger->routed_count; i++) {
        free(ledger->routed_list[i]);
    }
    for (size_t i = 0; i < ledger->given_count; i++) {
        free(ledger->given_list[i]);
    }
    for (size_t i = 0; i < ledger->roots_count; i++) {
        free(ledger->roots_list[i]);
    }
    for (size_t i = 0; i < ledger->presences_count; i++) {
        free(ledger->presences_list[i]);
    }
    free(ledger->entries_list);
    free(ledger->routed_list);
    free(ledger->given_list);
    free(ledger->roots_list);
    free(ledger->presences_list);
    map_destroy(&ledger->entries);
    map_destroy(&ledger->routed);
    map_destroy(&ledger->given);
    map_destroy(&ledger->roots);
    map_destroy(&ledger->presences);
    free(ledger);
}

static void *
find(const struct map *map, const struct uid *uid)
{
    return map_get(map, uid->bytes, sizeof uid->bytes);
}

static struct given *
given_of(const struct ledger *ledger, uint64_t delivery)
{
    return map_get(ledger->given, &delivery, sizeof delivery);
}

static struct presence *
presence_of(struct ledger *ledger, const struct uid *instance)
{
    struct presence *presence = find(ledger->presences, instance);
    if (presence == NULL) {
        presence = xcalloc(1, sizeof *presence);
        presence->instance = *instance;
        (void)map_put(ledger->presences, instance->bytes, sizeof instance->bytes, presence);
        GROW(ledger->presences_list, ledger->presences_count, ledger->presences_capacity);
        ledger->presences_list[ledger->presences_count++] = presence;
    }
    return presence;
}

static size_t
service_index_of(const char *identity, size_t len)
{
    for (size_t i = 0; i < services_count; i++) {
        if (strlen(services[i].identity) == len &&
            memcmp(services[i].identity, identity, len) == 0) {
            return i;
        }
    }
    return SERVICES_MAX;
}

static bool
takes(const struct service *service, char type)
{
    return type != '\0' && strchr(service->types, type) != NULL;
}

static void
trace_task(struct world *world, const char *what, const struct uid *uid, uint64_t delivery)
{
    char text[UID_TEXT_SIZE];
    if (world->is_traced) {
        uid_format(uid, text);
        world_trace(world, "  %s %s as %" PRIu64, what, text, delivery);
    }
}

void
ledger_submitted(struct world *world, const struct peer *peer, uint64_t number,
                 const struct task *task, const struct work *parent, char type)
{
    struct ledger *ledger = world->ledger;
    (void)number;
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->uid = task->uid;
    entry->type = type;
    entry->sender = peer->identity;
    entry->priority = task->priority;
    entry->initial = task->uid;
    if (task->resources_count > 0) {
        entry->resource = task->resources[0].uid;
    }
    if (parent != NULL) {
        const struct given *given = given_of(ledger, parent->delivery);
        entry->parent = parent->uid;
        entry->parent_delivery = parent->delivery;
        entry->is_held = peer->service->is_transactional;
        if (given != NULL) {
            entry->initial = given->routed->entry->initial;
            entry->priority = given->routed->entry->priority;
        }
    } else {
        struct root *root = xcalloc(1, sizeof *root);
        root->uid = task->uid;
        root->entry = entry;
        root->completions_max = 1;
        (void)map_put(ledger->roots, root->uid.bytes, sizeof root->uid.bytes, root);
        GROW(ledger->roots_list, ledger->roots_count, ledger->roots_capacity);
        ledger->roots_list[ledger->roots_count++] = root;
    }
    (void)map_put(ledger->entries, entry->uid.bytes, sizeof entry->uid.bytes, entry);
    GROW(ledger->entries_list, ledger->entries_count, ledger->entries_capacity);
    ledger->entries_list[ledger->entries_count++] = entry;
}

// ---- What the broker hears

void
ledger_heard(struct world *world, const struct peer *peer, const struct command *command)
{
    struct ledger *ledger = world->ledger;
    struct presence *presence = presence_of(ledger, &peer->instance);
    if (command->verb == VERB_HELLO ||
        map_get(world->engine->sessions_by_instance, peer->instance.bytes,
                sizeof peer->instance.bytes) != NULL) {
        // Not of a session that is lost already: its event may still wait for the disk.
        presence->heard_ms = world->session_ms;
    }
    struct instance_record record = {0};
    if (command->verb == VERB_SUBMIT) {
        (void)store_instance(engine_store(world->engine), &peer->instance, &record);
        presence->before_number = record.last_number;
    }
    if (command->verb == VERB_CREDIT) {
        // A window that shrinks does not take back what was given.
        presence->window = command->credit_window;
    }
    for (size_t i = 0; command->verb == VERB_REPORT && i < command->report.items_count; i++) {
        const struct report_item *item = &command->report.items[i];
        struct given *given = given_of(ledger, item->delivery);
        if (given == NULL || item->state == REPORT_STARTED) {
            continue;
        }
        if (given->is_open && uid_equal(&given->instance, &peer->instance)) {
            given->is_open = false;
            presence->open_count--;
        }
        trace_task(world, "reported", &item->uid, item->delivery);
        given->is_reported = true;
        given->after = item->after;
        given->state = item->state;
        given->routed->was_settled = given->routed->may_be_settled;
        if (item->state != REPORT_RETURNED && given->routed->last_delivery == item->delivery &&
            !given->routed->may_be_settled) {
            given->routed->may_be_settled = true;
            given->routed->settled_batch = store_batch(engine_store(world->engine));
        }
    }
    if (command->verb == VERB_HELLO || command->verb == VERB_BYE) {
        // What it does not name is not its own any more.
        presence->open_count = 0;
        for (size_t i = 0; i < ledger->given_count; i++) {
            struct given *given = ledger->given_list[i];
            if (given->is_open && uid_equal(&given->instance, &peer->instance)) {
                given->is_open = false;
            }
        }
        presence->window = 0;
    }
}

void
ledger_applied(struct world *world, const struct peer *peer, const struct command *command)
{
    struct presence *presence = presence_of(world->ledger, &peer->instance);
    struct instance_record record;
    if (command->verb != VERB_SUBMIT ||
        !store_instance(engine_store(world->engine), &peer->instance, &record)) {
        return;
    }
    presence->seen_number = record.last_number;
    if (record.last_number > presence->before_number) {
        presence->applied_number = command->submit.number;
        if (presence->said_number >= command->submit.number &&
            disk_durable(world->disk) < store_batch(engine_store(world->engine))) {
            world_violated(world, 1, "SUBMIT %" PRIu64 " of peer %zu was acknowledged at once",
                           command->submit.number, peer->index);
        }
        presence->applied_batch = store_batch(engine_store(world->engine));
    }
}

// ---- What the broker says

static void
check_item(struct world *world, const struct peer *peer, const struct deliver_item *item,
           struct entry *entry, const struct task *headers)
{
    const struct task *task = &item->task;
    const struct value *tree = value_get(&headers->headers, "tree");
    const struct value *origin = value_get(&headers->headers, "origin");
    char text[UID_TEXT_SIZE];
    uid_format(&entry->initial, text);
    if (!uid_equal(&task->root, &entry->initial)) {
        world_violated(world, 10, "a task of peer %s has a wrong root", entry->sender);
    }
    if (!uid_equal(&task->parent, &entry->parent)) {
        world_violated(world, 10, "a task of peer %s has a wrong parent", entry->sender);
    }
    if (task->priority != entry->priority) {
        world_violated(world, 10, "a task of peer %s has priority %s, its analysis %s",
                       entry->sender, priority_name(task->priority),
                       priority_name(entry->priority));
    }
    if (tree == NULL || !value_is_text(tree, text)) {
        world_violated(world, 10, "a persistent header did not arrive");
    }
    if (origin == NULL || !value_is_text(origin, entry->sender)) {
        world_violated(world, 10, "the header origin is not %s", entry->sender);
    }
    if (!takes(peer->service, entry->type) && peer->service->is_strict) {
        world_violated(world, 11, "%s got a task of type %c", peer->identity, entry->type);
    }
}

static struct routed *
routed_get(struct world *world, const struct peer *peer, const struct deliver_item *item,
           struct entry *entry)
{
    struct ledger *ledger = world->ledger;
    struct routed *routed = find(ledger->routed, &item->task.uid);
    if (routed != NULL) {
        return routed;
    }
    size_t service_index = service_index_of(peer->identity, strlen(peer->identity));
    routed = xcalloc(1, sizeof *routed);
    routed->uid = item->task.uid;
    routed->entry = entry;
    routed->service_index = service_index;
    (void)map_put(ledger->routed, routed->uid.bytes, sizeof routed->uid.bytes, routed);
    GROW(ledger->routed_list, ledger->routed_count, ledger->routed_capacity);
    ledger->routed_list[ledger->routed_count++] = routed;
    struct routed *before = entry->routed[service_index];
    if (before != NULL && uid_is_none(&item->task.retry_of) &&
        services[service_index].is_persistent) {
        world_violated(world, 3, "%s got two copies of one task", peer->identity);
    }
    entry->routed[service_index] = routed;
    return routed;
}

// First in, first out, of those that were never delivered before; a restart may hold back what was
// suspect.
static void
check_order(struct world *world, const struct routed *routed, enum priority priority)
{
    struct ledger *ledger = world->ledger;
    uint64_t sequence = 0;
    uint64_t store = store_id(engine_store(world->engine));
    if (!uid_sequence(&routed->uid, store, &sequence)) {
        world_violated(world, 4, "a routed uid is not of this store");
        return;
    }
    if (ledger->turn_ms != world->turn_now_ms) {
        ledger->turn_ms = world->turn_now_ms;
        memcpy(ledger->first_sequences, ledger->turn_sequences, sizeof ledger->first_sequences);
    }
    uint64_t *first = &ledger->first_sequences[routed->service_index][priority];
    uint64_t *latest = &ledger->turn_sequences[routed->service_index][priority];
    if (sequence <= *first) {
        if (sequence > ledger->exempt_sequences[routed->service_index][priority]) {
            world_violated(world, 7, "%s got sequence %" PRIu64 " after %" PRIu64,
                           services[routed->service_index].identity, sequence, *first);
        }
        return;
    }
    *latest = sequence > *latest ? sequence : *latest;
}

static void
check_lineage(struct world *world, const struct entry *entry)
{
    if (entry->parent_delivery == 0 || !entry->is_held) {
        return;
    }
    struct routed *parent = find(world->ledger->routed, &entry->parent);
    if (parent == NULL) {
        return;
    }
    if (parent->children_delivery != 0 && parent->children_delivery != entry->parent_delivery) {
        world_violated(world, 9, "children of two deliveries of one transactional task got out");
    }
    parent->children_delivery = entry->parent_delivery;
    if (parent->is_crashed) {
        world_violated(world, 9, "a child of a crashed transactional task got out");
    }
    if (parent->ok_delivery != 0 && parent->ok_delivery != entry->parent_delivery) {
        world_violated(world, 9, "a child of a lost delivery of a transactional task got out");
    }
}

static void
said_item(struct world *world, const struct peer *peer, const struct uid *instance,
          const struct deliver_item *item)
{
    struct ledger *ledger = world->ledger;
    struct entry *entry = find(ledger->entries, &item->task.orig);
    trace_task(world, "delivered", &item->task.uid, item->delivery);
    if (entry == NULL && world->is_quiet) {
        return;
    }
    if (entry == NULL) {
        world_violated(world, 4, "%s got a task that nobody sent", peer->identity);
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct task headers = {0};
    if (!wire_task_codec.headers(item->body, &arena, &headers)) {
        world_violated(world, 4, "%s got a damaged task", peer->identity);
    } else {
        check_item(world, peer, item, entry, &headers);
    }
    arena_fini(&arena);
    if (entry->is_refused) {
        world_violated(world, 2, "%s got a task whose SUBMIT was refused", peer->identity);
    }
    bool is_first = find(ledger->routed, &item->task.uid) == NULL;
    struct routed *routed = routed_get(world, peer, item, entry);
    if (is_first) {
        check_order(world, routed, item->task.priority);
        check_lineage(world, entry);
    }
    if (routed->is_finished || routed->is_crashed) {
        world_violated(world, 3, "%s got a task again that it had settled", peer->identity);
    }
    if (item->attempt < routed->attempt || item->attempt > DELIVERIES_MAX) {
        world_violated(world, 6, "attempt %u after %u, at most %d", item->attempt, routed->attempt,
                       DELIVERIES_MAX);
    }
    routed->attempt = item->attempt;
    routed->last_delivery = item->delivery;
    if (given_of(ledger, item->delivery) != NULL) {
        world_violated(world, 5, "delivery %" PRIu64 " was used twice", item->delivery);
        return;
    }
    struct given *given = xcalloc(1, sizeof *given);
    *given = (struct given){.routed = routed,
                            .delivery = item->delivery,
                            .instance = *instance,
                            .is_open = true,
                            .life = world->restarts_count};
    (void)map_put(ledger->given, &given->delivery, sizeof given->delivery, given);
    GROW(ledger->given_list, ledger->given_count, ledger->given_capacity);
    ledger->given_list[ledger->given_count++] = given;
    struct presence *presence = presence_of(ledger, instance);
    if (++presence->open_count > presence->window) {
        world_violated(world, 8, "peer %zu holds %u deliveries, its window is %u", peer->index,
                       presence->open_count, presence->window);
    }
}

static void
said_submitted(struct world *world, const struct peer *peer, const struct uid *instance,
               const struct submitted *submitted)
{
    struct ledger *ledger = world->ledger;
    struct presence *presence = presence_of(ledger, instance);
    if (submitted->number > presence->said_number) {
        presence->said_number = submitted->number;
    }
    if (submitted->number == presence->applied_number &&
        disk_durable(world->disk) < presence->applied_batch) {
        world_violated(world, 1, "SUBMIT %" PRIu64 " of peer %zu was acknowledged too early",
                       submitted->number, peer->index);
    }
    for (size_t i = 0; i < submitted->results_count; i++) {
        const struct submit_result *result = &submitted->results[i];
        struct entry *entry = find(ledger->entries, &result->uid);
        if (entry == NULL) {
            world_violated(world, 2, "SUBMITTED for a task that nobody sent");
            continue;
        }
        if (result->code == ZKT_OK) {
            if (entry->is_refused) {
                world_violated(world, 2, "a refused task was acknowledged later");
            }
            ledger->acked_count += !entry->is_acked;
            entry->is_acked = true;
        } else {
            if (entry->is_acked) {
                world_violated(world, 2, "an acknowledged task was refused later");
            }
            entry->is_refused = true;
        }
    }
}

static void
said_reported(struct world *world, const struct reported *reported)
{
    for (size_t i = 0; i < reported->items_count; i++) {
        const struct reported_item *item = &reported->items[i];
        struct given *given = given_of(world->ledger, item->delivery);
        if (given == NULL) {
            continue;
        }
        struct routed *routed = given->routed;
        trace_task(world,
                   item->code != ZKT_OK ? zkt_err_name(item->code)
                   : item->gone         ? "gone"
                                        : "settled",
                   &item->uid, item->delivery);
        const struct presence *presence = presence_of(world->ledger, &given->instance);
        if (item->code == ZKT_OK && !item->gone && given->life == world->restarts_count &&
            given->after > presence->seen_number) {
            world_violated(world, 17, "a task of %s was settled before its children were in",
                           services[routed->service_index].identity);
        }
        if (item->code != ZKT_OK) {
            if (routed->last_delivery == item->delivery) {
                routed->may_be_settled = routed->was_settled;
            }
            continue;
        }
        if (item->gone) {
            // Only an earlier report whose answer was lost explains it, or the third lost worker.
            routed->is_gone = true;
            if (!routed->was_settled && !routed->is_finished && !routed->is_crashed &&
                services[routed->service_index].is_strict && routed->attempt < DELIVERIES_MAX) {
                char text[UID_TEXT_SIZE];
                uid_format(&routed->uid, text);
                world_violated(world, 2, "task %s of %s vanished", text,
                               services[routed->service_index].identity);
            }
            continue;
        }
        if (given->state == REPORT_RETURNED) {
            continue;
        }
        if (routed->is_finished || routed->is_crashed) {
            world_violated(world, 3, "a task of %s was settled twice",
                           services[routed->service_index].identity);
        }
        if (routed->last_delivery != item->delivery && given->life == world->restarts_count) {
            world_violated(world, 3, "a lost lease of %s was settled",
                           services[routed->service_index].identity);
        }
        routed->ok_delivery = item->delivery;
        routed->is_finished = given->state == REPORT_FINISHED;
        routed->is_crashed = given->state == REPORT_CRASHED;
        if (routed->is_crashed && routed->children_delivery != 0) {
            world_violated(world, 9, "a transactional task crashed, its children are out");
        }
        if (routed->children_delivery != 0 && routed->children_delivery != item->delivery) {
            world_violated(world, 9, "children of another delivery than the finished one got out");
        }
    }
}

static void
said_rows(struct world *world, const struct answer *answer)
{
    for (uint32_t i = 0; i < answer->rows.len; i++) {
        const struct value *row = &answer->rows.items[i];
        const struct value *uid_text = value_get(row, "uid");
        const struct value *state = value_get(row, "state");
        struct uid uid;
        if (state != NULL && value_is_text(state, "Crashed") && uid_text != NULL &&
            uid_parse(uid_text->text, uid_text->len, &uid)) {
            ledger_crashed_row(world, &uid);
        }
    }
}

void
ledger_crashed_row(struct world *world, const struct uid *uid)
{
    struct routed *routed = find(world->ledger->routed, uid);
    if (routed != NULL) {
        routed->is_in_crashed_rows = true;
    }
}

void
ledger_said(struct world *world, const struct peer *peer, const struct uid *instance,
            const struct command *command)
{
    if (world->has_failed) {
        world_violated(world, 16, "%d was sent after a failed commit", (int)command->verb);
    }
    switch (command->verb) {
    case VERB_DELIVER:
        for (size_t i = 0; i < command->deliver.items_count; i++) {
            said_item(world, peer, instance, &command->deliver.items[i]);
        }
        break;
    case VERB_SUBMITTED:
        said_submitted(world, peer, instance, &command->submitted);
        break;
    case VERB_REPORTED:
        said_reported(world, &command->reported);
        break;
    case VERB_ANSWER:
        said_rows(world, &command->answer);
        break;
    default:
        break;
    }
}

// ---- Events

static void
published_lost(struct world *world, const struct value *body)
{
    const struct value *pid = value_get(body, "pid");
    const struct peer *peer = NULL;
    for (size_t i = 0; pid != NULL && i < world->peers_count; i++) {
        peer = world->peers[i].pid + (int64_t)i == pid->integer ? &world->peers[i] : peer;
    }
    if (peer == NULL) {
        return; // a process that is no more
    }
    const struct presence *presence = find(world->ledger->presences, &peer->instance);
    if (presence != NULL && peer->phase == PEER_READY &&
        world->session_ms - presence->heard_ms < EXPIRY_MS) {
        world_violated(world, 15, "peer %zu was lost after %" PRId64 " ms of silence", peer->index,
                       world->session_ms - presence->heard_ms);
    }
}

void
ledger_published(struct world *world, const char *topic, const struct value *body)
{
    struct ledger *ledger = world->ledger;
    size_t len = strlen(topic);
    if (len > 5 && strncmp(topic, "worker.", 7) == 0 && strcmp(topic + len - 5, ".lost") == 0) {
        published_lost(world, body);
        return;
    }
    struct uid uid;
    if (strncmp(topic, "analysis.", 9) != 0 || len < 9 + 36 || !uid_parse(topic + 9, 36, &uid)) {
        return;
    }
    if (strcmp(topic + 9 + 36, ".crashed") == 0) {
        const struct value *crashed = value_get(body, "uid");
        if (crashed != NULL && uid_parse(crashed->text, crashed->len, &uid)) {
            ledger_crashed_row(world, &uid);
        }
        return;
    }
    if (strcmp(topic + 9 + 36, ".finished") != 0) {
        return;
    }
    world->finished_events++;
    struct root *root = find(ledger->roots, &uid);
    if (root == NULL) {
        world_violated(world, 12, "an analysis finished that nobody began");
        return;
    }
    if (++root->finished_events > root->completions_max) {
        world_violated(world, 12, "an analysis finished %" PRIu64 " times", root->finished_events);
    }
}

// Whether somebody may still need the bytes: an acknowledged copy for a strict consumer that is
// neither settled nor known to be gone.
static bool
is_needed(const struct world *world, const struct entry *entry)
{
    if (!entry->is_acked || entry->is_held) {
        return false;
    }
    for (size_t i = 0; i < services_count; i++) {
        if (!services[i].is_strict || !takes(&services[i], entry->type)) {
            continue;
        }
        const struct routed *routed = entry->routed[i];
        (void)world;
        if (routed == NULL) {
            return true;
        }
        if (!routed->is_finished && !routed->is_gone && !routed->may_be_settled) {
            const struct given *given = given_of(world->ledger, routed->last_delivery);
            if (given != NULL && !given->is_reported && routed->attempt < DELIVERIES_MAX) {
                return true;
            }
        }
    }
    return false;
}

void
ledger_object_deleted(struct world *world, const struct uid *object)
{
    struct ledger *ledger = world->ledger;
    for (size_t i = 0; i < ledger->entries_count; i++) {
        const struct entry *entry = ledger->entries_list[i];
        if (uid_equal(&entry->resource, object) && is_needed(world, entry)) {
            world_violated(world, 13, "an object was deleted that a task still refers to");
        }
    }
    if (world->engine != NULL) {
        engine_object_deleted(world->engine, object);
    }
}

void
ledger_killed(struct world *world, uint64_t durable, uint64_t in_flight)
{
    struct ledger *ledger = world->ledger;
    ledger->restarts_count++;
    // What was below the dispatch mark may come late from now on.
    memset(ledger->exempt_sequences, 0xff, sizeof ledger->exempt_sequences);
    for (size_t i = 0; i < ledger->presences_count; i++) {
        ledger->presences_list[i]->open_count = 0;
        ledger->presences_list[i]->window = 0;
        ledger->presences_list[i]->applied_batch = 0;
        // What was applied but not durable is applied again.
        ledger->presences_list[i]->applied_number = 0;
        ledger->presences_list[i]->said_number = 0;
    }
    for (size_t i = 0; i < ledger->given_count; i++) {
        ledger->given_list[i]->is_open = false;
    }
    for (size_t i = 0; i < ledger->routed_count; i++) {
        struct routed *routed = ledger->routed_list[i];
        if (routed->settled_batch > durable && routed->settled_batch != in_flight) {
            routed->may_be_settled = false;
        }
        routed->settled_batch = 0;
        routed->attempt = 0; // a lost attempt that was not durable yet is not counted
    }
}

void
ledger_unsent(struct world *world, const struct peer *peer, const struct command *command)
{
    if (command->verb != VERB_DELIVER) {
        return;
    }
    size_t service_index = service_index_of(peer->identity, strlen(peer->identity));
    for (size_t i = 0; i < command->deliver.items_count; i++) {
        const struct task *task = &command->deliver.items[i].task;
        uint64_t *exempt = &world->ledger->exempt_sequences[service_index][task->priority];
        uint64_t sequence = 0;
        if (uid_sequence(&task->uid, store_id(engine_store(world->engine)), &sequence) &&
            sequence > *exempt) {
            *exempt = sequence;
        }
    }
}

// ---- The end

static bool
must_arrive(const struct ledger *ledger, const struct entry *entry)
{
    if (!entry->is_acked) {
        return false;
    }
    if (!entry->is_held) {
        return true;
    }
    const struct routed *parent = find(ledger->routed, &entry->parent);
    return parent != NULL && parent->is_finished && parent->ok_delivery == entry->parent_delivery;
}

static void
end_entry(struct world *world, const struct entry *entry)
{
    bool is_due = must_arrive(world->ledger, entry);
    for (size_t i = 0; i < services_count; i++) {
        if (!services[i].is_strict || !takes(&services[i], entry->type)) {
            continue;
        }
        const struct routed *routed = entry->routed[i];
        if (is_due && routed == NULL) {
            world_violated(world, 2, "%s never got an acknowledged task of type %c",
                           services[i].identity, entry->type);
            return;
        }
        if (is_due && !routed->is_finished && !routed->is_crashed && !routed->is_gone &&
            !routed->may_be_settled && !routed->is_in_crashed_rows) {
            world_violated(world, 2, "a task of %s has neither finished nor crashed",
                           services[i].identity);
            return;
        }
    }
}

void
ledger_end(struct world *world)
{
    struct ledger *ledger = world->ledger;
    for (size_t i = 0; i < ledger->entries_count && !world_is_violated(world); i++) {
        end_entry(world, ledger->entries_list[i]);
    }
    for (size_t i = 0; i < ledger->roots_count && world->restarts_count == 0; i++) {
        const struct root *root = ledger->roots_list[i];
        if (root->entry->is_acked && root->finished_events == 0) {
            world_violated(world, 12, "an analysis of type %c never finished", root->entry->type);
        }
    }
}

void
ledger_retried(struct world *world, const struct uid *routed_uid)
{
    struct routed *routed = find(world->ledger->routed, routed_uid);
    if (routed == NULL) {
        world_violated(world, 19, "no such task to retry");
        return;
    }
    struct root *root = find(world->ledger->roots, &routed->entry->initial);
    root->completions_max++;
}

uint64_t
ledger_acked_count(const struct world *world)
{
    return world->ledger->acked_count;
}

uint64_t
ledger_acked_initial_count(const struct world *world)
{
    uint64_t count = 0;
    for (size_t i = 0; i < world->ledger->roots_count; i++) {
        count += world->ledger->roots_list[i]->entry->is_acked;
    }
    return count;
}
