// Asking the broker: WAIT, QUERY, CONTROL, and the waiting for any answer.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "client.h"
#include "wire/json.h"

enum { LOOK_PERIOD_MS = 2000 };

void
request_begin(struct question *request, enum verb verb)
{
    *request = (struct question){.note.kind = NOTE_REQUEST, .command.verb = verb};
    arena_init(&request->arena);
}

void
request_end(struct question *request)
{
    frame_unref(&request->frame);
    arena_fini(&request->arena);
}

static void
abandon(struct zkt_client *client, struct question *request)
{
    struct abandon *note = xcalloc(1, sizeof *note);
    note->note.kind = NOTE_ABANDON;
    note->request = request;
    if (!mailbox_put(&client->io->inbox, &note->note)) {
        free(note); // the thread is ending and answers by itself
    }
}

enum zkt_err
client_ask_watching(struct zkt_client *client, struct question *request, int64_t deadline_ms,
                    bool (*goes_on)(void *arg), void *arg)
{
    bool is_cancelled = false;
    int64_t look_ms = goes_on != NULL ? clock_monotonic_ms() + LOOK_PERIOD_MS : INT64_MAX;
    request->reply = &client->replies;
    request->is_answered = false;
    if (!mailbox_put(&client->io->inbox, &request->note)) {
        return client_problem(client, ZKT_CANCELLED, "the session was closed");
    }
    while (!request->is_answered) {
        bool is_some = client_collect(client, look_ms < deadline_ms ? look_ms : deadline_ms);
        int64_t now_ms = look_ms != INT64_MAX ? clock_monotonic_ms() : 0;
        bool is_over = !is_some && deadline_ms <= look_ms && deadline_ms != INT64_MAX;
        if (!request->is_answered && !is_over && now_ms >= look_ms) {
            look_ms = now_ms + LOOK_PERIOD_MS;
            is_cancelled = !goes_on(arg);
        }
        // A wait without an end follows the abandoning: that is always answered.
        if (is_over || (is_cancelled && deadline_ms != INT64_MAX)) {
            abandon(client, request);
            deadline_ms = look_ms = INT64_MAX;
        }
    }
    client->problem = request->problem;
    if (is_cancelled && request->problem.code != ZKT_OK) {
        return client_problem(client, ZKT_CANCELLED, "cancelled");
    }
    return request->problem.code;
}

enum zkt_err
client_ask(struct zkt_client *client, struct question *request, int64_t deadline_ms)
{
    return client_ask_watching(client, request, deadline_ms, NULL, NULL);
}

enum zkt_err
zkt_client_wait(zkt_client_t *client, const char *root_uid, int timeout_ms, zkt_summary_t *summary)
{
    struct question request;
    request_begin(&request, VERB_WAIT);
    if (root_uid == NULL || !uid_parse(root_uid, strlen(root_uid), &request.command.wait_root)) {
        request_end(&request);
        return client_problem(client, ZKT_INVALID, "\"%s\" is no root uid",
                              root_uid == NULL ? "" : root_uid);
    }
    int64_t deadline_ms = timeout_ms < 0 ? INT64_MAX : client_deadline(client, timeout_ms);
    enum zkt_err err = client_ask(client, &request, deadline_ms);
    if (err == ZKT_OK && summary != NULL) {
        summary->finished_count = request.answer.done.finished_count;
        summary->crashed_count = request.answer.done.crashed_count;
        summary->elapsed_ms = request.answer.done.elapsed_ms;
    }
    request_end(&request);
    return err;
}

// The answer in the application's hands: {"rows": [...], "next": cursor}.
static zkt_value_t *
own_answer(const struct answer *answer)
{
    struct owned_value *owned = owned_value_new();
    struct value rows = value_list();
    for (uint32_t row_index = 0; row_index < answer->rows.len; row_index++) {
        struct value row = value_copy(&owned->arena, &answer->rows.items[row_index]);
        row_open(owned, &row);
        value_append(&owned->arena, &rows, row);
    }
    owned->value = value_map();
    value_put(&owned->arena, &owned->value, "rows", rows);
    if (answer->next.len > 0) {
        value_put(&owned->arena, &owned->value, "next",
                  value_string(&owned->arena, answer->next.data, answer->next.len));
    }
    return (zkt_value_t *)owned;
}

static enum zkt_err
ask_what(struct zkt_client *client, enum verb verb, const char *what, const char *json,
         zkt_value_t **answer)
{
    struct question request;
    *answer = NULL;
    request_begin(&request, verb);
    request.is_once = verb == VERB_CONTROL;
    struct value args = value_map();
    enum zkt_err err = ZKT_OK;
    if (json != NULL) {
        err = json_parse(span_of_text(json), &request.arena, &args, &client->problem);
    }
    if (err == ZKT_OK && (args.type != VALUE_MAP || what == NULL)) {
        err = client_problem(client, ZKT_INVALID, "the arguments are no JSON object");
    }
    if (err == ZKT_OK) {
        value_put(&request.arena, &args, "what", value_text(&request.arena, what));
        request.command.request.what = span_of_text(what);
        request.command.request.args = args;
        err = client_ask(client, &request, client_deadline(client, 0));
    }
    if (err == ZKT_OK) {
        *answer = own_answer(&request.answer.answer);
    }
    request_end(&request);
    return err;
}

enum zkt_err
zkt_client_query(zkt_client_t *client, const char *what, const char *json, zkt_value_t **answer)
{
    return ask_what(client, VERB_QUERY, what, json, answer);
}

enum zkt_err
zkt_client_control(zkt_client_t *client, const char *what, const char *json, zkt_value_t **answer)
{
    return ask_what(client, VERB_CONTROL, what, json, answer);
}
