// Buckets and keys as folders and files.
#include "object/object_bucket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "object/object_dir_internal.h"

// Paths of the HTTP port that are ours, or may become so.
static const char *const reserved_names[] = {"objects",   "metrics", "healthz",
                                             "dashboard", "static",  "events"};

enum s3_code
object_code_of(enum zkt_err err)
{
    switch (err) {
    case ZKT_OK:
        return S3_OK;
    case ZKT_DENIED:
        return S3_ACCESS_DENIED;
    case ZKT_NOT_FOUND:
        return S3_NO_SUCH_KEY;
    case ZKT_TOO_LARGE:
        return S3_ENTITY_TOO_LARGE;
    case ZKT_INVALID:
        return S3_INVALID_REQUEST;
    case ZKT_IN_USE:
        return S3_OPERATION_ABORTED;
    case ZKT_DISK_FULL:
        return S3_STORAGE_FULL;
    case ZKT_BUSY:
        return S3_SLOW_DOWN;
    default:
        return S3_INTERNAL_ERROR;
    }
}

static enum s3_code
refuse(struct problem *problem, enum s3_code code, const char *why)
{
    problem_set(problem, s3_code_status(code) == 404 ? ZKT_NOT_FOUND : ZKT_INVALID, "%s", why);
    return code;
}

static enum s3_code
io_code(struct problem *problem, const char *path)
{
    return object_code_of(object_io_problem(problem, path));
}

// ---- Names

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;

void
object_names_lock(void)
{
    pthread_mutex_lock(&names_mutex);
}

void
object_names_unlock(void)
{
    pthread_mutex_unlock(&names_mutex);
}

