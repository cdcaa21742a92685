// Path of a task, step 4 of 10: verb. From session.c, to route.c.
//
// SUBMIT is applied in order and once: only the number behind the last one. A retryable refusal is
// for the whole SUBMIT, before its first task, and consumes nothing; a permanent error is per task
// and consumes the number. Of a child the broker sets origin, root, parent, priority and persistent
// headers (A3, A4); the client merges the payloads.
#include "core/handle.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "core/consumer.h"
#include "core/lease.h"
#include "core/metrics.h"
#include "core/release.h"
#include "core/route.h"
#include "core/session.h"

enum { ALL_TASKS = UINT32_MAX }; // task index of an error that concerns the whole SUBMIT

// What the tasks of one SUBMIT have in common.
struct submission {
    struct session *session;
    const struct submit *submit;
    const struct lease *parent;    // NULL: initial tasks
    struct task parent_headers;    // decoded once
    struct submit_result *results; // in release_arena
    struct counters *counters;
};

static void
set_error(struct engine *engine, struct submit_result *result, const struct problem *problem)
{
    result->code = problem->code;
    result->taken_count = 0;
    size_t len = strlen(problem->text);
    result->message = span_of(arena_copy(release_arena(engine), problem->text, len), len);
}

static void
answer(struct engine *engine, struct session *session, uint64_t id, uint64_t number,
       const struct submit_result *results, size_t results_count)
{
    session->submits_open++;
    struct command command = {
        .verb = VERB_SUBMITTED,
        .id = id,
        .submitted = {.number = number, .results = results, .results_count = results_count},
    };
    release_answer(engine, session, &command);
}

// ---- Refusals of the whole SUBMIT

static enum zkt_err
check_number(const struct session *session, const struct engine *engine,
             const struct submit *submit, struct problem *problem)
{
    if (submit->number == 0) {
        return problem_set(problem, ZKT_INVALID, "number: starts at 1");
    }
    if (submit->number <= session->last_number + 1) {
        return ZKT_OK;
    }
    struct instance_record record;
    if (!session->has_first_number && !store_instance(engine->store, &session->instance, &record)) {
        return problem_set(problem, ZKT_INSTANCE_FORGOTTEN,
                           "number: this instance is not known any more, its numbers start anew");
    }
    return problem_set(problem, ZKT_SEQUENCE_GAP, "number: %llu, expected %llu",
                       (unsigned long long)submit->number,
                       (unsigned long long)session->last_number + 1);
}

// At the hard limit every worker might wait for room for its children, and none could finish. So
// one session at a time, of those that were refused, passes until it settles a delivery: trees are
// finite, so the pipeline drains.
static bool
may_pass_hard(struct engine *engine, const struct session *session)
{
    if (session->leases_count == 0) {
        return false;
    }
    if (engine->pass_session == 0 || engine->pass_until_ms <= engine->session_ms) {
        engine->pass_session = session->number;
        engine->pass_until_ms = engine->session_ms + engine->options.expiry_ms;
    }
    return engine->pass_session == session->number;
}

static enum zkt_err
check_pressure(struct engine *engine, const struct session *session, struct problem *problem)
{
    switch (store_pressure(engine->store)) {
    case STORE_OK:
        return ZKT_OK;
    case STORE_SOFT:
        // A full pipeline could never drain if its workers could not send.
        if (session->leases_count > 0) {
            return ZKT_OK;
        }
        break;
    case STORE_HARD:
        if (may_pass_hard(engine, session)) {
            return ZKT_OK;
        }
        break;
    case STORE_DISK:
        engine->refused_disk_count++;
        return problem_set(problem, ZKT_DISK_FULL, "the disk of the broker is full");
    }
    engine->refused_busy_count++;
    return problem_set(problem, ZKT_BUSY, "the store holds as many tasks as it may");
}

// ---- Answering a number again

