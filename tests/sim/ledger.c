// The ledger knows what was promised to whom and compares it with what happens. The invariants are
// numbered in docs/testing.md. It believes only what leaves the broker: a SUBMITTED that was sent
// counts as acknowledged, whether it arrived or not.
#include "sim/ledger.h"

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

void *
ledger_find(const struct map *map, const struct uid *uid)
{
    return map_get(map, uid->bytes, sizeof uid->bytes);
}

struct given *
ledger_given(const struct ledger *ledger, uint64_t delivery)
{
    return map_get(ledger->given, &delivery, sizeof delivery);
}

struct presence *
ledger_presence(struct ledger *ledger, const struct uid *instance)
{
    struct presence *presence = ledger_find(ledger->presences, instance);
    if (presence == NULL) {
        presence = xcalloc(1, sizeof *presence);
        presence->instance = *instance;
        (void)map_put(ledger->presences, instance->bytes, sizeof instance->bytes, presence);
        GROW(ledger->presences_list, ledger->presences_count, ledger->presences_capacity);
        ledger->presences_list[ledger->presences_count++] = presence;
    }
    return presence;
}

size_t
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

bool
service_takes(const struct service *service, char type)
{
    return type != '\0' && strchr(service->types, type) != NULL;
}

void
ledger_trace(struct world *world, const char *what, const struct uid *uid, uint64_t delivery)
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
        const struct given *given = ledger_given(ledger, parent->delivery);
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
    struct presence *presence = ledger_presence(ledger, &peer->instance);
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
        struct given *given = ledger_given(ledger, item->delivery);
        if (given == NULL || item->state == REPORT_STARTED) {
            continue;
        }
        if (given->is_open && uid_equal(&given->instance, &peer->instance)) {
            given->is_open = false;
            presence->open_count--;
        }
        ledger_trace(world, "reported", &item->uid, item->delivery);
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
    struct presence *presence = ledger_presence(world->ledger, &peer->instance);
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

// ---- Objects, kills

// Whether somebody may still need the bytes: an acknowledged copy for a strict consumer that is
// neither settled nor known to be gone.
static bool
is_needed(const struct world *world, const struct entry *entry)
{
    if (!entry->is_acked || entry->is_held) {
        return false;
    }
    for (size_t i = 0; i < services_count; i++) {
        if (!services[i].is_strict || !service_takes(&services[i], entry->type)) {
            continue;
        }
        const struct routed *routed = entry->routed[i];
        (void)world;
        if (routed == NULL) {
            return true;
        }
        if (!routed->is_finished && !routed->is_gone && !routed->may_be_settled) {
            const struct given *given = ledger_given(world->ledger, routed->last_delivery);
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
    const struct routed *parent = ledger_find(ledger->routed, &entry->parent);
    return parent != NULL && parent->is_finished && parent->ok_delivery == entry->parent_delivery;
}

static void
end_entry(struct world *world, const struct entry *entry)
{
    bool is_due = must_arrive(world->ledger, entry);
    for (size_t i = 0; i < services_count; i++) {
        if (!services[i].is_strict || !service_takes(&services[i], entry->type)) {
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
    struct routed *routed = ledger_find(world->ledger->routed, routed_uid);
    if (routed == NULL) {
        world_violated(world, 19, "no such task to retry");
        return;
    }
    struct root *root = ledger_find(world->ledger->roots, &routed->entry->initial);
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
