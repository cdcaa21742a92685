// Resources: files that a payload refers to (B1-B4, T2, T6). Local ones are hashed when they are
// made; their bytes are read again when they are sent.
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/assert.h"
#include "base/hex.h"
#include "base/memory.h"
#include "handles.h"

enum { READ_BYTES = 1 << 16 };

static const char DEFAULT_BUCKET[] = "karton";

struct zkt_resource *
resource_new(const struct resource *model)
{
    struct zkt_resource *resource = xcalloc(1, sizeof *resource);
    atomic_init(&resource->references, 1);
    arena_init(&resource->arena);
    resource->fd = -1;
    resource->model = *model;
    resource->name_text = arena_copy(&resource->arena, model->name.data, model->name.len);
    resource->bucket_text = arena_copy(&resource->arena, model->bucket.data, model->bucket.len);
    resource->model.name = span_of(resource->name_text, model->name.len);
    resource->model.bucket = span_of(resource->bucket_text, model->bucket.len);
    resource->model.metadata = value_copy(&resource->arena, &model->metadata);
    uid_format(&model->uid, resource->uid_text);
    if (model->has_sha256) {
        hex_format(model->sha256, sizeof model->sha256, resource->sha256_text);
    }
    return resource;
}

struct zkt_resource *
resource_ref(const struct zkt_resource *resource)
{
    // Counting is the one thing that changes about a resource.
    struct zkt_resource *counted = (struct zkt_resource *)(uintptr_t)resource;
    atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
    return counted;
}

void
resource_unref(struct zkt_resource **resource_p)
{
    struct zkt_resource *resource = *resource_p;
    *resource_p = NULL;
    if (resource == NULL ||
        atomic_fetch_sub_explicit(&resource->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (resource->fd != -1) {
        close(resource->fd);
    }
    free(resource->path);
    free(resource->data);
    arena_fini(&resource->arena);
    free(resource);
}

static struct zkt_resource *
new_local(const char *name, int64_t size, const uint8_t sha256[32], uint32_t flags)
{
    struct bytes escaped = {0};
    text_escape_bytes(name, strlen(name), &escaped);
    struct resource model = {.name = bytes_span(&escaped),
                             .bucket = span_of_text(DEFAULT_BUCKET),
                             .size = size,
                             .has_sha256 = true,
                             .flags = flags};
    uid_random(&model.uid);
    memcpy(model.sha256, sha256, sizeof model.sha256);
    struct zkt_resource *resource = resource_new(&model);
    bytes_fini(&escaped);
    return resource;
}

// Hashes everything of fd from offset 0; its position stays where it is.
static enum zkt_err
hash_fd(int fd, int64_t *size, uint8_t sha256[32])
{
    uint8_t *block = xmalloc(READ_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    zkt_assert(context != NULL);
    int ok = EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    zkt_assert(ok == 1);
    ssize_t got = 0;
    *size = 0;
    while ((got = pread(fd, block, READ_BYTES, (off_t)*size)) > 0) {
        EVP_DigestUpdate(context, block, (size_t)got);
        *size += got;
    }
    ok = EVP_DigestFinal_ex(context, sha256, NULL);
    zkt_assert(ok == 1);
    EVP_MD_CTX_free(context);
    free(block);
    return got == 0 ? ZKT_OK : ZKT_IO;
}

// What the file looked like when it was hashed.
static void
keep_stamp(struct zkt_resource *resource, int fd)
{
    struct stat status;
    if (fstat(fd, &status) == 0) {
        resource->hashed_size = status.st_size;
        resource->hashed_at = status.st_mtim;
    }
}

struct zkt_resource *
resource_from_file(const char *name, const char *path, struct problem *problem)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd == -1 || fstat(fd, &status) == -1) {
        problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
        if (fd != -1) {
            close(fd);
        }
        return NULL;
    }
    int64_t size = 0;
    uint8_t sha256[32];
    if (!S_ISREG(status.st_mode) || hash_fd(fd, &size, sha256) != ZKT_OK) {
        problem_set(problem, ZKT_IO, "%s: %s", path,
                    S_ISREG(status.st_mode) ? strerror(errno) : "not a regular file");
        close(fd);
        return NULL;
    }
    struct zkt_resource *resource = new_local(name, size, sha256, 0);
    keep_stamp(resource, fd);
    close(fd);
    // Absolute, for the program may change its directory before it sends.
    char *absolute = realpath(path, NULL);
    resource->path = absolute != NULL ? absolute : xstrdup(path);
    resource->source = SOURCE_FILE;
    return resource;
}

enum zkt_err
resource_verify(const struct zkt_resource *resource, int fd, struct problem *problem)
{
    struct stat status;
    if (resource->source == SOURCE_DATA ||
        (fstat(fd, &status) == 0 && status.st_size == resource->hashed_size &&
         status.st_mtim.tv_sec == resource->hashed_at.tv_sec &&
         status.st_mtim.tv_nsec == resource->hashed_at.tv_nsec)) {
        return ZKT_OK;
    }
    int64_t size = 0;
    uint8_t sha256[32];
    if (hash_fd(fd, &size, sha256) != ZKT_OK || size != resource->model.size ||
        memcmp(sha256, resource->model.sha256, sizeof sha256) != 0) {
        return problem_set(problem, ZKT_IO,
                           "hash differs: the file changed after it was added to the task");
    }
    return ZKT_OK;
}

const char *
temp_path(void)
{
    const char *path = getenv("TMPDIR");
    return path == NULL || *path == '\0' ? "/tmp" : path;
}

struct zkt_resource *
resource_from_data(const char *name, const void *data, size_t size, struct problem *problem)
{
    if (data == NULL || size == 0) {
        problem_set(problem, ZKT_INVALID, "empty data. An empty file is sent by its path.");
        return NULL;
    }
    uint8_t sha256[32];
    int ok = EVP_Digest(data, size, sha256, NULL, EVP_sha256(), NULL);
    zkt_assert(ok == 1);
    struct zkt_resource *resource = new_local(name, (int64_t)size, sha256, 0);
    resource->data = xmemdup(data, size);
    resource->source = SOURCE_DATA;
    return resource;
}

static struct zkt_resource *
adopt_fd(const char *name, int fd, uint32_t flags, struct problem *problem)
{
    int64_t size = 0;
    uint8_t sha256[32];
    if (fd == -1 || hash_fd(fd, &size, sha256) != ZKT_OK) {
        problem_set(problem, ZKT_IO, "%s: %s", name, strerror(errno));
        if (fd != -1) {
            close(fd);
        }
        return NULL;
    }
    struct zkt_resource *resource = new_local(name, size, sha256, flags);
    resource->fd = fd;
    resource->source = SOURCE_FD;
    keep_stamp(resource, fd);
    return resource;
}

struct zkt_resource *
resource_from_fd(const char *name, int fd, struct problem *problem)
{
    return adopt_fd(name, fcntl(fd, F_DUPFD_CLOEXEC, 0), 0, problem);
}

struct zkt_resource *
resource_from_directory(const char *path, const char *temp_dir, struct problem *problem)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL || slash[1] == '\0' ? path : slash + 1;
    int fd = zip_directory(path, temp_dir, problem);
    return fd == -1 ? NULL : adopt_fd(name, fd, RESOURCE_DIRECTORY, problem);
}

