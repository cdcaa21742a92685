#include "core/wait.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "core/session.h"

// All that wait for one analysis.
struct wait_root {
    struct uid root;
    struct list waits;
};
struct wait {
    struct wait_root *of;
    struct session *session;
    struct list_link in_root;
    struct list_link in_session;
    uint64_t id;
};

bool
wait_add(struct engine *engine, struct session *session, const struct uid *root, uint64_t id)
{
    if (session->waits_count >= LIMIT_WAITS) {
        return false;
    }
    struct wait_root *of = map_get(engine->waits_by_root, root->bytes, sizeof root->bytes);
    if (of == NULL) {
        of = xcalloc(1, sizeof *of);
        of->root = *root;
        list_init(&of->waits);
        (void)map_put(engine->waits_by_root, root->bytes, sizeof root->bytes, of);
    }
    struct wait *wait = xcalloc(1, sizeof *wait);
    wait->of = of;
    wait->session = session;
    wait->id = id;
    list_append(&of->waits, &wait->in_root);
    list_append(&session->waits, &wait->in_session);
    session->waits_count++;
    return true;
}

static void
wait_free(struct engine *engine, struct wait *wait)
{
    struct wait_root *of = wait->of;
    list_remove(&wait->in_root);
    list_remove(&wait->in_session);
    wait->session->waits_count--;
    free(wait);
    if (list_is_empty(&of->waits)) {
        (void)map_remove(engine->waits_by_root, of->root.bytes, sizeof of->root.bytes);
        free(of);
    }
}

void
wait_drop_all(struct engine *engine, struct session *session)
{
    struct list_link *link = NULL;
    while ((link = list_first(&session->waits)) != NULL) {
        wait_free(engine, container_of(link, struct wait, in_session));
    }
    zkt_assert(session->waits_count == 0);
}

struct command
wait_done_command(const struct uid *root, const struct analysis_counts *counts, uint64_t id)
{
    bool is_timed = counts->started_ms >= 0 && counts->done_ms >= counts->started_ms;
    return (struct command){
        .verb = VERB_DONE,
        .id = id,
        .done = {.root = *root,
                 .finished_count = counts->finished_count,
                 .crashed_count = counts->crashed_count,
                 .elapsed_ms = is_timed ? counts->done_ms - counts->started_ms : -1},
    };
}

void
wait_analysis_done(struct engine *engine, const struct uid *root,
                   const struct analysis_counts *counts)
{
    if (map_len(engine->waits_by_root) == 0) {
        return;
    }
    struct wait_root *of = map_get(engine->waits_by_root, root->bytes, sizeof root->bytes);
    while (of != NULL) {
        struct wait *wait = container_of(list_first(&of->waits), struct wait, in_root);
        struct session *session = wait->session;
        struct command command = wait_done_command(root, counts, wait->id);
        wait_free(engine, wait);
        of = map_get(engine->waits_by_root, root->bytes, sizeof root->bytes);
        (void)session_send(engine, session, &command);
    }
}

uint64_t
request_open_new(struct engine *engine, const struct request_open *request)
{
    struct request_open *copy = xmalloc(sizeof *copy);
    *copy = *request;
    uint64_t number = ++engine->next_request;
    number_map_put(&engine->requests, number, copy);
    return number;
}

bool
request_open_take(struct engine *engine, uint64_t number, struct request_open *out)
{
    struct request_open *request = number_map_remove(&engine->requests, number);
    if (request == NULL) {
        return false;
    }
    *out = *request;
    free(request);
    return true;
}

void
request_open_destroy_all(struct engine *engine)
{
    for (size_t i = 0; i < engine->requests.capacity; i++) {
        free(engine->requests.slots[i].value);
    }
}
