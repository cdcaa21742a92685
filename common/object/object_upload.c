// Uploads into the directory store: hashed while they stream to a temporary file, checked, sealed,
// synced, renamed, and the folder synced. In every other case nothing is kept. The objects of tasks
// are never replaced: the same bytes again are a client that did not hear its answer, others are
// refused. What clients put under keys of their own is replaced by the rename, at once and whole.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

enum { PLACE_TRIES = 16 }; // for folders that a delete takes away meanwhile

struct object_upload {
    const struct object_dir *dir;
    struct object_place place;
    struct object_meta meta; // size is what has to come
    bool has_want;
    uint8_t want_sha256[32];
    bool is_only_new;
    char *match; // NULL: whatever is there
    bool is_part;
    char *temp_path;
    int fd;
    int64_t done_bytes;
    bool is_renamed; // temp_path is gone
    bool has_etag;   // given
    bool has_md5;    // is the ETag; otherwise, and without a given one, half of the SHA-256
    struct object_hashing *hashing;
};

// Takes the space at once, so that a disk that is too small says so before the bytes are sent. Not
// every file system can.
static enum zkt_err
reserve(const struct object_upload *upload, struct problem *problem)
{
    struct statvfs disk;
    int result;
    if (statvfs(upload->dir->temp_path, &disk) == 0) {
        uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
        uint64_t needed = (uint64_t)upload->meta.size + upload->dir->reserve_bytes;
        if (upload->dir->reserve_bytes > 0 && free_bytes < needed) {
            return problem_set(problem, ZKT_DISK_FULL,
                               "%s: %" PRIu64 " bytes are free, %" PRIu64 " stay free for tasks",
                               upload->dir->temp_path, free_bytes, upload->dir->reserve_bytes);
        }
    }
    if (upload->meta.size == 0) {
        return ZKT_OK;
    }
    do {
        result = fallocate(upload->fd, 0, 0, upload->meta.size);
    } while (result == -1 && errno == EINTR);
    if (result == -1 && errno == EFBIG) {
        return problem_set(problem, ZKT_TOO_LARGE, "no file can have %" PRId64 " bytes here",
                           upload->meta.size);
    }
    bool is_full = result == -1 && (errno == ENOSPC || errno == EDQUOT);
    return is_full ? object_io_problem(problem, upload->dir->temp_path) : ZKT_OK;
}

// Takes place->path.
static enum zkt_err
begin(const struct object_dir *dir, const struct object_put *put, struct object_place *place,
      struct object_upload **upload, struct problem *problem)
{
    struct object_upload *begun = xcalloc(1, sizeof(*begun));
    *upload = begun;
    begun->dir = dir;
    begun->place = *place;
    place->path = NULL;
    begun->meta.size = put->size;
    bytes_append(&begun->meta.headers, put->headers.data, put->headers.len);
    begun->is_only_new = put->condition.is_only_new;
    begun->match = put->condition.match != NULL ? xstrdup(put->condition.match) : NULL;
    begun->is_part = put->upload != NULL;
    begun->has_want = put->sha256 != NULL;
    if (begun->has_want) {
        memcpy(begun->want_sha256, put->sha256, sizeof(begun->want_sha256));
    }
    begun->has_etag = put->etag != NULL;
    begun->has_md5 = !begun->has_etag && !put->is_etag_short;
    if (begun->has_etag) {
        snprintf(begun->meta.etag, sizeof(begun->meta.etag), "%s", put->etag);
    }
    begun->temp_path = xasprintf("%s/XXXXXX", dir->temp_path);
    begun->fd = mkostemp(begun->temp_path, O_CLOEXEC);
    enum zkt_err err =
        begun->fd == -1 ? object_io_problem(problem, dir->temp_path) : reserve(begun, problem);
    if (err != ZKT_OK) {
        object_upload_abort(upload);
        return err;
    }
    begun->hashing = object_hashing_new(dir->hashers, begun->fd, put->size, begun->has_md5);
    return ZKT_OK;
}

// The place of a part; its upload has to be there, and of this key.
static enum s3_code
part_place(const struct object_dir *dir, const struct object_put *put, struct object_place *place,
           struct problem *problem)
{
    char *folder;
    *place = (struct object_place){.path = NULL};
    if (put->part < 1 || put->part > OBJECT_PARTS_MAX) {
        problem_set(problem, ZKT_INVALID, "parts are numbered from 1 to %d", OBJECT_PARTS_MAX);
        return S3_INVALID_ARGUMENT;
    }
    enum s3_code code =
        object_parts_folder(dir, put->bucket, put->key, put->upload, &folder, problem);
    if (code == S3_OK) {
        place->root_len = strlen(folder);
        place->path = xasprintf("%s/%05" PRIu32, folder, put->part);
    }
    free(folder);
    return code;
}