static int
open_data(const struct zkt_resource *resource, struct problem *problem)
{
    int fd = memfd_create("zkarton-resource", MFD_CLOEXEC);
    size_t size = (size_t)resource->model.size;
    const uint8_t *data = resource->data;
    size_t done = 0;
    while (fd != -1 && done < size) {
        ssize_t written = write(fd, data + done, size - done);
        if (written == -1) {
            close(fd);
            fd = -1;
        } else {
            done += (size_t)written;
        }
    }
    if (fd == -1 || lseek(fd, 0, SEEK_SET) == -1) {
        problem_set(problem, ZKT_IO, "%s: %s", resource->name_text, strerror(errno));
    }
    return fd;
}

int
resource_open(const struct zkt_resource *resource, struct problem *problem)
{
    if (resource->source == SOURCE_DATA) {
        return open_data(resource, problem);
    }
    const char *path = resource->path;
    char through_proc[64];
    if (resource->source == SOURCE_FD) {
        // A new open file of the same bytes: the position of the original stays.
        snprintf(through_proc, sizeof through_proc, "/proc/self/fd/%d", resource->fd);
        path = through_proc;
    }
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        problem_set(problem, ZKT_IO, "%s: %s", resource->name_text,
                    path == NULL ? "not a local resource" : strerror(errno));
    }
    return fd;
}

enum zkt_err
copy_fd(int from_fd, int to_fd, struct problem *problem)
{
    uint8_t *block = xmalloc(READ_BYTES);
    ssize_t got = 0;
    ssize_t written = 0;
    while (written != -1 && (got = read(from_fd, block, READ_BYTES)) > 0) {
        for (ssize_t done = 0; written != -1 && done < got; done += written) {
            written = write(to_fd, block + done, (size_t)(got - done));
        }
    }
    enum zkt_err err = ZKT_OK;
    if (got == -1 || written == -1) {
        err = problem_set(problem, ZKT_IO, "copying: %s", strerror(errno));
    }
    free(block);
    return err;
}

size_t
resource_list_add(struct resource_list *list, const struct zkt_resource *resource)
{
    for (size_t item_index = 0; item_index < list->count; item_index++) {
        if (list->items[item_index] == resource) {
            return item_index;
        }
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity * 2 + 4;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count] = resource_ref(resource);
    return list->count++;
}

void
resource_list_fini(struct resource_list *list)
{
    for (size_t item_index = 0; item_index < list->count; item_index++) {
        resource_unref(&list->items[item_index]);
    }
    free(list->items);
    *list = (struct resource_list){0};
}

void
resource_list_adopt(struct resource_list *list, struct resource_list *from)
{
    for (size_t item_index = 0; item_index < from->count; item_index++) {
        resource_list_add(list, from->items[item_index]);
    }
    resource_list_fini(from);
}

const char *
zkt_resource_name(const zkt_resource_t *resource)
{
    return resource->name_text;
}

const char *
zkt_resource_uid(const zkt_resource_t *resource)
{
    return resource->uid_text;
}

const char *
zkt_resource_bucket(const zkt_resource_t *resource)
{
    return resource->bucket_text;
}

const char *
zkt_resource_sha256(const zkt_resource_t *resource)
{
    return resource->model.has_sha256 ? resource->sha256_text : NULL;
}

int64_t
zkt_resource_size(const zkt_resource_t *resource)
{
    return resource->model.size;
}

const zkt_value_t *
zkt_resource_metadata(const zkt_resource_t *resource)
{
    return value_public(&resource->model.metadata);
}

bool
zkt_resource_is_directory(const zkt_resource_t *resource)
{
    return (resource->model.flags & RESOURCE_DIRECTORY) != 0;
}
