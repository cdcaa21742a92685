// CONTROL: what an operator does to consumers and tasks. WAIT: the end of an analysis.
#include "core/handle.h"

#include <string.h>

#include "core/consumer.h"
#include "core/release.h"
#include "core/session.h"
#include "core/wait.h"

static void
answer_rows(struct engine *engine, struct session *session, uint64_t id, struct value rows)
{
    struct command command = {.verb = VERB_ANSWER, .id = id, .answer = {.rows = rows}};
    release_answer(engine, session, &command);
}

static enum zkt_err
delete_consumer(struct engine *engine, const struct value *args, struct problem *problem)
{
    const struct value *identity = value_get(args, "identity");
    if (identity == NULL || identity->type != VALUE_STRING) {
        return problem_set(problem, ZKT_INVALID, "identity: a string is needed");
    }
    struct consumer *consumer =
        consumer_of_identity(engine, span_of(identity->text, identity->len));
    if (consumer == NULL) {
        return problem_set(problem, ZKT_NOT_FOUND, "no consumer \"%.*s\"", (int)identity->len,
                           identity->text);
    }
    if (consumer->sessions_count > 0) {
        return problem_set(problem, ZKT_IN_USE, "consumer \"%.*s\" has %zu worker%s",
                           (int)identity->len, identity->text, consumer->sessions_count,
                           consumer->sessions_count == 1 ? "" : "s");
    }
    consumer_drop(engine, consumer);
    return ZKT_OK;
}

// Answered by handle_retried.
static enum zkt_err
retry(struct engine *engine, struct session *session, const struct command *command,
      struct problem *problem)
{
    const struct value *text = value_get(&command->request.args, "uid");
    struct uid uid;
    if (text == NULL || text->type != VALUE_STRING || !uid_parse(text->text, text->len, &uid)) {
        return problem_set(problem, ZKT_INVALID, "uid: a task's uid is needed");
    }
    enum zkt_err code = session_may_ask(session, problem);
    if (code != ZKT_OK) {
        return code;
    }
    struct request_open request = {.session = session->number, .command_id = command->id};
    uint64_t number = request_open_new(engine, &request);
    code = store_retry(engine->store, &uid, number, engine->wall_ms);
    if (code == ZKT_OK) {
        session->requests_count++;
        return ZKT_OK;
    }
    (void)request_open_take(engine, number, &request);
    return problem_set(problem, code,
                       code == ZKT_NOT_FOUND ? "no task %.*s" : "task %.*s is not crashed",
                       (int)text->len, text->text);
}

void
handle_retried(struct engine *engine, uint64_t number, const struct uid *retried)
{
    struct request_open request;
    struct session *session = request_open_take(engine, number, &request)
                                  ? number_map_get(&engine->sessions, request.session)
                                  : NULL;
    if (session == NULL) {
        return;
    }
    session->requests_count--;
    struct command command = {.verb = VERB_CONTROL, .id = request.command_id};
    if (retried == NULL) {
        struct problem problem = {0};
        problem_set(&problem, ZKT_NOT_FOUND,
                    "the task's record is damaged, or its consumer is gone");
        session_error(engine, session, &command, &problem);
        return;
    }
    struct arena *arena = release_arena(engine);
    struct value rows = value_list();
    struct value row = value_map();
    char text[UID_TEXT_SIZE];
    uid_format(retried, text);
    value_put(arena, &row, "uid", value_text(arena, text));
    value_append(arena, &rows, row);
    answer_rows(engine, session, command.id, rows);
}

void
handle_control(struct engine *engine, struct session *session, const struct command *command)
{
    const struct request *request = &command->request;
    struct problem problem = {0};
    enum zkt_err code = ZKT_OK;
    if (session->role != ROLE_OPERATOR) {
        code = problem_set(&problem, ZKT_DENIED, "role: CONTROL is for an operator");
    } else if (span_equal(request->what, span_of_text("delete_consumer"))) {
        code = delete_consumer(engine, &request->args, &problem);
        if (code == ZKT_OK) {
            answer_rows(engine, session, command->id, value_list());
        }
    } else if (span_equal(request->what, span_of_text("retry"))) {
        code = retry(engine, session, command, &problem);
    } else {
        code = problem_set(
            &problem, ZKT_INVALID, "what: \"%.*s\" is none of delete_consumer, retry",
            request->what.len < 64 ? (int)request->what.len : 64, (const char *)request->what.data);
    }
    if (code != ZKT_OK) {
        session_error(engine, session, command, &problem);
    }
}

void
handle_wait(struct engine *engine, struct session *session, const struct command *command)
{
    const struct uid *root = &command->wait_root;
    struct problem problem = {0};
    struct analysis_counts counts = {0};
    if (store_analysis_is_live(engine->store, root)) {
        if (!wait_add(engine, session, root, command->id)) {
            problem_set(&problem, ZKT_LIMIT, "%d WAITs are open already", LIMIT_WAITS);
            session_error(engine, session, command, &problem);
        }
        return;
    }
    if (!store_analysis_done(engine->store, root, &counts)) {
        char text[UID_TEXT_SIZE];
        uid_format(root, text);
        problem_set(&problem, ZKT_NOT_FOUND, "no analysis %s", text);
        session_error(engine, session, command, &problem);
        return;
    }
    struct command done = wait_done_command(root, &counts, command->id);
    release_answer(engine, session, &done);
}
