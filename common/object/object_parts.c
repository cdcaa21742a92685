// Uploads in parts. DIR/parts/NAME/ is one: "info" says of what, 00001… are the parts, each a
// sealed file of its own, whole or not there. They survive a restart. Completing copies the parts
// into a temporary file while it is hashed and goes on as every upload does; only then they go. A
// crash before that leaves the upload as it was, one behind it leaves an upload whose object is
// there.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

enum { NAME_LEN = 32, INFO_MAX = 64 << 10, COPY_STEP = 256 << 10 };

static enum s3_code
refuse(struct problem *problem, enum s3_code code)
{
    problem_set(problem, s3_code_status(code) == 404 ? ZKT_NOT_FOUND : ZKT_INVALID, "%s",
                s3_code_text(code));
    return code;
}

static enum s3_code
io_code(struct problem *problem, const char *path)
{
    return object_code_of(object_io_problem(problem, path));
}

// To be freed; NULL: no upload can have this name.
static char *
folder_of(const struct object_dir *dir, const char *upload)
{
    bool is_name = strlen(upload) == NAME_LEN && strspn(upload, "0123456789abcdef") == NAME_LEN;
    return is_name ? xasprintf("%s/%s", dir->parts_path, upload) : NULL;
}

// ---- Beginning

static enum zkt_err
write_info(const char *path, const struct bytes *info, struct problem *problem)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd == -1) {
        return object_io_problem(problem, path);
    }
    bool is_written = write(fd, info->data, info->len) == (ssize_t)info->len && fsync(fd) == 0;
    enum zkt_err err = is_written ? ZKT_OK : object_io_problem(problem, path);
    close(fd);
    return err;
}

// The folder appears with its info in it, or not at all.
static enum zkt_err
make_upload(const struct object_dir *dir, const char *name, const struct bytes *info,
            struct problem *problem)
{
    char *aside = xasprintf("%s/%s", dir->temp_path, name);
    char *path = xasprintf("%s/info", aside);
    char *folder = folder_of(dir, name);
    enum zkt_err err = object_dir_make(aside, problem);
    if (err == ZKT_OK) {
        err = write_info(path, info, problem);
    }
    if (err == ZKT_OK) {
        err = object_dir_sync(aside, problem);
    }
    if (err == ZKT_OK && rename(aside, folder) == -1) {
        err = object_io_problem(problem, folder);
    }
    if (err == ZKT_OK) {
        err = object_dir_sync(dir->parts_path, problem);
    } else {
        object_dir_remove(aside);
    }
    free(aside);
    free(path);
    free(folder);
    return err;
}

enum s3_code
object_parts_begin(struct object_store *store, const char *bucket, const char *key,
                   struct span headers, struct bytes *upload, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_place place;
    struct bytes info = {0};
    uint8_t drawn[NAME_LEN / 2];
    char name[NAME_LEN + 1];
    enum s3_code code = object_place_of(dir, bucket, key, &place, problem);
    if (code != S3_OK) {
        return code == S3_NO_SUCH_KEY ? S3_INVALID_ARGUMENT : code;
    }
    free(place.path);
    if (getrandom(drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn)) {
        return io_code(problem, "getrandom");
    }
    hex_format(drawn, sizeof(drawn), name);
    bytes_printf(&info, "bucket %s\nkey ", bucket);
    s3_escape(&info, key, true);
    bytes_printf(&info, "\nstarted %" PRId64 "\n", clock_wall_ms());
    bytes_append(&info, headers.data, headers.len);
    enum zkt_err err = info.len > INFO_MAX
                           ? problem_set(problem, ZKT_INVALID, "the headers are too long")
                           : make_upload(dir, name, &info, problem);
    if (err == ZKT_OK) {
        bytes_append_text(upload, name);
    }
    bytes_fini(&info);
    return object_code_of(err);
}

// ---- Reading them

static void
info_fini(struct object_parts_info *info)
{
    free(info->bucket);
    free(info->key);
    bytes_fini(&info->headers);
}

void
object_parts_infos_free(struct object_parts_info *infos, size_t infos_count)
{
    for (size_t i = 0; i < infos_count; i++) {
        info_fini(&infos[i]);
    }
    free(infos);
}

