// Uploads into the directory store: hashed while they stream to a temporary file, checked, synced,
// renamed, and the folder synced. In every other case nothing is kept.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

struct object_upload {
    const struct object_dir *dir;
    struct object_grant grant;
    char *temp_path;
    int fd;
    int64_t done_bytes;
    EVP_MD_CTX *digest;
};

static enum zkt_err
io_problem(struct problem *problem, const char *path)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    return problem_set(problem, is_full ? ZKT_DISK_FULL : ZKT_IO, "%s: %s", path, strerror(errno));
}

enum zkt_err
object_upload_begin(struct object_store *store, const struct object_grant *grant,
                    struct object_upload **upload, struct problem *problem)
{
    zkt_assert(grant->is_put);
    struct object_upload *begun = xcalloc(1, sizeof(*begun));
    begun->dir = object_dir_of(store);
    begun->grant = *grant;
    begun->temp_path = xasprintf("%s/XXXXXX", begun->dir->temp_path);
    begun->fd = mkostemp(begun->temp_path, O_CLOEXEC);
    begun->digest = EVP_MD_CTX_new();
    *upload = begun;
    if (begun->fd == -1) {
        enum zkt_err err = io_problem(problem, begun->dir->temp_path);
        object_upload_abort(upload);
        return err;
    }
    zkt_assert(begun->digest != NULL);
    int is_ready = EVP_DigestInit_ex(begun->digest, EVP_sha256(), NULL);
    zkt_assert(is_ready == 1);
    return ZKT_OK;
}

enum zkt_err
object_upload_write(struct object_upload *upload, const void *data, size_t size,
                    struct problem *problem)
{
    const char *at = data;
    if ((uint64_t)size > (uint64_t)(upload->grant.size - upload->done_bytes)) {
        return problem_set(problem, ZKT_TOO_LARGE, "more than the %" PRId64 " bytes of the URL",
                           upload->grant.size);
    }
    EVP_DigestUpdate(upload->digest, data, size);
    while (size > 0) {
        ssize_t written = write(upload->fd, at, size);
        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return io_problem(problem, upload->temp_path);
        }
        at += written;
        size -= (size_t)written;
        upload->done_bytes += written;
    }
    return ZKT_OK;
}

static enum zkt_err
check(struct object_upload *upload, struct problem *problem)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (upload->done_bytes != upload->grant.size) {
        return problem_set(problem, ZKT_INVALID, "%" PRId64 " bytes came, the URL is for %" PRId64,
                           upload->done_bytes, upload->grant.size);
    }
    EVP_DigestFinal_ex(upload->digest, digest, &digest_len);
    if (memcmp(digest, upload->grant.sha256, sizeof(upload->grant.sha256)) != 0) {
        return problem_set(problem, ZKT_INVALID, "the SHA-256 of what came is not the URL's");
    }
    return ZKT_OK;
}

static enum zkt_err
publish(struct object_upload *upload, struct problem *problem)
{
    char *path = object_dir_path(upload->dir, &upload->grant.uid);
    char *folder = xstrdup(path);
    *strrchr(folder, '/') = '\0';
    enum zkt_err err = ZKT_OK;
    if (fsync(upload->fd) == -1) {
        err = io_problem(problem, upload->temp_path);
    } else if (rename(upload->temp_path, path) == -1) {
        err = io_problem(problem, path);
    } else {
        err = object_dir_sync(folder, problem);
    }
    free(folder);
    free(path);
    return err;
}

enum zkt_err
object_upload_finish(struct object_upload **upload_p, struct problem *problem)
{
    struct object_upload *upload = *upload_p;
    enum zkt_err err = check(upload, problem);
    if (err == ZKT_OK) {
        err = publish(upload, problem);
    }
    // After the rename there is no temporary file any more, and this removes nothing.
    object_upload_abort(upload_p);
    return err;
}

void
object_upload_abort(struct object_upload **upload_p)
{
    struct object_upload *upload = *upload_p;
    *upload_p = NULL;
    if (upload == NULL) {
        return;
    }
    if (upload->fd != -1) {
        close(upload->fd);
        unlink(upload->temp_path);
    }
    EVP_MD_CTX_free(upload->digest);
    free(upload->temp_path);
    free(upload);
}
