// What process may do with its task: send children, read files, fail, give back.
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
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

static void
remove_tree(char *path)
{
    char *const roots[] = {path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry = NULL;
    while (walk != NULL && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_info == FTS_D) {
            chmod(entry->fts_accpath, 0700); // process may have locked itself out
        } else if (entry->fts_info == FTS_DP) {
            rmdir(entry->fts_accpath);
        } else {
            unlink(entry->fts_accpath);
        }
    }
    if (walk != NULL) {
        fts_close(walk);
    }
}

void
delivery_clean(struct zkt_delivery *delivery)
{
    while (delivery->handouts != NULL) {
        struct handout *handout = delivery->handouts;
        delivery->handouts = handout->next;
        if (handout->data != NULL) {
            munmap(handout->data, handout->size);
        }
        free(handout->path);
        free(handout);
    }
    if (delivery->folder != NULL) {
        remove_tree(delivery->folder);
        free(delivery->folder);
        delivery->folder = NULL;
    }
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

// ---- Files

static enum zkt_err
io_problem(struct zkt_delivery *delivery, const char *what)
{
    struct problem problem;
    problem_set(&problem, ZKT_IO, "%s: %s", what, strerror(errno));
    return delivery_problem(delivery, &problem);
}

static enum zkt_err
make_folder(struct zkt_delivery *delivery)
{
    if (delivery->folder != NULL) {
        return ZKT_OK;
    }
    const char *temp_dir =
        delivery->slot == NULL ? test_temp_dir(delivery->test) : delivery->slot->worker->temp_dir;
    char *folder = xasprintf("%s/zkarton-XXXXXX", temp_dir);
    if (mkdtemp(folder) == NULL) {
        enum zkt_err err = io_problem(delivery, folder);
        free(folder);
        return err;
    }
    delivery->folder = folder;
    return ZKT_OK;
}

static struct handout *
add_handout(struct zkt_delivery *delivery, const char *prefix)
{
    struct handout *handout = xcalloc(1, sizeof *handout);
    handout->path = xasprintf("%s/%s%u", delivery->folder, prefix, delivery->files_count++);
    handout->next = delivery->handouts;
    delivery->handouts = handout;
    return handout;
}

static struct handout *
find_file(struct zkt_delivery *delivery, const struct zkt_resource *resource)
{
    struct handout *handout = delivery->handouts;
    while (handout != NULL && !uid_equal(&handout->resource, &resource->model.uid)) {
        handout = handout->next;
    }
    return handout;
}

static enum zkt_err
fetch(struct zkt_delivery *delivery, const struct zkt_resource *resource, int fd)
{
    if (delivery->slot != NULL) {
        struct zkt_client *client = &delivery->slot->client;
        enum zkt_err err = client_fetch(client, resource, fd);
        return err == ZKT_OK ? ZKT_OK : delivery_problem(delivery, &client->problem);
    }
    struct problem problem = {0};
    int from_fd = resource_open(resource, &problem);
    enum zkt_err err = from_fd == -1 ? problem.code : copy_fd(from_fd, fd, &problem);
    if (from_fd != -1) {
        close(from_fd);
    }
    return err == ZKT_OK ? ZKT_OK : delivery_problem(delivery, &problem);
}

static enum zkt_err
file_of(struct zkt_delivery *delivery, const struct zkt_resource *resource,
        struct handout **handout_out)
{
    struct problem problem;
    if (resource == NULL) {
        problem_set(&problem, ZKT_INVALID, "no such resource");
        return delivery_problem(delivery, &problem);
    }
    *handout_out = find_file(delivery, resource);
    if (*handout_out != NULL) {
        return ZKT_OK;
    }
    enum zkt_err err = make_folder(delivery);
    if (err != ZKT_OK) {
        return err;
    }
    struct handout *handout = add_handout(delivery, "file-");
    int fd = open(handout->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd == -1) {
        return io_problem(delivery, handout->path);
    }
    err = fetch(delivery, resource, fd);
    if (close(fd) == -1 && err == ZKT_OK) {
        err = io_problem(delivery, handout->path);
    }
    if (err == ZKT_OK) {
        handout->resource = resource->model.uid;
        *handout_out = handout;
    }
    return err;
}

enum zkt_err
zkt_delivery_file(zkt_delivery_t *delivery, const zkt_resource_t *resource, const char **path)
{
    struct handout *handout = NULL;
    enum zkt_err err = file_of(delivery, resource, &handout);
    *path = err == ZKT_OK ? handout->path : NULL;
    return err;
}

enum zkt_err
zkt_delivery_data(zkt_delivery_t *delivery, const zkt_resource_t *resource, const void **data,
                  size_t *size)
{
    struct handout *handout = NULL;
    *data = NULL;
    *size = 0;
    enum zkt_err err = file_of(delivery, resource, &handout);
    if (err != ZKT_OK) {
        return err;
    }
    if (handout->data == NULL) {
        // Mapped from the file: a large resource is page cache, not this process's memory.
        int fd = open(handout->path, O_RDONLY | O_CLOEXEC);
        struct stat status = {0};
        bool is_fine = fd != -1 && fstat(fd, &status) == 0;
        void *mapped = NULL;
        if (is_fine && status.st_size > 0) {
            mapped = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
            is_fine = mapped != MAP_FAILED;
        }
        if (!is_fine) {
            err = io_problem(delivery, handout->path);
        } else {
            handout->data = mapped;
            handout->size = (size_t)status.st_size;
        }
        if (fd != -1) {
            close(fd);
        }
    }
    if (err == ZKT_OK) {
        *data = handout->data == NULL ? "" : handout->data;
        *size = handout->size;
    }
    return err;
}

enum zkt_err
zkt_delivery_folder(zkt_delivery_t *delivery, const zkt_resource_t *zip, const char **path)
{
    *path = NULL;
    struct handout *archive = NULL;
    enum zkt_err err = zip == NULL ? make_folder(delivery) : file_of(delivery, zip, &archive);
    if (err != ZKT_OK) {
        return err;
    }
    struct handout *handout = add_handout(delivery, "folder-");
    if (mkdir(handout->path, 0700) == -1) {
        return io_problem(delivery, handout->path);
    }
    struct problem problem;
    if (archive != NULL && zip_extract(archive->path, handout->path, &problem) != ZKT_OK) {
        problem_in(&problem, "%s: ", zip->name_text);
        return delivery_problem(delivery, &problem);
    }
    *path = handout->path;
    return ZKT_OK;
}
