// What process may do with its task: send children, fail, give back. Files: handout.c.
#include "delivery.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "client.h"
#include "worker.h"

enum { FAILURE_BYTES = 16 << 10, CANCEL_LOOK_MS = 100 };

// ---- Life

struct zkt_delivery *
delivery_new(void)
{
    struct zkt_delivery *delivery = xcalloc(1, sizeof *delivery);
    task_init(&delivery->task);
    delivery->note.kind = NOTE_DELIVERY;
    atomic_init(&delivery->cancel_reason, CANCEL_NONE);
    atomic_init(&delivery->cancel_fd, -1);
    return delivery;
}

void
delivery_destroy(struct zkt_delivery **delivery_p)
{
    struct zkt_delivery *delivery = *delivery_p;
    *delivery_p = NULL;
    if (delivery == NULL) {
        return;
    }
    int cancel_fd = atomic_load(&delivery->cancel_fd);
    if (cancel_fd != -1) {
        close(cancel_fd);
    }
    delivery_clean(delivery);
    task_fini(&delivery->task);
    free(delivery->error);
    free(delivery->failure);
    free(delivery);
}

void
delivery_cancel(struct zkt_delivery *delivery, enum cancel_reason reason)
{
    int none = CANCEL_NONE;
    atomic_compare_exchange_strong(&delivery->cancel_reason, &none, (int)reason);
    int cancel_fd = atomic_load(&delivery->cancel_fd);
    if (cancel_fd != -1) {
        uint64_t one = 1;
        ssize_t written = write(cancel_fd, &one, sizeof one);
        (void)written; // readable already
    }
}

bool
zkt_delivery_is_cancelled(const zkt_delivery_t *delivery)
{
    return atomic_load(&delivery->cancel_reason) != CANCEL_NONE;
}

int
zkt_delivery_cancel_fd(zkt_delivery_t *delivery)
{
    int cancel_fd = atomic_load(&delivery->cancel_fd);
    if (cancel_fd == -1) {
        cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        atomic_store(&delivery->cancel_fd, cancel_fd);
        // The cancelling may have come before the descriptor was there to be written.
        if (cancel_fd != -1 && zkt_delivery_is_cancelled(delivery)) {
            delivery_cancel(delivery, CANCEL_REVOKED);
        }
    }
    return cancel_fd;
}

unsigned
zkt_delivery_attempt(const zkt_delivery_t *delivery)
{
    return delivery->attempt;
}

const zkt_task_t *
zkt_delivery_task(const zkt_delivery_t *delivery)
{
    return &delivery->task;
}

zkt_client_t *
zkt_delivery_client(zkt_delivery_t *delivery)
{
    return delivery->slot == NULL ? NULL : &delivery->slot->client;
}

// ---- Failing

enum zkt_err
delivery_problem(struct zkt_delivery *delivery, const struct problem *problem)
{
    delivery->problem = *problem;
    return problem->code;
}

const char *
zkt_delivery_error(const zkt_delivery_t *delivery)
{
    if (delivery->failure != NULL) {
        return delivery->failure;
    }
    return delivery->problem.code == ZKT_OK ? NULL : delivery->problem.text;
}

enum zkt_err
zkt_delivery_fail(zkt_delivery_t *delivery, const char *format, ...)
{
    char *text = xmalloc(FAILURE_BYTES);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, FAILURE_BYTES, format, arguments);
    va_end(arguments);
    free(delivery->failure);
    delivery->failure = text;
    return ZKT_FAILED;
}

enum zkt_err
zkt_delivery_give_back(zkt_delivery_t *delivery, int64_t delay_ms)
{
    delivery->is_given_back = true;
    delivery->give_back_delay_ms = delay_ms < 0 ? 0 : delay_ms;
    return ZKT_OK;
}

// ---- Children

static enum zkt_err
check_may_send(struct zkt_delivery *delivery, const struct zkt_task *child)
{
    struct problem problem = {0};
    if (child == NULL) {
        problem_set(&problem, ZKT_INVALID, "no task to send");
    } else if (child->is_delivered) {
        problem_set(&problem, ZKT_INVALID, "a delivered task is not sent again: derive one");
    } else if (zkt_delivery_is_cancelled(delivery)) {
        problem_set(&problem, ZKT_CANCELLED, "the task was cancelled");
    }
    return problem.code == ZKT_OK ? ZKT_OK : delivery_problem(delivery, &problem);
}

// Makes child ready and hands it on; *child_p is consumed if that succeeds.
static enum zkt_err
post_child(struct zkt_delivery *delivery, struct zkt_task **child_p, bool is_waited_for)
{
    struct zkt_task *child = *child_p;
    struct problem problem = {0};
    struct span identity = delivery->test != NULL ? test_identity(delivery->test)
                                                  : delivery->slot->worker->io.options.identity;
    task_name(child, delivery->slot == NULL ? NULL : &delivery->slot->client.uids);
    task_inherit(child, &delivery->task);
    task_address(child, identity);
    if (task_pack(child, &problem) != ZKT_OK) {
        return delivery_problem(delivery, &problem);
    }
    if (delivery->test != NULL) {
        test_keep_child(delivery->test, child);
        *child_p = NULL;
        return ZKT_OK;
    }
    struct zkt_client *client = &delivery->slot->client;
    enum zkt_err err = client_upload(client, child);
    if (err == ZKT_OK) {
        child->delivery = delivery->number;
        child->parent = delivery;
        child->is_waited_for = is_waited_for;
        client->wanted = is_waited_for ? child : NULL;
        client->is_wanted_back = false;
        err = client_put(client, child_p);
    }
    if (err != ZKT_OK) {
        client->wanted = NULL;
    }
    return err == ZKT_OK ? ZKT_OK : delivery_problem(delivery, &client->problem);
}

// Waits until the child is on disk or refused, or the delivery is cancelled.
static enum zkt_err
wait_for_child(struct zkt_delivery *delivery, struct zkt_task *child)
{
    struct zkt_client *client = &delivery->slot->client;
    struct problem problem = {0};
    while (!client->is_wanted_back) {
        client_collect(client, clock_monotonic_ms() + CANCEL_LOOK_MS);
        if (!client->is_wanted_back && zkt_delivery_is_cancelled(delivery)) {
            client->wanted = NULL;
            problem_set(&problem, ZKT_CANCELLED, "the task was cancelled");
            return delivery_problem(delivery, &problem);
        }
    }
    client->wanted = NULL;
    if (child->refusal != NULL) {
        problem = *child->refusal;
    }
    zkt_task_destroy(&child);
    return problem.code == ZKT_OK ? ZKT_OK : delivery_problem(delivery, &problem);
}

enum zkt_err
zkt_delivery_post(zkt_delivery_t *delivery, zkt_task_t **child_p)
{
    enum zkt_err err = check_may_send(delivery, *child_p);
    if (err == ZKT_OK) {
        err = post_child(delivery, child_p, false);
    }
    zkt_task_destroy(child_p);
    return err;
}

enum zkt_err
zkt_delivery_send(zkt_delivery_t *delivery, zkt_task_t **child_p)
{
    struct zkt_task *child = *child_p;
    enum zkt_err err = check_may_send(delivery, child);
    if (err == ZKT_OK) {
        err = post_child(delivery, child_p, true);
    }
    if (err == ZKT_OK && delivery->test == NULL) {
        err = wait_for_child(delivery, child);
    }
    zkt_task_destroy(child_p);
    return err;
}
