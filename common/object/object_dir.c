// The directory store. What it guarantees: a file under a uid has exactly the size and the hash
// that its URL was signed for, is on disk before its upload is answered, and is never replaced.
// What it does not: that a file is not damaged later; downloads are checked by their readers, and
// all files by `store check --objects`. It would break if two brokers shared the directory (the
// lock of the data directory forbids it).
#include "object/object_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"
#include "object/object_secret.h"

enum { PATH_PREFIX_LEN = 9, INFOS_STEP = 1024 };

static const char PATH_PREFIX[] = "/objects/";
// Stands for the host in signatures of URLs whose host is only known to the client.
static const char ANY_HOST[] = "zkarton";
_Static_assert(sizeof(PATH_PREFIX) - 1 == PATH_PREFIX_LEN, "the length of the prefix");

char *
object_dir_path(const struct object_dir *dir, const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    return xasprintf("%s/%.2s/%s", dir->path, text, text);
}

// ---- Opening

enum zkt_err
object_dir_make(const char *path, struct problem *problem)
{
    return mkdir(path, 0700) == -1 && errno != EEXIST ? object_io_problem(problem, path) : ZKT_OK;
}

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    (void)remove(path); // what stays is tried again at the next open
    return 0;
}

void
object_dir_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static enum zkt_err
make_folders(const struct object_dir *dir, struct problem *problem)
{
    enum zkt_err err = object_dir_make(dir->path, problem);
    for (unsigned shard = 0; err == ZKT_OK && shard < OBJECT_SHARDS; shard++) {
        char *path = xasprintf("%s/%02x", dir->path, shard);
        err = object_dir_make(path, problem);
        free(path);
    }
    const char *const others[] = {dir->temp_path, dir->parts_path, dir->buckets_path};
    for (size_t i = 0; err == ZKT_OK && i < sizeof(others) / sizeof(others[0]); i++) {
        err = object_dir_make(others[i], problem);
    }
    if (err == ZKT_OK) {
        err = object_dir_sync(dir->path, problem);
    }
    if (err == ZKT_OK) {
        char *parent = xasprintf("%s/..", dir->path);
        err = object_dir_sync(parent, problem);
        free(parent);
    }
    return err;
}

// Uploads that a dead broker left behind.
static enum zkt_err
empty_temp(const struct object_dir *dir, struct problem *problem)
{
    DIR *folder = opendir(dir->temp_path);
    if (folder == NULL) {
        return object_io_problem(problem, dir->temp_path);
    }
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char *path = xasprintf("%s/%s", dir->temp_path, entry->d_name);
            object_dir_remove(path);
            free(path);
        }
    }
    closedir(folder);
    return ZKT_OK;
}

// ---- URLs

void
object_dir_set_address(struct object_store *store, const char *address)
{
    struct object_dir *dir = object_dir_of(store);
    free(dir->address);
    dir->address = xstrdup(address);
    const char *host = strstr(address, "://");
    host = host != NULL ? host + 3 : address;
    bool has_host = host[0] != '\0' && host[0] != ':' && strchr(host, '/') == NULL;
    free(dir->host);
    dir->host = xstrdup(has_host ? host : ANY_HOST);
}

void
object_dir_presign(const struct object_dir *dir, const char *method, const struct uid *uid,
                   const struct s3_param *params, size_t params_count, int64_t now_s,
                   struct bytes *url)
{
    char path[PATH_PREFIX_LEN + UID_TEXT_SIZE];
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    snprintf(path, sizeof(path), "%s%s", PATH_PREFIX, text);
    const struct s3_request request = {
        .method = method,
        .host = dir->host,
        .path = path,
        .params = params,
        .params_count = params_count,
    };
    bytes_append_text(url, dir->address);
    s3_presign(&dir->key, &request, now_s, dir->url_ttl_s, url);
}

static enum zkt_err
dir_presign_put(struct object_store *store, const struct object_info *object,
                const uint8_t sha256[32], int64_t now_s, struct bytes *url)
{
    char size[24];
    char hex[S3_HEX_SIZE];
    snprintf(size, sizeof(size), "%" PRId64, object->size);
    hex_format(sha256, 32, hex);
    const struct s3_param params[] = {{"x-zkt-sha256", hex}, {"x-zkt-size", size}};
    object_dir_presign(object_dir_of(store), "PUT", &object->uid, params, 2, now_s, url);
    return ZKT_OK;
}

// A URL for GET is good for HEAD too: object_dir_authorize takes both as GET.
static enum zkt_err
dir_presign_get(struct object_store *store, const struct uid *uid, int64_t now_s, struct bytes *url)
{
    object_dir_presign(object_dir_of(store), "GET", uid, NULL, 0, now_s, url);
    return ZKT_OK;
}

