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
        return problem_set(problem, ZKT_IN_USE, "consumer \"%.*s\" has %zu workers",
                           (int)identity->len, identity->text, consumer->sessions_count);
    }
    consumer_drop(engine, consumer);
    return ZKT_OK;
}

static enum zkt_err
retry(struct engine *engine, const struct value *args, struct value *rows, struct problem *problem)
{
    const struct value *text = value_get(args, "uid");
    struct uid uid;
    struct uid retried;
    if (text == NULL || text->type != VALUE_STRING || !uid_parse(text->text, text->len, &uid)) {
        return problem_set(problem, ZKT_INVALID, "uid: a task's uid is needed");
    }
    enum zkt_err code = store_retry(engine->store, &uid, engine->wall_ms, &retried);
    if (code == ZKT_NOT_FOUND) {
        return problem_set(problem, code, "no task %.*s", (int)text->len, text->text);
    }
    if (code != ZKT_OK) {
        return problem_set(problem, code, "task %.*s is not crashed", (int)text->len, text->text);
    }
    struct arena *arena = release_arena(engine);
    char retried_text[UID_TEXT_SIZE];
    uid_format(&retried, retried_text);
    struct value row = value_map();
    value_put(arena, &row, "uid", value_text(arena, retried_text));
    value_append(arena, rows, row);
    return ZKT_OK;
}

void
handle_control(struct engine *engine, struct session *session, const struct command *command)
{
    const struct request *request = &command->request;
    struct problem problem = {0};
    struct value rows = value_list();
    enum zkt_err code = ZKT_OK;
    if (session->role != ROLE_OPERATOR) {
        code = problem_set(&problem, ZKT_DENIED, "role: CONTROL is for an operator");
    } else if (span_equal(request->what, span_of_text("delete_consumer"))) {
        code = delete_consumer(engine, &request->args, &problem);
    } else if (span_equal(request->what, span_of_text("retry"))) {
        code = retry(engine, &request->args, &rows, &problem);
    } else {
        code = problem_set(
            &problem, ZKT_INVALID, "what: \"%.*s\" is none of delete_consumer, retry",
            request->what.len < 64 ? (int)request->what.len : 64, (const char *)request->what.data);
    }
    if (code != ZKT_OK) {
        session_error(engine, session, command, &problem);
        return;
    }
    answer_rows(engine, session, command->id, rows);
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