// Whether what is at path now, if anything, is as the condition wants it.
static enum s3_code
check_condition(const char *path, const struct object_condition *condition, struct problem *problem)
{
    struct object_meta meta = {.size = 0};
    enum s3_code code = S3_OK;
    if (!condition->is_only_new && condition->match == NULL) {
        return S3_OK;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)) {
        code = condition->match != NULL ? S3_NO_SUCH_KEY : S3_OK;
    } else if (fd == -1) {
        return object_code_of(object_io_problem(problem, path));
    } else if (object_file_read(fd, path, &meta, problem) != ZKT_OK) {
        close(fd);
        return object_code_of(problem->code);
    } else {
        bool is_same = condition->match == NULL || strcmp(condition->match, "*") == 0 ||
                       object_etag_is(condition->match, meta.etag);
        code = condition->is_only_new || !is_same ? S3_PRECONDITION_FAILED : S3_OK;
        object_meta_fini(&meta);
        close(fd);
    }
    if (code != S3_OK) {
        problem_set(problem, code == S3_NO_SUCH_KEY ? ZKT_NOT_FOUND : ZKT_IN_USE, "%s",
                    s3_code_text(code));
    }
    return code;
}

enum s3_code
object_put_begin(struct object_store *store, const struct object_put *put,
                 struct object_upload **upload, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_place place;
    char etag[UID_TEXT_SIZE];
    struct object_put what = *put;
    *upload = NULL;
    enum s3_code code = put->upload != NULL
                            ? part_place(dir, put, &place, problem)
                            : object_place_of(dir, put->bucket, put->key, &place, problem);
    if (code != S3_OK) {
        return code == S3_NO_SUCH_KEY ? S3_INVALID_ARGUMENT : code;
    }
    code = check_condition(place.path, &put->condition, problem);
    if (code != S3_OK) {
        free(place.path);
        return code;
    }
    if (place.is_home) {
        uid_format(&place.uid, etag);
        what.etag = etag; // the uid stands for its only content
    }
    return object_code_of(begin(dir, &what, &place, upload, problem));
}

enum zkt_err
object_upload_begin(struct object_store *store, const struct object_grant *grant,
                    struct object_upload **upload, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    char key[UID_TEXT_SIZE];
    zkt_assert(grant->is_put);
    uid_format(&grant->uid, key);
    struct object_put put = {.bucket = dir->bucket, .key = key, .size = grant->size};
    if (grant->part > 0) {
        put.upload = grant->upload;
        put.part = grant->part;
        put.is_etag_short = true; // the broker's clients compare it with nothing
    } else {
        put.sha256 = grant->sha256;
    }
    enum s3_code code = object_put_begin(store, &put, upload, problem);
    return code == S3_OK ? ZKT_OK : problem->code;
}

enum zkt_err
object_upload_write(struct object_upload *upload, const void *data, size_t size,
                    struct problem *problem)
{
    const char *at = data;
    if ((uint64_t)size > (uint64_t)(upload->meta.size - upload->done_bytes)) {
        return problem_set(problem, ZKT_TOO_LARGE, "more than the %" PRId64 " bytes announced",
                           upload->meta.size);
    }
    size_t left = size;
    while (left > 0) {
        ssize_t written = write(upload->fd, at, left);
        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return object_io_problem(problem, upload->temp_path);
        }
        at += written;
        left -= (size_t)written;
        upload->done_bytes += written;
    }
    object_hashing_add(upload->hashing, data, size);
    return ZKT_OK;
}

static enum zkt_err
check(struct object_upload *upload, struct problem *problem)
{
    uint8_t md5[16] = {0};
    if (upload->done_bytes != upload->meta.size) {
        return problem_set(problem, ZKT_INVALID,
                           "%" PRId64 " bytes came, %" PRId64 " were announced", upload->done_bytes,
                           upload->meta.size);
    }
    enum zkt_err err = object_hashing_finish(upload->hashing, upload->meta.sha256,
                                             upload->has_md5 ? md5 : NULL, problem);
    if (err != ZKT_OK) {
        return err;
    }
    upload->meta.has_sha256 = true;
    if (upload->has_want &&
        memcmp(upload->meta.sha256, upload->want_sha256, sizeof(upload->want_sha256)) != 0) {
        return problem_set(problem, ZKT_INVALID, "the SHA-256 of what came is another");
    }
    if (!upload->has_etag) {
        hex_format(upload->has_md5 ? md5 : upload->meta.sha256, sizeof(md5), upload->meta.etag);
    }
    return ZKT_OK;
}