static void
take_info(char *text, struct object_parts_info *info)
{
    char *line;
    while ((line = strsep(&text, "\n")) != NULL) {
        if (info->bucket == NULL && strncmp(line, "bucket ", 7) == 0) {
            info->bucket = xstrdup(line + 7);
        } else if (info->key == NULL && strncmp(line, "key ", 4) == 0) {
            info->key = xstrdup(line + 4);
        } else if (info->started_ms == 0 && strncmp(line, "started ", 8) == 0) {
            info->started_ms = strtoll(line + 8, NULL, 10);
        } else if (*line != '\0') {
            bytes_printf(&info->headers, "%s\n", line);
        }
    }
}

static enum s3_code
read_info(const struct object_dir *dir, const char *upload, struct object_parts_info *info,
          struct problem *problem)
{
    char *folder = folder_of(dir, upload);
    char *path = folder != NULL ? xasprintf("%s/info", folder) : NULL;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    enum s3_code code = S3_OK;
    *info = (struct object_parts_info){.bucket = NULL};
    if (fd == -1) {
        code = path == NULL || errno == ENOENT ? refuse(problem, S3_NO_SUCH_UPLOAD)
                                               : io_code(problem, path);
    } else {
        char *text = xcalloc(1, INFO_MAX + 1);
        ssize_t len = read(fd, text, INFO_MAX);
        if (len == -1) {
            code = io_code(problem, path);
        } else {
            take_info(text, info);
            snprintf(info->upload, sizeof(info->upload), "%s", upload);
        }
        free(text);
        close(fd);
    }
    if (code == S3_OK &&
        (info->bucket == NULL || info->key == NULL || !s3_path_unescape(info->key))) {
        info_fini(info);
        problem_set(problem, ZKT_IO, "%s: cannot be read", path);
        code = S3_INTERNAL_ERROR;
    }
    free(path);
    free(folder);
    return code;
}

// The upload, if it is of this key.
static enum s3_code
find(const struct object_dir *dir, const char *bucket, const char *key, const char *upload,
     struct object_parts_info *info, struct problem *problem)
{
    enum s3_code code = read_info(dir, upload, info, problem);
    if (code == S3_OK && (strcmp(info->bucket, bucket) != 0 || strcmp(info->key, key) != 0)) {
        info_fini(info);
        code = refuse(problem, S3_NO_SUCH_UPLOAD);
    }
    return code;
}

enum s3_code
object_parts_folder(const struct object_dir *dir, const char *bucket, const char *key,
                    const char *upload, char **folder, struct problem *problem)
{
    struct object_parts_info info;
    *folder = NULL;
    enum s3_code code = find(dir, bucket, key, upload, &info, problem);
    if (code == S3_OK) {
        info_fini(&info);
        *folder = folder_of(dir, upload);
    }
    return code;
}

static enum s3_code
open_part(const struct object_dir *dir, const char *upload, uint32_t number, int *fd,
          struct object_meta *meta, struct problem *problem)
{
    char *folder = folder_of(dir, upload);
    char *path = xasprintf("%s/%05" PRIu32, folder, number);
    enum s3_code code = S3_OK;
    *meta = (struct object_meta){.size = 0};
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd == -1) {
        code = errno == ENOENT ? refuse(problem, S3_INVALID_PART) : io_code(problem, path);
    } else {
        code = object_code_of(object_file_read(*fd, path, meta, problem));
    }
    if (code != S3_OK && *fd != -1) {
        close(*fd);
    }
    free(path);
    free(folder);
    return code;
}

// ---- Completing

// The ETag of the whole: the MD5 of the MD5s, and how many.
static bool
add_etag(EVP_MD_CTX *md5, const char *etag)
{
    uint8_t digest[16];
    for (size_t i = 0; i < sizeof(digest); i++) {
        unsigned byte;
        if (sscanf(etag + 2 * i, "%2x", &byte) != 1) {
            return false;
        }
        digest[i] = (uint8_t)byte;
    }
    EVP_DigestUpdate(md5, digest, sizeof(digest));
    return true;
}

