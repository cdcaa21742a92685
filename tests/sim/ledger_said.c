// What the broker says, compared with what the ledger knows (invariants: docs/testing.md).
#include "sim/ledger.h"

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
    if (!service_takes(peer->service, entry->type) && peer->service->is_strict) {
        world_violated(world, 11, "%s got a task of type %c", peer->identity, entry->type);
    }
}

static struct routed *
routed_get(struct world *world, const struct peer *peer, const struct deliver_item *item,
           struct entry *entry)
{
    struct ledger *ledger = world->ledger;
    struct routed *routed = ledger_find(ledger->routed, &item->task.uid);
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
    struct routed *parent = ledger_find(world->ledger->routed, &entry->parent);
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
    struct entry *entry = ledger_find(ledger->entries, &item->task.orig);
    ledger_trace(world, "delivered", &item->task.uid, item->delivery);
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
    bool is_first = ledger_find(ledger->routed, &item->task.uid) == NULL;
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
    if (ledger_given(ledger, item->delivery) != NULL) {
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
    struct presence *presence = ledger_presence(ledger, instance);
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
    struct presence *presence = ledger_presence(ledger, instance);
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
        struct entry *entry = ledger_find(ledger->entries, &result->uid);
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
        struct given *given = ledger_given(world->ledger, item->delivery);
        if (given == NULL) {
            continue;
        }
        struct routed *routed = given->routed;
        ledger_trace(world,
                     item->code != ZKT_OK ? zkt_err_name(item->code)
                     : item->gone         ? "gone"
                                          : "settled",
                     &item->uid, item->delivery);
        const struct presence *presence = ledger_presence(world->ledger, &given->instance);
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
    struct routed *routed = ledger_find(world->ledger->routed, uid);
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
    const struct presence *presence = ledger_find(world->ledger->presences, &peer->instance);
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
    struct root *root = ledger_find(ledger->roots, &uid);
    if (root == NULL) {
        world_violated(world, 12, "an analysis finished that nobody began");
        return;
    }
    if (++root->finished_events > root->completions_max) {
        world_violated(world, 12, "an analysis finished %" PRIu64 " times", root->finished_events);
    }
}
