// QUERY: what an operator or a program asks. Consumers and sessions are in memory, paged by their
// number; tasks are the store's, paged by its cursor. No page is a full scan.
#include "core/handle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/consumer.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/wait.h"

// One question being answered from memory.
struct question {
    struct engine *engine;
    struct session *session;
    const struct command *command;
    const struct value *args;
    uint32_t rows_max;
    struct value rows;
    struct span next;
};

static enum zkt_err
uid_argument(const struct value *args, const char *key, struct uid *uid, struct problem *problem)
{
    const struct value *text = value_get(args, key);
    if (text == NULL || text->type != VALUE_STRING || !uid_parse(text->text, text->len, uid)) {
        return problem_set(problem, ZKT_INVALID, "%s: a uid is needed", key);
    }
    return ZKT_OK;
}

static bool
text_argument(const struct value *args, const char *key, struct span *text)
{
    const struct value *value = value_get(args, key);
    if (value == NULL || value->type != VALUE_STRING) {
        return false;
    }
    *text = span_of(value->text, value->len);
    return true;
}

// The cursor of pages from memory: the last number in decimal.
static uint64_t
cursor_number(const struct value *args)
{
    const struct value *after = value_get(args, "after");
    uint64_t number = 0;
    if (after == NULL || after->type != VALUE_STRING || after->len > 19) {
        return 0;
    }
    for (uint32_t i = 0; i < after->len && after->text[i] >= '0' && after->text[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(after->text[i] - '0');
    }
    return number;
}

static void
set_next(struct question *question, uint64_t number)
{
    const char *text = arena_printf(&question->engine->scratch, "%" PRIu64, number);
    question->next = span_of_text(text);
}

static enum zkt_err
named_consumer(struct question *question, bool is_required, struct consumer **consumer,
               struct problem *problem)
{
    struct span identity;
    *consumer = NULL;
    if (!text_argument(question->args, "identity", &identity)) {
        return is_required ? problem_set(problem, ZKT_INVALID, "identity: a string is needed")
                           : ZKT_OK;
    }
    *consumer = consumer_of_identity(question->engine, identity);
    if (*consumer == NULL) {
        return problem_set(problem, ZKT_NOT_FOUND, "no consumer \"%.*s\"", (int)identity.len,
                           (const char *)identity.data);
    }
    return ZKT_OK;
}

typedef struct value (*consumer_row_fn)(const struct question *question,
                                        const struct consumer *consumer);

static struct value
consumer_row(const struct question *question, const struct consumer *consumer)
{
    return row_consumer(question->engine, &question->engine->scratch, consumer);
}

static struct value
queue_row(const struct question *question, const struct consumer *consumer)
{
    return row_queue(question->engine, &question->engine->scratch, consumer);
}

static struct value
match_row(const struct question *question, const struct consumer *consumer)
{
    return row_match(&question->engine->scratch, consumer, value_get(question->args, "headers"));
}

// One named consumer, or a page of all.
static enum zkt_err
ask_consumers(struct question *question, bool is_required, consumer_row_fn row,
              struct problem *problem)
{
    struct engine *engine = question->engine;
    struct consumer *consumer = NULL;
    enum zkt_err code = named_consumer(question, is_required, &consumer, problem);
    if (code != ZKT_OK) {
        return code;
    }
    if (consumer != NULL) {
        value_append(&engine->scratch, &question->rows, row(question, consumer));
        return ZKT_OK;
    }
    uint32_t number = (uint32_t)cursor_number(question->args);
    while (store_next_consumer(engine->store, &number)) {
        consumer = consumer_of(engine, number);
        if (consumer == NULL || consumer->is_dropping) {
            continue;
        }
        value_append(&engine->scratch, &question->rows, row(question, consumer));
        if (question->rows.len >= question->rows_max) {
            set_next(question, number);
            break;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
ask_workers(struct question *question, struct problem *problem)
{
    struct engine *engine = question->engine;
    struct consumer *consumer = NULL;
    enum zkt_err code = named_consumer(question, false, &consumer, problem);
    if (code != ZKT_OK) {
        return code;
    }
    uint64_t after = cursor_number(question->args);
    struct list_link *link = list_first(&engine->sessions_list);
    for (; link != NULL; link = list_next(&engine->sessions_list, link)) {
        const struct session *session = container_of(link, struct session, in_engine);
        if (session->consumer == NULL || session->entered <= after ||
            (consumer != NULL && session->consumer != consumer)) {
            continue;
        }
        value_append(&engine->scratch, &question->rows, row_worker(&engine->scratch, session));
        if (question->rows.len >= question->rows_max) {
            set_next(question, session->entered);
            break;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
ask_match(struct question *question, struct problem *problem)
{
    const struct value *headers = value_get(question->args, "headers");
    if (headers == NULL || headers->type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "headers: a map is needed");
    }
    return ask_consumers(question, false, match_row, problem);
}

static enum zkt_err
ask_analysis(struct question *question, struct problem *problem)
{
    struct uid root;
    enum zkt_err code = uid_argument(question->args, "root", &root, problem);
    if (code != ZKT_OK) {
        return code;
    }
    struct engine *engine = question->engine;
    struct analysis_counts counts = {.started_ms = -1, .done_ms = -1};
    bool is_live = store_analysis_is_live(engine->store, &root);
    bool is_known = store_analysis_done(engine->store, &root, &counts);
    if (!is_live && !is_known) {
        return problem_set(problem, ZKT_NOT_FOUND, "no such analysis");
    }
    value_append(&engine->scratch, &question->rows,
                 row_analysis(&engine->scratch, &root, is_live, &counts));
    return ZKT_OK;
}

static enum zkt_err
ask_metrics(struct question *question, struct problem *problem)
{
    (void)problem;
    struct arena *arena = &question->engine->scratch;
    struct bytes text = {0};
    engine_metrics(question->engine, &text);
    struct value row = value_map();
    value_put(arena, &row, "text", value_string(arena, text.data, text.len));
    value_append(arena, &question->rows, row);
    bytes_fini(&text);
    return ZKT_OK;
}

static enum zkt_err
ask_broker(struct question *question, struct problem *problem)
{
    (void)problem;
    struct arena *arena = &question->engine->scratch;
    struct value row = value_map();
    value_put(arena, &row, "version", value_text(arena, ZKT_BROKER_VERSION));
    value_put(arena, &row, "protocol", value_int(PROTOCOL_VERSION));
    value_put(arena, &row, "uptime_ms",
              value_int(question->engine->now_ms - question->engine->started_ms));
    value_append(arena, &question->rows, row);
    return ZKT_OK;
}

// ---- Questions to the store

static enum zkt_err
page_of(struct question *question, enum store_query what, struct store_page *page,
        struct problem *problem)
{
    struct consumer *consumer = NULL;
    struct span state;
    page->what = what;
    page->rows_max = question->rows_max;
    (void)text_argument(question->args, "after", &page->cursor);
    if (what == QUERY_TREE) {
        return uid_argument(question->args, "root", &page->root, problem);
    }
    if (what == QUERY_TASK) {
        return uid_argument(question->args, "uid", &page->uid, problem);
    }
    enum zkt_err code = named_consumer(question, false, &consumer, problem);
    if (code != ZKT_OK) {
        return code;
    }
    page->consumer = consumer != NULL ? consumer->number : 0;
    page->has_state = text_argument(question->args, "state", &state);
    if (page->has_state && !task_state_parse(state, &page->state)) {
        return problem_set(problem, ZKT_INVALID,
                           "state: none of Declared, Spawned, Started, Finished, Crashed");
    }
    if (value_get(question->args, "root") != NULL) {
        return uid_argument(question->args, "root", &page->root, problem);
    }
    return ZKT_OK;
}

static enum zkt_err
ask_store(struct question *question, enum store_query what, struct problem *problem)
{
    struct session *session = question->session;
    struct store_page page = {0};
    enum zkt_err code = page_of(question, what, &page, problem);
    if (code == ZKT_OK) {
        code = session_may_ask(session, problem);
    }
    if (code != ZKT_OK) {
        return code;
    }
    struct request_open request = {.session = session->number, .command_id = question->command->id};
    session->requests_count++;
    store_page(question->engine->store, &page, request_open_new(question->engine, &request));
    return ZKT_OK;
}

void
handle_result(struct engine *engine, uint64_t number, enum zkt_err code, const struct value *rows,
              struct span next)
{
    struct request_open request;
    if (!request_open_take(engine, number, &request)) {
        return;
    }
    struct session *session = number_map_get(&engine->sessions, request.session);
    if (session == NULL) {
        return;
    }
    session->requests_count--;
    struct command answer = {.verb = VERB_ANSWER, .id = request.command_id};
    if (code != ZKT_OK) {
        answer.verb = VERB_ERROR;
        answer.error = (struct error_body){
            .code = code, .message = span_of_text("no such task or analysis"), .verb = VERB_QUERY};
    } else {
        answer.answer = (struct answer){.rows = *rows, .next = next};
    }
    (void)session_send(engine, session, &answer);
}

// ---- The words of `what`

enum ask_kind {
    ASK_CONSUMERS,
    ASK_CONSUMER,
    ASK_QUEUES,
    ASK_WORKERS,
    ASK_MATCH,
    ASK_ANALYSIS,
    ASK_METRICS,
    ASK_BROKER,
    ASK_TASKS,
    ASK_TREE,
    ASK_TASK
};
static const char *const ask_names[] = {"consumers", "consumer", "queues",  "workers",
                                        "match",     "analysis", "metrics", "broker",
                                        "tasks",     "tree",     "task"};

static enum zkt_err
ask(struct question *question, enum ask_kind kind, struct problem *problem)
{
    switch (kind) {
    case ASK_CONSUMERS:
        return ask_consumers(question, false, consumer_row, problem);
    case ASK_CONSUMER:
        return ask_consumers(question, true, consumer_row, problem);
    case ASK_QUEUES:
        return ask_consumers(question, false, queue_row, problem);
    case ASK_WORKERS:
        return ask_workers(question, problem);
    case ASK_MATCH:
        return ask_match(question, problem);
    case ASK_ANALYSIS:
        return ask_analysis(question, problem);
    case ASK_METRICS:
        return ask_metrics(question, problem);
    case ASK_TASKS:
        return ask_store(question, QUERY_TASKS, problem);
    case ASK_TREE:
        return ask_store(question, QUERY_TREE, problem);
    case ASK_TASK:
        return ask_store(question, QUERY_TASK, problem);
    case ASK_BROKER:
        return ask_broker(question, problem);
    }
    return ZKT_OK;
}

static enum zkt_err
parse_kind(struct span what, enum ask_kind *kind, struct problem *problem)
{
    for (size_t i = 0; i < sizeof ask_names / sizeof *ask_names; i++) {
        if (span_equal(what, span_of_text(ask_names[i]))) {
            *kind = (enum ask_kind)i;
            return ZKT_OK;
        }
    }
    return problem_set(problem, ZKT_INVALID,
                       "what: \"%.*s\" is none of consumers, consumer, queues, workers, match, "
                       "analysis, metrics, tasks, tree, task, broker",
                       what.len < 64 ? (int)what.len : 64, (const char *)what.data);
}

static uint32_t
rows_max_of(const struct value *args)
{
    const struct value *limit = value_get(args, "limit");
    if (limit == NULL || limit->type != VALUE_INT || limit->integer < 1) {
        return 100;
    }
    return limit->integer > LIMIT_PAGE_ROWS ? LIMIT_PAGE_ROWS : (uint32_t)limit->integer;
}

void
handle_query(struct engine *engine, struct session *session, const struct command *command)
{
    struct problem problem = {0};
    struct question question = {
        .engine = engine,
        .session = session,
        .command = command,
        .args = &command->request.args,
        .rows_max = rows_max_of(&command->request.args),
        .rows = value_list(),
    };
    enum ask_kind kind = ASK_CONSUMERS;
    if (parse_kind(command->request.what, &kind, &problem) != ZKT_OK ||
        ask(&question, kind, &problem) != ZKT_OK) {
        session_error(engine, session, command, &problem);
        return;
    }
    if (kind >= ASK_TASKS) {
        return; // answered by handle_result
    }
    struct command answer = {.verb = VERB_ANSWER,
                             .id = command->id,
                             .answer = {.rows = question.rows, .next = question.next}};
    (void)session_send(engine, session, &answer);
}