// Whether the parts are there as the client has them; the size and the ETag of the whole.
static enum s3_code
check_parts(const struct object_dir *dir, const char *upload, const struct object_part *parts,
            size_t parts_count, size_t part_min, int64_t *size, EVP_MD_CTX *md5,
            struct problem *problem)
{
    enum s3_code code = parts_count > 0 ? S3_OK : refuse(problem, S3_MALFORMED_XML);
    *size = 0;
    for (size_t i = 1; i < parts_count; i++) { // before anything is said of one of them
        if (parts[i].number <= parts[i - 1].number) {
            return refuse(problem, S3_INVALID_PART_ORDER);
        }
    }
    for (size_t i = 0; code == S3_OK && i < parts_count; i++) {
        struct object_meta meta;
        int fd;
        code = open_part(dir, upload, parts[i].number, &fd, &meta, problem);
        if (code != S3_OK) {
            return code;
        }
        close(fd);
        if (!object_etag_is(parts[i].etag, meta.etag) || !add_etag(md5, meta.etag)) {
            code = refuse(problem, S3_INVALID_PART);
        } else if (i + 1 < parts_count && meta.size < (int64_t)part_min) {
            code = refuse(problem, S3_ENTITY_TOO_SMALL);
        }
        *size += meta.size;
        object_meta_fini(&meta);
    }
    return code;
}

static enum s3_code
copy_part(const struct object_dir *dir, const char *upload, uint32_t number,
          struct object_upload *to, struct problem *problem)
{
    struct object_meta meta;
    struct bytes step = {0};
    int fd;
    enum s3_code code = open_part(dir, upload, number, &fd, &meta, problem);
    if (code != S3_OK) {
        return code;
    }
    bytes_reserve(&step, COPY_STEP);
    int64_t left = meta.size;
    while (code == S3_OK && left > 0) {
        ssize_t got = read(fd, step.data, left < COPY_STEP ? (size_t)left : COPY_STEP);
        if (got > 0) {
            code = object_code_of(object_upload_write(to, step.data, (size_t)got, problem));
            left -= got;
        } else if (got == 0 || errno != EINTR) {
            code = got == 0 ? refuse(problem, S3_INVALID_PART) : io_code(problem, dir->parts_path);
        }
    }
    bytes_fini(&step);
    object_meta_fini(&meta);
    close(fd);
    return code;
}

static enum s3_code
copy_parts(struct object_store *store, const struct object_put *put, const char *upload,
           const struct object_part *parts, size_t parts_count, char etag[OBJECT_ETAG_SIZE],
           struct problem *problem)
{
    struct object_upload *whole = NULL;
    enum s3_code code = object_put_begin(store, put, &whole, problem);
    for (size_t i = 0; code == S3_OK && i < parts_count; i++) {
        code = copy_part(object_dir_of(store), upload, parts[i].number, whole, problem);
    }
    if (code == S3_OK) {
        code = object_put_finish(&whole, etag, problem);
    }
    object_upload_abort(&whole);
    return code;
}

static void
remove_upload(const struct object_dir *dir, const char *upload)
{
    char *folder = folder_of(dir, upload);
    char *aside = xasprintf("%s/%s.gone", dir->temp_path, upload);
    // Gone at once; its parts follow, at the latest when the store is opened again.
    object_dir_remove(rename(folder, aside) == 0 ? aside : folder);
    free(aside);
    free(folder);
}

enum s3_code
object_parts_complete(struct object_store *store, const char *bucket, const char *key,
                      const char *upload, const struct object_part *parts, size_t parts_count,
                      const struct object_want *want, char etag[OBJECT_ETAG_SIZE],
                      struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_parts_info info;
    struct object_put put = {
        .bucket = bucket, .key = key, .sha256 = want->sha256, .condition = want->condition};
    uint8_t digest[EVP_MAX_MD_SIZE];
    enum s3_code code = find(dir, bucket, key, upload, &info, problem);
    if (code != S3_OK) {
        return code;
    }
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    zkt_assert(md5 != NULL);
    EVP_DigestInit_ex(md5, EVP_md5(), NULL);
    code = check_parts(dir, upload, parts, parts_count, want->part_min, &put.size, md5, problem);
    if (code == S3_OK && want->sha256 != NULL && put.size != want->size) {
        problem_set(problem, ZKT_INVALID, "the parts have %" PRId64 " bytes, the object %" PRId64,
                    put.size, want->size);
        code = S3_INVALID_REQUEST;
    }
    EVP_DigestFinal_ex(md5, digest, NULL);
    EVP_MD_CTX_free(md5);
    hex_format(digest, 16, etag);
    snprintf(etag + 32, OBJECT_ETAG_SIZE - 32, "-%zu", parts_count);
    char whole_etag[OBJECT_ETAG_SIZE];
    snprintf(whole_etag, sizeof(whole_etag), "%s", etag);
    put.etag = whole_etag;
    put.headers = bytes_span(&info.headers);
    if (code == S3_OK) {
        code = copy_parts(store, &put, upload, parts, parts_count, etag, problem);
    }
    if (code == S3_OK) {
        remove_upload(dir, upload);
    }
    info_fini(&info);
    return code;
}

