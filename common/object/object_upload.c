// Uploads into the directory store: hashed while they stream to a temporary file, checked, synced,
// renamed, and the folder synced. In every other case nothing is kept. What is there is never
// replaced: the same bytes again are a client that did not hear its answer, others are refused.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

enum {
    FLUSH_BYTES = 8 << 20, // written out early, so that the final sync is short
    COMPARE_BYTES = 64 << 10,
};

struct object_upload {
    const struct object_dir *dir;
    struct object_grant grant;
    char *temp_path;
    int fd;
    int64_t done_bytes;
    int64_t flushed_bytes;
    bool is_renamed; // temp_path is gone
    EVP_MD_CTX *digest;
};

static enum zkt_err
io_problem(struct problem *problem, const char *path)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    return problem_set(problem, is_full ? ZKT_DISK_FULL : ZKT_IO, "%s: %s", path, strerror(errno));
}

// Takes the space at once, so that a disk that is too small says so before the bytes are sent. Not
// every file system can.
static enum zkt_err
reserve(const struct object_upload *upload, struct problem *problem)
{
    int result;
    if (upload->grant.size == 0) {
        return ZKT_OK;
    }
    do {
        result = fallocate(upload->fd, 0, 0, upload->grant.size);
    } while (result == -1 && errno == EINTR);
    if (result == -1 && errno == EFBIG) {
        return problem_set(problem, ZKT_TOO_LARGE, "no file can have %" PRId64 " bytes here",
                           upload->grant.size);
    }
    bool is_full = result == -1 && (errno == ENOSPC || errno == EDQUOT);
    return is_full ? io_problem(problem, upload->dir->temp_path) : ZKT_OK;
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
    enum zkt_err err = reserve(begun, problem);
    if (err != ZKT_OK) {
        object_upload_abort(upload);
    }
    return err;
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
    if (upload->done_bytes - upload->flushed_bytes >= FLUSH_BYTES) {
        // Only begins to write, and only to be early: its failure shows in the sync.
        sync_file_range(upload->fd, upload->flushed_bytes,
                        upload->done_bytes - upload->flushed_bytes, SYNC_FILE_RANGE_WRITE);
        upload->flushed_bytes = upload->done_bytes;
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
hash_file(int fd, const char *path, uint8_t digest[EVP_MAX_MD_SIZE], struct problem *problem)
{
    char part[COMPARE_BYTES];
    ssize_t len;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    zkt_assert(context != NULL);
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    while ((len = read(fd, part, sizeof(part))) > 0 || (len == -1 && errno == EINTR)) {
        EVP_DigestUpdate(context, part, len > 0 ? (size_t)len : 0);
    }
    enum zkt_err err = len == -1 ? io_problem(problem, path) : ZKT_OK;
    EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    return err;
}

// The uid is taken: fine if by the same bytes.
static enum zkt_err
compare(const struct object_upload *upload, const char *path, struct problem *problem)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1) {
        return io_problem(problem, path);
    }
    enum zkt_err err = hash_file(fd, path, digest, problem);
    close(fd);
    if (err == ZKT_OK && memcmp(digest, upload->grant.sha256, sizeof(upload->grant.sha256)) != 0) {
        err = problem_set(problem, ZKT_IN_USE, "the object exists with another content");
    }
    return err;
}

static enum zkt_err
publish_as(struct object_upload *upload, const char *path, struct problem *problem)
{
    int result = renameat2(AT_FDCWD, upload->temp_path, AT_FDCWD, path, RENAME_NOREPLACE);
    if (result == -1 && errno == EINVAL) {
        result = rename(upload->temp_path, path); // a file system that cannot tell
    }
    if (result == -1 && errno == EEXIST) {
        return compare(upload, path, problem);
    }
    upload->is_renamed = result == 0;
    return result == 0 ? ZKT_OK : io_problem(problem, path);
}

static enum zkt_err
publish(struct object_upload *upload, struct problem *problem)
{
    if (fsync(upload->fd) == -1) {
        return io_problem(problem, upload->temp_path);
    }
    char *path = object_dir_path(upload->dir, &upload->grant.uid);
    char *folder = xstrdup(path);
    *strrchr(folder, '/') = '\0';
    enum zkt_err err = publish_as(upload, path, problem);
    if (err == ZKT_OK) {
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
        if (!upload->is_renamed) {
            unlink(upload->temp_path);
        }
    }
    EVP_MD_CTX_free(upload->digest);
    free(upload->temp_path);
    free(upload);
}