// The count of takers is not kept: what would take it now is the best answer.
static void
repeat_result(struct engine *engine, const struct session *session, const struct submit *submit,
              size_t task_index, struct submit_result *result)
{
    const struct task *task = &submit->tasks[task_index];
    enum zkt_err code = ZKT_OK;
    if (store_remembered_error(engine->store, &session->instance, submit->number, ALL_TASKS,
                               &code) ||
        store_remembered_error(engine->store, &session->instance, submit->number,
                               (uint32_t)task_index, &code)) {
        struct problem problem = {0};
        problem_set(&problem, code, "tasks[%zu]: was refused", task_index);
        set_error(engine, result, &problem);
        return;
    }
    const uint32_t *consumers = NULL;
    result->code = ZKT_OK;
    result->taken_count = (uint32_t)route_match(engine, &task->headers, &consumers);
}

static void
answer_again(struct engine *engine, struct session *session, const struct command *command)
{
    const struct submit *submit = &command->submit;
    struct submit_result *results =
        arena_alloc(release_arena(engine), (submit->tasks_count + 1) * sizeof *results);
    for (size_t i = 0; i < submit->tasks_count; i++) {
        results[i] = (struct submit_result){.uid = submit->tasks[i].uid};
        repeat_result(engine, session, submit, i, &results[i]);
    }
    answer(engine, session, command->id, submit->number, results, submit->tasks_count);
}

// ---- Tasks

// A map of its own for the headers, with room for a few more: the command is borrowed.
static struct value
headers_copy(struct arena *arena, const struct value *headers)
{
    struct value copy = value_map();
    if (headers->type != VALUE_MAP || headers->len == 0) {
        return copy;
    }
    copy.len = headers->len;
    copy.members = arena_alloc(arena, value_capacity(headers->len) * sizeof *copy.members);
    memcpy(copy.members, headers->members, headers->len * sizeof *copy.members);
    return copy;
}

// Persistent headers of the parent overwrite; the key sets are united (A3).
static void
merge_persistent(struct arena *arena, struct task *child, const struct task *parent)
{
    struct value keys = value_list();
    for (uint32_t i = 0; i < parent->header_keys.len; i++) {
        const struct value *key = &parent->header_keys.items[i];
        const struct value *header = value_get_n(&parent->headers, key->text, key->len);
        if (header != NULL) {
            value_put_key(arena, &child->headers, *key, *header);
            value_append(arena, &keys, *key);
        }
    }
    if (keys.len == 0) {
        return;
    }
    for (uint32_t i = 0; i < child->header_keys.len; i++) {
        const struct value *key = &child->header_keys.items[i];
        const struct value *known = value_get_n(&parent->headers, key->text, key->len);
        bool is_there = false;
        for (uint32_t j = 0; known != NULL && j < keys.len && !is_there; j++) {
            is_there = value_same(&keys.items[j], key);
        }
        if (!is_there) {
            value_append(arena, &keys, *key);
        }
    }
    child->header_keys = keys;
}

// The task as the store keeps it.
static void
finalise(struct engine *engine, const struct submission *submission, struct task *task)
{
    struct arena *arena = &engine->scratch;
    const struct session *session = submission->session;
    bool is_kept = value_get(&task->headers, "receiver") == NULL &&
                   value_get(&task->headers, "origin") == NULL;
    task->headers = headers_copy(arena, &task->headers);
    task->orig = (struct uid){0};
    task->retry_of = (struct uid){0};
    if (submission->parent == NULL) {
        task->parent = (struct uid){0};
        if (uid_is_none(&task->root)) {
            task->root = task->uid;
        }
    } else {
        const struct hold *hold = submission->parent->hold;
        task->root = hold->root;
        task->parent = hold->uid;
        task->priority = hold->priority;
        merge_persistent(arena, task, &submission->parent_headers);
    }
    if (!is_kept ||
        (submission->parent != NULL && submission->parent_headers.header_keys.len > 0)) {
        task->headers_packed = (struct span){0}; // more changes than what is put behind them
    }
    (void)value_remove(&task->headers, "receiver");
    struct value origin = {.type = VALUE_STRING, .len = (uint32_t)session->identity.len};
    origin.text = (const char *)session->identity.data;
    value_put(arena, &task->headers, "origin", origin);
}