enum s3_code
object_parts_abort(struct object_store *store, const char *bucket, const char *key,
                   const char *upload, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_parts_info info;
    enum s3_code code = find(dir, bucket, key, upload, &info, problem);
    if (code == S3_OK) {
        info_fini(&info);
        remove_upload(dir, upload);
    }
    return code;
}

// ---- Lists

enum s3_code
object_parts_list(struct object_store *store, const char *bucket, const char *key,
                  const char *upload, uint32_t after, struct object_part_info *parts,
                  size_t parts_max, size_t *parts_count, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_parts_info info;
    enum s3_code code = find(dir, bucket, key, upload, &info, problem);
    *parts_count = 0;
    if (code != S3_OK) {
        return code;
    }
    info_fini(&info);
    for (uint32_t number = after + 1; code == S3_OK && number <= OBJECT_PARTS_MAX; number++) {
        struct object_meta meta;
        int fd;
        if (*parts_count == parts_max) {
            return S3_OK;
        }
        code = open_part(dir, upload, number, &fd, &meta, problem);
        if (code == S3_INVALID_PART) {
            code = S3_OK; // not there
            continue;
        }
        if (code == S3_OK) {
            close(fd);
            struct object_part_info *part = &parts[(*parts_count)++];
            *part = (struct object_part_info){
                .number = number, .size = meta.size, .modified_ms = meta.modified_ms};
            snprintf(part->etag, sizeof(part->etag), "%s", meta.etag);
            object_meta_fini(&meta);
        }
    }
    return code;
}

static int
by_key(const void *a, const void *b)
{
    const struct object_parts_info *left = a;
    const struct object_parts_info *right = b;
    int order = strcmp(left->key, right->key);
    return order != 0 ? order : strcmp(left->upload, right->upload);
}

enum s3_code
object_parts_uploads(struct object_store *store, const char *bucket,
                     struct object_parts_info **infos, size_t *infos_count, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    enum s3_code code = S3_OK;
    *infos = NULL;
    *infos_count = 0;
    DIR *folder = opendir(dir->parts_path);
    struct dirent *entry;
    if (folder == NULL) {
        return io_code(problem, dir->parts_path);
    }
    while (code == S3_OK && (entry = readdir(folder)) != NULL) {
        struct object_parts_info info;
        code = read_info(dir, entry->d_name, &info, problem);
        if (code == S3_NO_SUCH_UPLOAD) {
            code = S3_OK; // something else, or gone meanwhile
        } else if (code == S3_OK && bucket != NULL && strcmp(info.bucket, bucket) != 0) {
            info_fini(&info);
        } else if (code == S3_OK) {
            *infos = xrealloc(*infos, (*infos_count + 1) * sizeof(**infos));
            (*infos)[(*infos_count)++] = info;
        }
    }
    closedir(folder);
    if (*infos_count > 0) {
        qsort(*infos, *infos_count, sizeof(**infos), by_key);
    }
    return code;
}

// ---- The seam

static enum zkt_err
err_of(enum s3_code code, const struct problem *problem)
{
    return code == S3_OK ? ZKT_OK : problem->code;
}

// Names of uploads are short texts; others name none.
static void
name_of(struct span upload, char name[NAME_LEN + 1])
{
    snprintf(name, NAME_LEN + 1, "%.*s", upload.len == NAME_LEN ? NAME_LEN : 0,
             (const char *)upload.data);
}

enum zkt_err
object_dir_begin(struct object_store *store, const struct object_info *object,
                 const uint8_t sha256[32], struct bytes *upload, struct problem *problem)
{
    char key[UID_TEXT_SIZE];
    (void)sha256; // told again when it is completed
    uid_format(&object->uid, key);
    return err_of(object_parts_begin(store, object_dir_of(store)->bucket, key, span_of("", 0),
                                     upload, problem),
                  problem);
}

