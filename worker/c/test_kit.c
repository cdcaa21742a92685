// The test kit (I5): one task through process on the caller's thread, with no broker and no store.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/filter.h"
#include "options.h"
#include "worker.h"

// The bytes of a child's resource as they were when it was sent.
struct kept_data {
    struct kept_data *next;
    struct uid uid;
    uint8_t *data;
    size_t size;
};

struct zkt_test {
    struct zkt_worker worker;
    struct zkt_delivery *delivery;
    const char *state;
    char *error;
    struct bytes log;
    struct zkt_task **children;
    size_t children_count;
    struct kept_data *kept;
};

void
test_log(struct zkt_test *test, enum zkt_level level, const char *message)
{
    bytes_printf(&test->log, "[%s] ", level_name(level));
    bytes_append_text(&test->log, message);
    bytes_append_byte(&test->log, '\n');
}

struct span
test_identity(const struct zkt_test *test)
{
    return test->worker.io.options.identity;
}

const char *
test_temp_dir(const struct zkt_test *test)
{
    return test->worker.temp_dir;
}

static void
keep_data(struct zkt_test *test, const struct zkt_resource *resource)
{
    struct problem problem;
    int fd = resource_open(resource, &problem);
    size_t size = (size_t)resource->model.size;
    struct kept_data *kept = xcalloc(1, sizeof *kept);
    kept->uid = resource->model.uid;
    kept->data = xmalloc(size + 1);
    ssize_t got = 0;
    while (fd != -1 && kept->size < size &&
           (got = read(fd, kept->data + kept->size, size - kept->size)) > 0) {
        kept->size += (size_t)got;
    }
    if (fd != -1) {
        close(fd);
    }
    kept->next = test->kept;
    test->kept = kept;
}

void
test_keep_child(struct zkt_test *test, struct zkt_task *child)
{
    for (size_t item_index = 0; item_index < child->resources.count; item_index++) {
        if (child->resources.items[item_index]->source != SOURCE_REMOTE) {
            keep_data(test, child->resources.items[item_index]);
        }
    }
    test->children = xrealloc(test->children, (test->children_count + 1) * sizeof *test->children);
    test->children[test->children_count++] = child;
}

// What routing does to an unrouted task (S4-S6, A4).
static struct zkt_delivery *
route(struct zkt_test *test, struct zkt_task **task_p)
{
    struct zkt_delivery *delivery = delivery_new();
    task_name(*task_p, NULL);
    delivery->task = **task_p;
    free(*task_p);
    *task_p = NULL;
    struct zkt_task *task = &delivery->task;
    task->model.orig = task->model.uid;
    uid_random(&task->model.uid);
    task->is_delivered = true;
    struct span identity = test_identity(test);
    value_put(&task->arena, &task->model.headers, "receiver",
              value_string(&task->arena, identity.data, identity.len));
    delivery->attempt = 1;
    delivery->test = test;
    return delivery;
}

static enum zkt_err
matches(struct zkt_test *test, bool *is_match)
{
    struct filter *filter = NULL;
    struct filter_outcome outcome = {0};
    *is_match = true;
    if (test->worker.options.join) {
        return ZKT_OK;
    }
    enum zkt_err err =
        filter_compile(&test->worker.io.options.bind.filters, &filter, &test->worker.problem);
    if (err == ZKT_OK) {
        *is_match = filter_match(filter, &test->delivery->task.model.headers, &outcome);
    }
    filter_destroy(&filter);
    return err;
}

static void
run(struct zkt_test *test)
{
    struct zkt_delivery *delivery = test->delivery;
    worker_process(&test->worker, delivery);
    if (delivery->is_given_back) {
        test->state = "Returned";
    } else if (delivery->result == ZKT_OK) {
        test->state = "Finished";
    } else {
        const char *reason = zkt_delivery_error(delivery);
        test->state = "Crashed";
        test->error = xstrdup(reason == NULL ? zkt_err_name(delivery->result) : reason);
    }
}

enum zkt_err
zkt_test_run(const zkt_worker_options_t *options, zkt_task_t **task_p, zkt_test_t **test_out)
{
    struct zkt_test *test = xcalloc(1, sizeof *test);
    *test_out = test;
    test->state = "Rejected";
    zkt_worker_options_t own = *options;
    struct zkt_config *none = NULL;
    if (own.config == NULL) {
        // Tests do not depend on what is configured on the machine.
        none = xcalloc(1, sizeof *none);
        none->config = config_new();
        own.config = none;
    }
    enum zkt_err err = worker_configure(&test->worker, &own);
    test->worker.own_config = none;
    struct zkt_task *task = *task_p;
    if (err == ZKT_OK && (task == NULL || task->error != NULL)) {
        err = problem_set(&test->worker.problem, ZKT_INVALID, "%s",
                          task == NULL ? "no task" : task->error);
    }
    bool is_match = false;
    if (err == ZKT_OK) {
        test->delivery = route(test, task_p);
        err = matches(test, &is_match);
    }
    if (err == ZKT_OK && is_match) {
        run(test);
    }
    if (err != ZKT_OK) {
        test->error = xstrdup(test->worker.problem.text);
    }
    zkt_task_destroy(task_p);
    return err;
}

const char *
zkt_test_state(const zkt_test_t *test)
{
    return test->state;
}

const char *
zkt_test_error(const zkt_test_t *test)
{
    return test->error;
}

const char *
zkt_test_log(const zkt_test_t *test)
{
    // Terminating the text changes nothing that can be seen.
    struct zkt_test *same = (struct zkt_test *)(uintptr_t)test;
    return bytes_text(&same->log);
}

size_t
zkt_test_children_count(const zkt_test_t *test)
{
    return test->children_count;
}

const zkt_task_t *
zkt_test_child(const zkt_test_t *test, size_t child_index)
{
    return child_index < test->children_count ? test->children[child_index] : NULL;
}

const void *
zkt_test_data(const zkt_test_t *test, const zkt_resource_t *resource, size_t *size)
{
    *size = 0;
    for (const struct kept_data *kept = test->kept; resource != NULL && kept != NULL;
         kept = kept->next) {
        if (uid_equal(&kept->uid, &resource->model.uid)) {
            *size = kept->size;
            return kept->data;
        }
    }
    return NULL;
}

void
zkt_test_destroy(zkt_test_t **test_p)
{
    struct zkt_test *test = *test_p;
    *test_p = NULL;
    if (test == NULL) {
        return;
    }
    delivery_destroy(&test->delivery);
    for (size_t child_index = 0; child_index < test->children_count; child_index++) {
        zkt_task_destroy(&test->children[child_index]);
    }
    while (test->kept != NULL) {
        struct kept_data *kept = test->kept;
        test->kept = kept->next;
        free(kept->data);
        free(kept);
    }
    free(test->children);
    free(test->error);
    bytes_fini(&test->log);
    worker_fini(&test->worker);
    free(test);
}