static size_t
value_bytes(const struct value *value, int depth)
{
    size_t sum = 8;
    switch (value->type) {
    case VALUE_STRING:
    case VALUE_BIGINT:
        return sum + value->len;
    case VALUE_LIST:
        for (uint32_t i = 0; i < value->len && depth > 0; i++) {
            sum += value_bytes(&value->items[i], depth - 1);
        }
        return sum;
    case VALUE_MAP:
        for (uint32_t i = 0; i < value->len && depth > 0; i++) {
            sum += value->members[i].key.len + value_bytes(&value->members[i].value, depth - 1);
        }
        return sum;
    default:
        return sum;
    }
}

// What a child inherits was not measured when its SUBMIT was read: without this, headers could grow
// from generation to generation until no DELIVER can carry them.
static enum zkt_err
check_merged(const struct task *task, size_t task_index, struct problem *problem)
{
    if (task->headers.len > LIMIT_HEADERS_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE,
                           "tasks[%zu].headers: %u with the persistent ones of the parent, at most "
                           "%d",
                           task_index, task->headers.len, LIMIT_HEADERS_COUNT);
    }
    size_t size = value_bytes(&task->headers, LIMIT_VALUE_DEPTH);
    if (size > LIMIT_HEADERS_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE,
                           "tasks[%zu].headers: %zu bytes with the persistent ones of the parent, "
                           "at most %d",
                           task_index, size, LIMIT_HEADERS_BYTES);
    }
    return ZKT_OK;
}

static enum zkt_err
check_task(struct engine *engine, const struct submission *submission, const struct task *task,
           size_t task_index, struct problem *problem)
{
    if (uid_is_none(&task->uid)) {
        return problem_set(problem, ZKT_INVALID, "tasks[%zu].uid: must not be all zero",
                           task_index);
    }
    struct hold *hold = submission->parent != NULL ? submission->parent->hold : NULL;
    for (size_t i = 0; i < task->resources_count; i++) {
        const struct uid *object = &task->resources[i].uid;
        if (!store_object_may_use(engine->store, object, &submission->session->instance, hold)) {
            char text[UID_TEXT_SIZE];
            uid_format(object, text);
            return problem_set(problem, ZKT_OBJECT_UNKNOWN,
                               "tasks[%zu].resources[%zu]: %s was neither uploaded by this process "
                               "nor is it in the task that it works on",
                               task_index, i, text);
        }
    }
    return ZKT_OK;
}

static enum zkt_err
put_task(struct engine *engine, const struct submission *submission, const struct task *task,
         size_t task_index, struct submit_result *result, struct problem *problem)
{
    struct session *session = submission->session;
    if (submission->parent != NULL && session->is_transactional) {
        enum zkt_err code =
            store_hold_child(engine->store, submission->parent->hold, task, engine->wall_ms);
        if (code != ZKT_OK) {
            return problem_set(problem, code, "tasks[%zu]: too many children are held", task_index);
        }
        return ZKT_OK;
    }
    const uint32_t *consumers = NULL;
    size_t consumers_count = route_match(engine, &task->headers, &consumers);
    if (consumers_count > TASK_FORKS_MAX) {
        return problem_set(problem, ZKT_FANOUT_LIMIT,
                           "tasks[%zu]: %zu consumers would take it, at most %d may", task_index,
                           consumers_count, TASK_FORKS_MAX);
    }
    store_submit(engine->store, task, consumers, consumers_count, engine->wall_ms);
    for (size_t i = 0; i < consumers_count; i++) {
        consumer_of(engine, consumers[i])->counters->assigned_count++;
    }
    submission->counters->untaken_count += consumers_count == 0;
    result->taken_count = (uint32_t)consumers_count;
    return ZKT_OK;
}