static bool
parse_size(const char *text, int64_t *size)
{
    if (text == NULL || text[0] == '\0' || strlen(text) > 18 ||
        strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    *size = strtoll(text, NULL, 10);
    return true;
}

static bool
parse_sha256(const char *text, uint8_t sha256[32])
{
    if (text == NULL || strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64) {
        return false;
    }
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        for (size_t n = 0; n < 2; n++) {
            char digit = text[2 * i + n];
            byte = byte * 16 + (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
        }
        sha256[i] = (uint8_t)byte;
    }
    return true;
}

static enum zkt_err
part_grant(const struct s3_request *request, const char *part, struct object_grant *grant,
           struct problem *problem)
{
    int64_t number = 0;
    const char *upload = s3_param_value(request, "uploadId");
    if (!parse_size(part, &number) || number < 1 || number > OBJECT_PARTS_MAX || upload == NULL ||
        strlen(upload) >= sizeof(grant->upload) ||
        !parse_size(s3_param_value(request, "x-zkt-size"), &grant->size)) {
        return problem_set(problem, ZKT_INVALID,
                           "partNumber, uploadId and x-zkt-size say what the part is");
    }
    grant->part = (uint32_t)number;
    snprintf(grant->upload, sizeof(grant->upload), "%s", upload);
    return ZKT_OK;
}

static const char *
own_secret(void *arg, const char *access)
{
    const struct object_dir *dir = arg;
    return strcmp(access, dir->key.access) == 0 ? dir->secret : NULL;
}

enum zkt_err
object_dir_authorize(struct object_store *store, const struct s3_request *request, int64_t now_s,
                     struct object_grant *grant, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct s3_request signed_request = *request;
    *grant = (struct object_grant){.is_put = strcmp(request->method, "PUT") == 0};
    const char *uid_text = request->path + PATH_PREFIX_LEN;
    if (strncmp(request->path, PATH_PREFIX, PATH_PREFIX_LEN) != 0 ||
        strlen(uid_text) != UID_TEXT_SIZE - 1 ||
        !uid_parse(uid_text, UID_TEXT_SIZE - 1, &grant->uid)) {
        return problem_set(problem, ZKT_NOT_FOUND, "no object has this path");
    }
    if (strcmp(request->method, "HEAD") == 0) {
        signed_request.method = "GET";
    }
    // Our own URLs are signed for our host or for any; who has our secret signs what it dialled.
    signed_request.host = dir->host;
    signed_request.headers_count = 0;
    const struct s3_keys keys = {.secret_of = own_secret, .arg = object_dir_of(store)};
    struct s3_verified verified;
    enum s3_code code = s3_verify(&keys, &signed_request, now_s, &verified, problem);
    if (code != S3_OK && request->host != NULL && strcmp(request->host, dir->host) != 0) {
        signed_request.host = request->host;
        code = s3_verify(&keys, &signed_request, now_s, &verified, problem);
    }
    if (code != S3_OK) {
        problem->code = ZKT_DENIED;
        return ZKT_DENIED;
    }
    if (!grant->is_put) {
        return ZKT_OK;
    }
    const char *part = s3_param_value(request, "partNumber");
    if (part != NULL) {
        return part_grant(request, part, grant, problem);
    }
    if (!parse_size(s3_param_value(request, "x-zkt-size"), &grant->size) ||
        !parse_sha256(s3_param_value(request, "x-zkt-sha256"), grant->sha256)) {
        return problem_set(problem, ZKT_INVALID,
                           "x-zkt-size and x-zkt-sha256 say what the object is");
    }
    return ZKT_OK;
}

// ---- Objects

enum zkt_err
object_dir_open_file(struct object_store *store, const struct uid *uid, int *fd,
                     struct object_info *info, struct problem *problem)
{
    struct object_meta meta = {.size = 0};
    char *path = object_dir_path(object_dir_of(store), uid);
    enum zkt_err err = ZKT_OK;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd == -1 && errno == ENOENT) {
        char text[UID_TEXT_SIZE];
        uid_format(uid, text);
        err = problem_set(problem, ZKT_NOT_FOUND, "no object %s", text);
    } else if (*fd == -1) {
        err = object_io_problem(problem, path);
    } else {
        err = object_file_read(*fd, path, &meta, problem);
    }
    *info = (struct object_info){.uid = *uid, .size = meta.size, .modified_ms = meta.modified_ms};
    object_meta_fini(&meta);
    if (err != ZKT_OK && *fd != -1) {
        close(*fd);
        *fd = -1;
    }
    free(path);
    return err;
}

static enum zkt_err
dir_head(struct object_store *store, const struct uid *uid, struct object_info *info,
         struct problem *problem)
{
    int fd = -1;
    enum zkt_err err = object_dir_open_file(store, uid, &fd, info, problem);
    if (fd != -1) {
        close(fd);
    }
    return err;
}

// A delete that is lost with the power comes back by its intent, so there is nothing to sync.
static enum zkt_err
dir_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
           size_t *deleted_count, struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; err == ZKT_OK && i < uids_count; i++) {
        char *path = object_dir_path(object_dir_of(store), &uids[i]);
        if (unlink(path) == -1 && errno != ENOENT) {
            err = object_io_problem(problem, path);
        } else {
            (*deleted_count)++;
        }
        free(path);
    }
    return err;
}

