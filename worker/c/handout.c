// Files that process is handed: everything is below one folder of the delivery and ends with it.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/memory.h"
#include "base/scratch.h"
#include "client.h"
#include "delivery.h"
#include "worker.h"

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
        tree_remove(delivery->folder);
        free(delivery->folder);
        delivery->folder = NULL;
    }
}

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
    const char *parent = delivery->slot == NULL ? test_temp_dir(delivery->test)
                         : delivery->slot->worker->scratch.path != NULL
                             ? delivery->slot->worker->scratch.path
                             : delivery->slot->worker->temp_dir; // which says what is wrong
    char *folder = xasprintf("%s/zkarton-XXXXXX", parent);
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