static bool
is_bucket_name(const char *name)
{
    size_t len = strlen(name);
    if (len < 3 || len > 63 || name[0] == '.' || name[0] == '-' || name[len - 1] == '.' ||
        name[len - 1] == '-' || strstr(name, "..") != NULL) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

static bool
is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof(reserved_names) / sizeof(reserved_names[0]); i++) {
        if (strcmp(name, reserved_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_home(const struct object_dir *dir, const char *bucket)
{
    return strcmp(bucket, dir->bucket) == 0;
}

static char *
bucket_path(const struct object_dir *dir, const char *bucket)
{
    return xasprintf("%s/%s", dir->buckets_path, bucket);
}

static bool
is_utf8(const char *text)
{
    size_t len = 1;
    while (*text != '\0' && (len = utf8_character_len(text)) > 0) {
        text += len;
    }
    return len > 0;
}

static enum s3_code
check_key(const char *key, struct problem *problem)
{
    if (*key == '\0') {
        return refuse(problem, S3_INVALID_ARGUMENT, "the key is empty");
    }
    if (strlen(key) > OBJECT_KEY_MAX) {
        return refuse(problem, S3_KEY_TOO_LONG, "a key has at most 1024 bytes");
    }
    for (const char *at = key; *at != '\0'; at += *at == '/' ? 1 : 0) {
        size_t len = strcspn(at, "/");
        if (len > OBJECT_SEGMENT_MAX) {
            return refuse(problem, S3_KEY_TOO_LONG,
                          "the parts of a key between slashes have at most 254 bytes");
        }
        at += len;
    }
    return is_utf8(key) ? S3_OK : refuse(problem, S3_INVALID_URI, "the key is no UTF-8");
}

static enum s3_code
home_place(const struct object_dir *dir, const char *key, struct object_place *place,
           struct problem *problem)
{
    char text[UID_TEXT_SIZE];
    if (uid_parse(key, strlen(key), &place->uid)) {
        uid_format(&place->uid, text);
        if (strcmp(text, key) == 0) {
            place->is_home = true;
            place->path = object_dir_path(dir, &place->uid);
            place->root_len = (size_t)(strrchr(place->path, '/') - place->path);
            return S3_OK;
        }
    }
    return refuse(problem, S3_NO_SUCH_KEY, "keys of this bucket are uids of objects of tasks");
}

static char *
key_path(const char *root, const char *key)
{
    struct bytes path = {0};
    bytes_append_text(&path, root);
    for (const char *slash = strchr(key, '/'); slash != NULL; slash = strchr(key, '/')) {
        bytes_append_text(&path, "/d");
        bytes_append(&path, key, (size_t)(slash - key));
        key = slash + 1;
    }
    bytes_append_text(&path, "/f");
    bytes_append_text(&path, key);
    char *text = xstrdup(bytes_text(&path));
    bytes_fini(&path);
    return text;
}

enum s3_code
object_place_of(const struct object_dir *dir, const char *bucket, const char *key,
                struct object_place *place, struct problem *problem)
{
    *place = (struct object_place){.path = NULL};
    if (is_home(dir, bucket)) {
        return home_place(dir, key, place, problem);
    }
    enum s3_code code = object_bucket_check((struct object_store *)&dir->store, bucket, problem);
    if (code == S3_OK) {
        code = check_key(key, problem);
    }
    if (code == S3_OK) {
        char *root = bucket_path(dir, bucket);
        place->root_len = strlen(root);
        place->path = key_path(root, key);
        free(root);
    }
    return code;
}

enum zkt_err
object_place_make(const struct object_place *place, struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    char *slash = strchr(place->path + place->root_len + 1, '/');
    for (; err == ZKT_OK && slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(place->path, 0700) == 0) {
            char *last = strrchr(place->path, '/');
            *last = '\0';
            err = object_dir_sync(place->path, problem);
            *last = '/';
        } else if (errno != EEXIST) {
            err = object_io_problem(problem, place->path);
        }
        *slash = '/';
    }
    return err;
}

// ---- Buckets

enum s3_code
object_bucket_check(struct object_store *store, const char *bucket, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct stat status;
    if (is_home(dir, bucket)) {
        return S3_OK;
    }
    if (!is_bucket_name(bucket)) {
        return refuse(problem, S3_INVALID_BUCKET_NAME,
                      "names of buckets have 3 to 63 of a-z, 0-9, '.' and '-'");
    }
    char *path = bucket_path(dir, bucket);
    enum s3_code code = S3_OK;
    if (stat(path, &status) == -1) {
        code = errno == ENOENT ? refuse(problem, S3_NO_SUCH_BUCKET, s3_code_text(S3_NO_SUCH_BUCKET))
                               : io_code(problem, path);
    }
    free(path);
    return code;
}

enum s3_code
object_bucket_create(struct object_store *store, const char *bucket, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct object_bucket *buckets = NULL;
    size_t count = 0;
    enum s3_code code = object_bucket_check(store, bucket, problem);
    if (code == S3_OK) {
        return refuse(problem, S3_BUCKET_ALREADY_OWNED, s3_code_text(S3_BUCKET_ALREADY_OWNED));
    }
    if (code != S3_NO_SUCH_BUCKET) {
        return code;
    }
    if (is_reserved(bucket)) {
        return refuse(problem, S3_INVALID_BUCKET_NAME, "this name is a page of the broker");
    }
    code = object_bucket_list(store, &buckets, &count, problem);
    free(buckets);
    if (code != S3_OK) {
        return code;
    }
    if (count >= OBJECT_BUCKETS_MAX) {
        return refuse(problem, S3_TOO_MANY_BUCKETS, s3_code_text(S3_TOO_MANY_BUCKETS));
    }
    char *path = bucket_path(dir, bucket);
    enum zkt_err err = object_dir_make(path, problem);
    if (err == ZKT_OK) {
        err = object_dir_sync(dir->buckets_path, problem);
    }
    free(path);
    return object_code_of(err);
}

// Folders that a crash left empty.
static int
remove_folder(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)place;
    return kind == FTW_DP ? rmdir(path) : -1;
}

enum s3_code
object_bucket_remove(struct object_store *store, const char *bucket, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    const struct object_query any = {.prefix = "", .delimiter = "", .after = "", .entries_max = 1};
    struct object_page page = {.entries = NULL};
    if (is_home(dir, bucket)) {
        return refuse(problem, S3_BUCKET_NOT_EMPTY, "the bucket of the tasks' objects stays");
    }
    enum s3_code code = object_list(store, bucket, &any, &page, problem);
    if (code == S3_OK && page.entries_count > 0) {
        code = refuse(problem, S3_BUCKET_NOT_EMPTY, s3_code_text(S3_BUCKET_NOT_EMPTY));
    }
    object_page_fini(&page);
    if (code != S3_OK) {
        return code;
    }
    char *path = bucket_path(dir, bucket);
    if (nftw(path, remove_folder, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        code = refuse(problem, S3_BUCKET_NOT_EMPTY, s3_code_text(S3_BUCKET_NOT_EMPTY));
    } else {
        code = object_code_of(object_dir_sync(dir->buckets_path, problem));
    }
    free(path);
    return code;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct object_bucket *)a)->name, ((const struct object_bucket *)b)->name);
}

static void
add_bucket(struct object_bucket **buckets, size_t *count, const char *name, const char *path)
{
    struct stat status;
    if (stat(path, &status) == -1) {
        return; // removed meanwhile
    }
    *buckets = xrealloc(*buckets, (*count + 1) * sizeof(**buckets));
    struct object_bucket *bucket = &(*buckets)[(*count)++];
    bucket->created_ms = status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    snprintf(bucket->name, sizeof(bucket->name), "%s", name);
}

enum s3_code
object_bucket_list(struct object_store *store, struct object_bucket **buckets, size_t *count,
                   struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    DIR *folder = opendir(dir->buckets_path);
    struct dirent *entry;
    *buckets = NULL;
    *count = 0;
    if (folder == NULL) {
        return io_code(problem, dir->buckets_path);
    }
    add_bucket(buckets, count, dir->bucket, dir->path);
    while ((entry = readdir(folder)) != NULL) {
        if (is_bucket_name(entry->d_name)) {
            char *path = bucket_path(dir, entry->d_name);
            add_bucket(buckets, count, entry->d_name, path);
            free(path);
        }
    }
    closedir(folder);
    if (*count > 0) {
        qsort(*buckets, *count, sizeof(**buckets), by_name);
    }
    return S3_OK;
}