// The uid is taken: fine if by the same bytes.
static enum zkt_err
compare(const struct object_upload *upload, struct problem *problem)
{
    const char *path = upload->place.path;
    struct object_meta meta = {.size = 0};
    uint8_t sha256[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1) {
        return object_io_problem(problem, path);
    }
    enum zkt_err err = object_file_read(fd, path, &meta, problem);
    if (err == ZKT_OK) {
        err = object_file_hash(fd, path, meta.size, sha256, problem);
    }
    close(fd);
    object_meta_fini(&meta);
    if (err == ZKT_OK && memcmp(sha256, upload->meta.sha256, sizeof(sha256)) != 0) {
        err = problem_set(problem, ZKT_IN_USE, "the object exists with another content");
    }
    return err;
}

static enum zkt_err
rename_once(struct object_upload *upload, struct problem *problem)
{
    const char *path = upload->place.path;
    const struct object_condition condition = {.match = upload->match};
    bool is_new = upload->place.is_home || upload->is_only_new;
    int result = -1;
    object_names_lock();
    if (check_condition(path, &condition, problem) != S3_OK) {
        object_names_unlock();
        errno = 0;
        return problem->code;
    }
    result = renameat2(AT_FDCWD, upload->temp_path, AT_FDCWD, path, is_new ? RENAME_NOREPLACE : 0);
    if (result == -1 && errno == EINVAL && access(path, F_OK) != 0) {
        result = rename(upload->temp_path, path); // a file system that cannot tell
    }
    object_names_unlock();
    if (result == -1 && errno == EEXIST) {
        return upload->is_only_new
                   ? problem_set(problem, ZKT_IN_USE, "there is an object with this key")
                   : compare(upload, problem);
    }
    upload->is_renamed = result == 0;
    return result == 0 ? ZKT_OK : object_io_problem(problem, path);
}

// A part does not make the folder of its upload anew.
static enum zkt_err
rename_into_place(struct object_upload *upload, struct problem *problem)
{
    enum zkt_err err = ZKT_IO;
    bool is_again = true;
    for (unsigned tries = 0; is_again && tries < PLACE_TRIES; tries++) {
        err = object_place_make(&upload->place, problem);
        if (err == ZKT_OK) {
            err = rename_once(upload, problem);
        }
        is_again = err == ZKT_IO && errno == ENOENT && !upload->is_part;
    }
    if (err == ZKT_IO && errno == ENOENT && upload->is_part) {
        return problem_set(problem, ZKT_NOT_FOUND, "%s", s3_code_text(S3_NO_SUCH_UPLOAD));
    }
    return err;
}

static enum zkt_err
publish(struct object_upload *upload, struct problem *problem)
{
    enum zkt_err err = object_file_seal(upload->fd, upload->temp_path, &upload->meta, problem);
    if (err == ZKT_OK && fsync(upload->fd) == -1) {
        err = object_io_problem(problem, upload->temp_path);
    }
    if (err == ZKT_OK) {
        err = rename_into_place(upload, problem);
    }
    if (err == ZKT_OK) {
        char *last = strrchr(upload->place.path, '/');
        *last = '\0';
        err = object_dir_sync(upload->place.path, problem);
        *last = '/';
    }
    return err;
}

static enum s3_code
code_of(const struct object_upload *upload, enum zkt_err err)
{
    switch (err) {
    case ZKT_INVALID:
        return S3_CONTENT_SHA256_MISMATCH;
    case ZKT_NOT_FOUND:
        return upload->is_part ? S3_NO_SUCH_UPLOAD : S3_NO_SUCH_KEY;
    case ZKT_IN_USE:
        return upload->is_only_new || upload->match != NULL ? S3_PRECONDITION_FAILED
                                                            : S3_OPERATION_ABORTED;
    default:
        return object_code_of(err);
    }
}

enum s3_code
object_put_finish(struct object_upload **upload_p, char etag[OBJECT_ETAG_SIZE],
                  struct problem *problem)
{
    struct object_upload *upload = *upload_p;
    enum zkt_err err = check(upload, problem);
    if (err == ZKT_OK) {
        err = publish(upload, problem);
    }
    snprintf(etag, OBJECT_ETAG_SIZE, "%s", upload->meta.etag);
    enum s3_code code = code_of(upload, err);
    object_upload_abort(upload_p);
    return code;
}

void
object_upload_abort(struct object_upload **upload_p)
{
    struct object_upload *upload = *upload_p;
    *upload_p = NULL;
    if (upload == NULL) {
        return;
    }
    object_hashing_destroy(&upload->hashing);
    if (upload->fd != -1) {
        close(upload->fd);
        if (!upload->is_renamed) {
            unlink(upload->temp_path);
        }
    }
    object_meta_fini(&upload->meta);
    free(upload->place.path);
    free(upload->temp_path);
    free(upload->match);
    free(upload);
}