struct uid_list {
    struct uid *uids;
    size_t uids_count;
    size_t capacity;
};

static int
by_uid(const void *a, const void *b)
{
    return uid_compare(a, b);
}

static enum zkt_err
read_shard(const struct object_dir *dir, unsigned shard, const struct uid *after,
           struct uid_list *list, struct problem *problem)
{
    char *path = xasprintf("%s/%02x", dir->path, shard);
    DIR *folder = opendir(path);
    enum zkt_err err = folder == NULL ? object_io_problem(problem, path) : ZKT_OK;
    struct dirent *entry;
    list->uids_count = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct uid uid;
        if (!uid_parse(entry->d_name, strlen(entry->d_name), &uid) || uid.bytes[0] != shard ||
            (after != NULL && uid_compare(&uid, after) <= 0)) {
            continue;
        }
        if (list->uids_count == list->capacity) {
            list->capacity += INFOS_STEP;
            list->uids = xrealloc(list->uids, list->capacity * sizeof(*list->uids));
        }
        list->uids[list->uids_count++] = uid;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    free(path);
    if (list->uids_count > 0) {
        qsort(list->uids, list->uids_count, sizeof(*list->uids), by_uid);
    }
    return err;
}

static enum zkt_err
dir_list(struct object_store *store, const struct uid *after, struct object_info *infos,
         size_t infos_max, size_t *infos_count, struct problem *problem)
{
    struct uid_list list = {0};
    enum zkt_err err = ZKT_OK;
    unsigned shard = after != NULL ? after->bytes[0] : 0;
    for (; err == ZKT_OK && shard < OBJECT_SHARDS && *infos_count < infos_max; shard++) {
        err = read_shard(object_dir_of(store), shard, after, &list, problem);
        for (size_t i = 0; err == ZKT_OK && i < list.uids_count && *infos_count < infos_max; i++) {
            err = dir_head(store, &list.uids[i], &infos[*infos_count], problem);
            if (err == ZKT_OK) {
                (*infos_count)++;
            } else if (err == ZKT_NOT_FOUND) {
                err = ZKT_OK; // deleted meanwhile
            }
        }
    }
    free(list.uids);
    return err;
}

static void
dir_destroy(struct object_store *store)
{
    struct object_dir *dir = object_dir_of(store);
    object_hashers_destroy(&dir->hashers);
    free(dir->path);
    free(dir->temp_path);
    free(dir->parts_path);
    free(dir->buckets_path);
    free(dir->bucket);
    object_keys_free(dir);
    free(dir->address);
    free(dir->host);
    free(dir);
}

static const struct object_store_ops dir_ops = {
    .presign_put = dir_presign_put,
    .presign_get = dir_presign_get,
    .head = dir_head,
    .delete = dir_delete,
    .list = dir_list,
    .multipart_begin = object_dir_begin,
    .presign_part = object_dir_presign_part,
    .multipart_complete = object_dir_complete,
    .multipart_abort = object_dir_abort,
    .list_pending = object_dir_list_pending,
    .destroy = dir_destroy,
};

struct object_dir *
object_dir_of(struct object_store *store)
{
    zkt_assert(store->ops == &dir_ops);
    return (struct object_dir *)store;
}

enum zkt_err
object_dir_open(const struct object_dir_options *options, struct object_store **store,
                struct problem *problem)
{
    zkt_assert(options->url_ttl_s > 0);
    struct object_dir *dir = xcalloc(1, sizeof(*dir));
    dir->store = (struct object_store){.ops = &dir_ops, .kind = "dir"};
    dir->path = xstrdup(options->path);
    dir->temp_path = xasprintf("%s/tmp", options->path);
    dir->parts_path = xasprintf("%s/parts", options->path);
    dir->buckets_path = xasprintf("%s/buckets", options->path);
    dir->bucket = xstrdup(options->bucket != NULL ? options->bucket : "karton");
    dir->hashers = object_hashers_new(object_hashers_fitting());
    dir->reserve_bytes = options->reserve_bytes;
    dir->url_ttl_s = options->url_ttl_s < S3_EXPIRES_MAX_S ? options->url_ttl_s : S3_EXPIRES_MAX_S;
    dir->key = (struct s3_key){.access = "zkarton", .secret = dir->secret, .region = "local"};
    object_dir_set_address(&dir->store, options->address != NULL ? options->address : "");
    enum zkt_err err = make_folders(dir, problem);
    if (err == ZKT_OK && !options->is_guest) {
        err = empty_temp(dir, problem);
    }
    if (err == ZKT_OK) {
        err = object_secret_load(options->secret_path, OBJECT_SECRET_SIZE - 1, true, dir->secret,
                                 problem);
    }
    if (err == ZKT_OK && options->keys_path != NULL) {
        err = object_keys_load(options->keys_path, dir, problem);
    }
    *store = &dir->store;
    if (err != ZKT_OK) {
        object_store_destroy(store);
    }
    return err;
}