// ---- Objects

bool
object_etag_is(const char *claimed, const char *etag)
{
    size_t len = strlen(etag);
    bool is_quoted = *claimed == '"';
    claimed += is_quoted ? 1 : 0;
    return strncmp(claimed, etag, len) == 0 && strcmp(claimed + len, is_quoted ? "\"" : "") == 0;
}

enum s3_code
object_key_open(struct object_store *store, const char *bucket, const char *key, int *fd,
                struct object_meta *meta, struct problem *problem)
{
    struct object_place place;
    *fd = -1;
    *meta = (struct object_meta){.size = 0};
    enum s3_code code = object_place_of(object_dir_of(store), bucket, key, &place, problem);
    if (code != S3_OK) {
        return code;
    }
    *fd = open(place.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd == -1 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)) {
        code = refuse(problem, S3_NO_SUCH_KEY, s3_code_text(S3_NO_SUCH_KEY));
    } else if (*fd == -1) {
        code = io_code(problem, place.path);
    } else {
        code = object_code_of(object_file_read(*fd, place.path, meta, problem));
    }
    if (code != S3_OK && *fd != -1) {
        close(*fd);
        *fd = -1;
        object_meta_fini(meta);
    }
    free(place.path);
    return code;
}

// Folders of the key that are empty now go too, up to the bucket.
static void
prune(char *path, size_t root_len)
{
    for (char *slash = strrchr(path, '/'); slash != NULL && (size_t)(slash - path) > root_len;
         slash = strrchr(path, '/')) {
        *slash = '\0';
        if (rmdir(path) == -1) {
            return;
        }
    }
}

// One key that is being deleted.
struct removal {
    struct object_place place; // no path: there is nothing to do
    size_t folder_len;         // of the path
    enum s3_code *code;
};

static void
remove_name(const struct object_dir *dir, const char *bucket, const char *key,
            struct removal *removal, struct problem *problem)
{
    enum s3_code code = object_place_of(dir, bucket, key, &removal->place, problem);
    if (code == S3_OK) {
        const char *path = removal->place.path;
        removal->folder_len = (size_t)(strrchr(path, '/') - path);
        object_names_lock();
        int result = unlink(path);
        object_names_unlock();
        if (result == 0) {
            return;
        }
        bool is_missing = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
        code = is_missing ? S3_OK : io_code(problem, path);
    }
    *removal->code = code == S3_NO_SUCH_KEY ? S3_OK : code;
    free(removal->place.path);
    removal->place.path = NULL;
}

static int
by_folder(const void *a, const void *b)
{
    const struct removal *left = a;
    const struct removal *right = b;
    if (left->place.path == NULL || right->place.path == NULL) {
        return (left->place.path == NULL) - (right->place.path == NULL);
    }
    size_t len = left->folder_len < right->folder_len ? left->folder_len : right->folder_len;
    int order = memcmp(left->place.path, right->place.path, len);
    return order != 0 ? order : (left->folder_len > len) - (right->folder_len > len);
}

// Ends what was removed, in the order of folders: all of them are synced before empty ones go.
static void
sync_folders(struct removal *removals, size_t removals_count, struct problem *problem)
{
    enum s3_code code = S3_OK;
    for (size_t i = 0; i < removals_count && removals[i].place.path != NULL; i++) {
        struct removal *removal = &removals[i];
        if (i == 0 || by_folder(&removals[i - 1], removal) != 0) {
            removal->place.path[removal->folder_len] = '\0';
            code = object_code_of(object_dir_sync(removal->place.path, problem));
            removal->place.path[removal->folder_len] = '/';
        }
        *removal->code = code;
    }
    for (size_t i = 0; i < removals_count; i++) {
        if (removals[i].place.path != NULL) {
            prune(removals[i].place.path, removals[i].place.root_len);
            free(removals[i].place.path);
        }
    }
}

static void
delete_keys(const struct object_dir *dir, const char *bucket, char *const *keys, size_t keys_count,
            enum s3_code *codes, struct problem *problem)
{
    struct removal *removals = xcalloc(keys_count + 1, sizeof(*removals));
    for (size_t i = 0; i < keys_count; i++) {
        removals[i].code = &codes[i];
        remove_name(dir, bucket, keys[i], &removals[i], problem);
    }
    qsort(removals, keys_count, sizeof(*removals), by_folder);
    sync_folders(removals, keys_count, problem);
    free(removals);
}

enum s3_code
object_key_delete(struct object_store *store, const char *bucket, const char *key,
                  struct problem *problem)
{
    enum s3_code code = S3_OK;
    char *keys[] = {(char *)(uintptr_t)key};
    delete_keys(object_dir_of(store), bucket, keys, 1, &code, problem);
    return code;
}

void
object_keys_delete(struct object_store *store, const char *bucket, char *const *keys,
                   size_t keys_count, enum s3_code *codes)
{
    struct problem problem;
    delete_keys(object_dir_of(store), bucket, keys, keys_count, codes, &problem);
}