static void
apply_task(struct engine *engine, const struct submission *submission, size_t task_index)
{
    struct submit_result *result = &submission->results[task_index];
    struct task task = submission->submit->tasks[task_index];
    struct problem problem = {0};
    *result = (struct submit_result){.uid = task.uid};
    enum zkt_err code = check_task(engine, submission, &task, task_index, &problem);
    if (code == ZKT_OK) {
        finalise(engine, submission, &task);
        code = submission->parent != NULL ? check_merged(&task, task_index, &problem) : ZKT_OK;
    }
    if (code == ZKT_OK) {
        code = put_task(engine, submission, &task, task_index, result, &problem);
    }
    if (code != ZKT_OK) {
        set_error(engine, result, &problem);
        store_note_error(engine->store, &submission->session->instance, submission->submit->number,
                         (uint32_t)task_index, code);
        return;
    }
    submission->counters->produced_count++;
}

// A SUBMIT for a delivery that is lost: every task of it is refused for good.
static void
refuse_lost(struct engine *engine, const struct submission *submission)
{
    const struct submit *submit = submission->submit;
    struct problem problem = {0};
    problem_set(&problem, ZKT_LEASE_LOST, "delivery: %llu is no longer this worker's",
                (unsigned long long)submit->delivery);
    for (size_t i = 0; i < submit->tasks_count; i++) {
        submission->results[i] = (struct submit_result){.uid = submit->tasks[i].uid};
        set_error(engine, &submission->results[i], &problem);
    }
    store_note_error(engine->store, &submission->session->instance, submit->number, ALL_TASKS,
                     ZKT_LEASE_LOST);
}

static void
apply(struct engine *engine, struct session *session, const struct command *command)
{
    const struct submit *submit = &command->submit;
    struct submission submission = {
        .session = session,
        .submit = submit,
        .parent = lease_of_session(engine, session, submit->delivery),
        .results = arena_alloc(release_arena(engine),
                               (submit->tasks_count + 1) * sizeof(*submission.results)),
        .counters = counters_of(engine, session->identity),
    };
    if (submit->delivery != 0 && submission.parent == NULL) {
        refuse_lost(engine, &submission);
    } else {
        if (submission.parent != NULL &&
            !engine->options.store.codec->headers(submission.parent->hold->body, &engine->scratch,
                                                  &submission.parent_headers)) {
            submission.parent_headers = (struct task){0};
        }
        for (size_t i = 0; i < submit->tasks_count; i++) {
            apply_task(engine, &submission, i);
        }
    }
    store_note_number(engine->store, &session->instance, submit->number, engine->wall_ms);
    session->last_number = submit->number;
    engine->submits_count++;
    answer(engine, session, command->id, submit->number, submission.results, submit->tasks_count);
}

void
handle_submit(struct engine *engine, struct session *session, const struct command *command)
{
    const struct submit *submit = &command->submit;
    struct problem problem = {0};
    session->has_first_number |= submit->number == 1;
    if (check_number(session, engine, submit, &problem) != ZKT_OK) {
        session_error(engine, session, command, &problem);
        return;
    }
    if (session->submits_open >= LIMIT_SUBMITS_OPEN) {
        problem_set(&problem, ZKT_LIMIT,
                    "number: %u SUBMITs wait for their answers, at most %d may",
                    session->submits_open, LIMIT_SUBMITS_OPEN);
        session_error(engine, session, command, &problem);
        return;
    }
    if (submit->number <= session->last_number) {
        answer_again(engine, session, command);
        return;
    }
    if (check_pressure(engine, session, &problem) != ZKT_OK) {
        session_error(engine, session, command, &problem);
        return;
    }
    apply(engine, session, command);
}

void
handle_release(struct engine *engine, const struct task *task, uint64_t release)
{
    const uint32_t *consumers = NULL;
    size_t consumers_count = route_match(engine, &task->headers, &consumers);
    if (consumers_count > TASK_FORKS_MAX) {
        log_warn("FANOUT-LIMIT", "consumers=%zu", consumers_count);
        consumers_count = TASK_FORKS_MAX;
    }
    store_release_matched(engine->store, release, task, consumers, consumers_count,
                          engine->wall_ms);
    for (size_t i = 0; i < consumers_count; i++) {
        consumer_of(engine, consumers[i])->counters->assigned_count++;
    }
}