enum zkt_err
object_dir_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                        uint32_t part, int64_t size, int64_t now_s, struct bytes *url)
{
    char name[NAME_LEN + 1];
    char part_text[16];
    char size_text[24];
    name_of(upload, name);
    snprintf(part_text, sizeof(part_text), "%" PRIu32, part);
    snprintf(size_text, sizeof(size_text), "%" PRId64, size);
    const struct s3_param params[] = {
        {"partNumber", part_text}, {"uploadId", name}, {"x-zkt-size", size_text}};
    object_dir_presign(object_dir_of(store), "PUT", uid, params, 3, now_s, url);
    return ZKT_OK;
}

// Whether an earlier call has done it, whose answer was not heard.
static enum zkt_err
is_done(struct object_store *store, const struct object_info *object, struct problem *problem)
{
    struct object_info info;
    struct problem missing;
    return object_store_head(store, &object->uid, &info, &missing) == ZKT_OK &&
                   info.size == object->size
               ? ZKT_OK
               : problem_set(problem, ZKT_NOT_FOUND, "%s", s3_code_text(S3_NO_SUCH_UPLOAD));
}

enum zkt_err
object_dir_complete(struct object_store *store, const struct object_info *object,
                    const uint8_t sha256[32], struct span upload, const struct span *etags,
                    size_t etags_count, struct problem *problem)
{
    const struct object_want want = {.size = object->size, .sha256 = sha256};
    char key[UID_TEXT_SIZE];
    char name[NAME_LEN + 1];
    char etag[OBJECT_ETAG_SIZE];
    uid_format(&object->uid, key);
    name_of(upload, name);
    struct object_part *parts = xcalloc(etags_count + 1, sizeof(*parts));
    for (size_t i = 0; i < etags_count; i++) {
        char *text = xmemdup(etags[i].data, etags[i].len);
        parts[i] = (struct object_part){.number = (uint32_t)i + 1, .etag = text};
    }
    enum s3_code code = object_parts_complete(store, object_dir_of(store)->bucket, key, name, parts,
                                              etags_count, &want, etag, problem);
    for (size_t i = 0; i < etags_count; i++) {
        free((char *)(uintptr_t)parts[i].etag);
    }
    free(parts);
    return code == S3_NO_SUCH_UPLOAD ? is_done(store, object, problem) : err_of(code, problem);
}

enum zkt_err
object_dir_abort(struct object_store *store, const struct uid *uid, struct span upload,
                 struct problem *problem)
{
    char key[UID_TEXT_SIZE];
    char name[NAME_LEN + 1];
    uid_format(uid, key);
    name_of(upload, name);
    enum s3_code code = object_parts_abort(store, object_dir_of(store)->bucket, key, name, problem);
    return code == S3_NO_SUCH_UPLOAD ? ZKT_OK : err_of(code, problem);
}

static bool
is_behind(const struct object_pending *pending, const struct object_pending *after)
{
    int order = after != NULL ? uid_compare(&pending->uid, &after->uid) : 1;
    return order > 0 || (order == 0 && strcmp(pending->upload, after->upload) > 0);
}

enum zkt_err
object_dir_list_pending(struct object_store *store, const struct object_pending *after,
                        struct object_pending *pendings, size_t pendings_max,
                        size_t *pendings_count, struct problem *problem)
{
    struct object_parts_info *infos = NULL;
    size_t infos_count = 0;
    *pendings_count = 0;
    enum s3_code code =
        object_parts_uploads(store, object_dir_of(store)->bucket, &infos, &infos_count, problem);
    for (size_t i = 0; code == S3_OK && i < infos_count && *pendings_count < pendings_max; i++) {
        struct object_pending pending = {.started_ms = infos[i].started_ms};
        snprintf(pending.upload, sizeof(pending.upload), "%s", infos[i].upload);
        if (uid_parse(infos[i].key, strlen(infos[i].key), &pending.uid) &&
            is_behind(&pending, after)) {
            pendings[(*pendings_count)++] = pending;
        }
    }
    object_parts_infos_free(infos, infos_count);
    return err_of(code, problem);
}
