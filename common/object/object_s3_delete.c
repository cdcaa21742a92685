// Deleting in the S3 store: a thousand keys a request. In a bucket with versions a key's versions
// and markers are asked for first, for a plain delete would only hide the object (parity G5).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "object/object_s3_internal.h"
#include "object/xml.h"

enum {
    BATCH_MAX = 1000,
    VERSIONS_PASSES_MAX = 64, // times a thousand versions of one key
};

static const char DELETE_BEGIN[] =
    "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";

// Keys of one call; index tells which of the caller's it is.
struct doomed {
    char *key;     // owned
    char *version; // owned; NULL: the key itself
    size_t index;
};
struct doomed_list {
    struct doomed *items;
    size_t items_count;
    size_t capacity;
};

static void
list_add(struct doomed_list *list, const char *key, const char *version, size_t index)
{
    if (list->items_count == list->capacity) {
        list->capacity = list->capacity * 2 + 64;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->items_count++] = (struct doomed){
        .key = xstrdup(key),
        .version = version != NULL ? xstrdup(version) : NULL,
        .index = index,
    };
}

static void
list_fini(struct doomed_list *list)
{
    for (size_t i = 0; i < list->items_count; i++) {
        free(list->items[i].key);
        free(list->items[i].version);
    }
    free(list->items);
    *list = (struct doomed_list){0};
}

// ---- Deleting

struct answer {
    const struct doomed *items;
    size_t items_count;
    char key[S3_KEY_SIZE]; // of the error being read
    char code[S3_CODE_SIZE];
    char message[200];
    size_t *first_failed; // the least index
    struct problem *problem;
};

static void
take_error(struct answer *answer)
{
    if (strcmp(answer->code, "NoSuchKey") == 0 || strcmp(answer->code, "NoSuchVersion") == 0) {
        return;
    }
    for (size_t i = 0; i < answer->items_count; i++) {
        if (strcmp(answer->items[i].key, answer->key) == 0 &&
            answer->items[i].index < *answer->first_failed) {
            *answer->first_failed = answer->items[i].index;
            problem_set(answer->problem, ZKT_IO, "delete %s: %s: %s", answer->key, answer->code,
                        answer->message);
        }
    }
}

static bool
on_answer_end(void *arg, const char *path, const char *text)
{
    struct answer *answer = arg;
    if (strcmp(path, "/DeleteResult/Error/Key") == 0) {
        snprintf(answer->key, sizeof answer->key, "%s", text);
    } else if (strcmp(path, "/DeleteResult/Error/Code") == 0) {
        snprintf(answer->code, sizeof answer->code, "%s", text);
    } else if (strcmp(path, "/DeleteResult/Error/Message") == 0) {
        snprintf(answer->message, sizeof answer->message, "%s", text);
    } else if (strcmp(path, "/DeleteResult/Error") == 0) {
        take_error(answer);
        answer->key[0] = answer->code[0] = answer->message[0] = '\0';
    }
    return true;
}

static void
delete_body(const struct doomed *items, size_t items_count, struct bytes *body)
{
    bytes_append_text(body, DELETE_BEGIN);
    for (size_t i = 0; i < items_count; i++) {
        bytes_append_text(body, "<Object><Key>");
        xml_escape(body, items[i].key);
        bytes_append_text(body, "</Key>");
        if (items[i].version != NULL) {
            bytes_append_text(body, "<VersionId>");
            xml_escape(body, items[i].version);
            bytes_append_text(body, "</VersionId>");
        }
        bytes_append_text(body, "</Object>");
    }
    bytes_append_text(body, "</Delete>");
}

// At most a thousand. *first_failed: the least index of the caller that is not gone.
static enum zkt_err
delete_batch(struct object_s3 *s3, const struct doomed *items, size_t items_count,
             size_t *first_failed, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    struct bytes body = {0};
    object_s3_bucket_path(s3, path);
    delete_body(items, items_count, &body);
    struct s3_call call = {
        .method = "POST",
        .path = path,
        .params = {{"delete", ""}},
        .params_count = 1,
        .content_type = "application/xml",
        .has_md5 = true,
        .body = bytes_span(&body),
    };
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        struct answer answer = {.items = items,
                                .items_count = items_count,
                                .first_failed = first_failed,
                                .problem = problem};
        const struct xml_events events = {.on_end = on_answer_end};
        err = xml_read(bytes_span(&call.answer), &events, &answer, problem);
    }
    for (size_t i = 0; err != ZKT_OK && i < items_count; i++) {
        *first_failed = items[i].index < *first_failed ? items[i].index : *first_failed;
    }
    s3_call_fini(&call);
    bytes_fini(&body);
    return err;
}

static enum zkt_err
delete_list(struct object_s3 *s3, const struct doomed_list *list, size_t *first_failed,
            struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    for (size_t at = 0; err == ZKT_OK && at < list->items_count; at += BATCH_MAX) {
        size_t left = list->items_count - at;
        err = delete_batch(s3, list->items + at, left < BATCH_MAX ? left : BATCH_MAX, first_failed,
                           problem);
    }
    return err;
}

// ---- Versions

struct versions {
    const struct object_s3 *s3;
    const char *wanted_key;
    size_t index;
    struct doomed_list *list;
    char key[S3_KEY_SIZE];
    char version[S3_KEY_SIZE];
    bool is_truncated;
};

static void
take_version(struct versions *versions)
{
    bool is_null = strcmp(versions->version, "null") == 0;
    if (strcmp(versions->key, versions->wanted_key) == 0) {
        bool is_explicit = !is_null || versions->s3->deletes_null_versions;
        list_add(versions->list, versions->key, is_explicit ? versions->version : NULL,
                 versions->index);
    }
    versions->key[0] = versions->version[0] = '\0';
}

static bool
on_version_end(void *arg, const char *path, const char *text)
{
    static const char root[] = "/ListVersionsResult/";
    struct versions *versions = arg;
    if (strncmp(path, root, sizeof root - 1) != 0) {
        return true;
    }
    path += sizeof root - 1;
    if (strcmp(path, "Version/Key") == 0 || strcmp(path, "DeleteMarker/Key") == 0) {
        snprintf(versions->key, sizeof versions->key, "%s", text);
    } else if (strcmp(path, "Version/VersionId") == 0 ||
               strcmp(path, "DeleteMarker/VersionId") == 0) {
        snprintf(versions->version, sizeof versions->version, "%s", text);
    } else if (strcmp(path, "Version") == 0 || strcmp(path, "DeleteMarker") == 0) {
        take_version(versions);
    } else if (strcmp(path, "IsTruncated") == 0) {
        versions->is_truncated = strcmp(text, "true") == 0;
    }
    return true;
}

// Asks for up to a thousand versions of each key, all keys at the same time.
static enum zkt_err
list_versions(struct object_s3 *s3, char *const *keys, size_t keys_count, struct doomed_list *list,
              bool *is_truncated, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    struct s3_call *calls = xcalloc(keys_count + 1, sizeof *calls);
    object_s3_bucket_path(s3, path);
    for (size_t i = 0; i < keys_count; i++) {
        calls[i] = (struct s3_call){
            .method = "GET",
            .path = path,
            .params = {{"versions", ""}, {"prefix", keys[i]}},
            .params_count = 2,
        };
    }
    enum zkt_err err = object_s3_run(s3, calls, keys_count, problem);
    *is_truncated = false;
    for (size_t i = 0; i < keys_count; i++) {
        struct versions versions = {.s3 = s3, .wanted_key = keys[i], .index = i, .list = list};
        const struct xml_events events = {.on_end = on_version_end};
        if (err == ZKT_OK) {
            err = xml_read(bytes_span(&calls[i].answer), &events, &versions, problem);
        }
        *is_truncated = *is_truncated || versions.is_truncated;
        s3_call_fini(&calls[i]);
    }
    free(calls);
    return err;
}

static enum zkt_err
delete_versions(struct object_s3 *s3, char *const *keys, size_t keys_count, size_t *first_failed,
                struct problem *problem)
{
    bool is_truncated = true;
    enum zkt_err err = ZKT_OK;
    for (int pass = 0; err == ZKT_OK && is_truncated && pass < VERSIONS_PASSES_MAX; pass++) {
        struct doomed_list list = {0};
        err = list_versions(s3, keys, keys_count, &list, &is_truncated, problem);
        if (err == ZKT_OK) {
            err = delete_list(s3, &list, first_failed, problem);
        } else {
            *first_failed = 0;
        }
        list_fini(&list);
    }
    return err;
}

// ---- Of the seam

// *first_failed: keys_count if all are gone.
static enum zkt_err
delete_keys(struct object_s3 *s3, char *const *keys, size_t keys_count, size_t *first_failed,
            struct problem *problem)
{
    enum zkt_err err;
    *first_failed = keys_count;
    if (atomic_load(&s3->has_versions)) {
        err = delete_versions(s3, keys, keys_count, first_failed, problem);
    } else {
        struct doomed_list list = {0};
        for (size_t i = 0; i < keys_count; i++) {
            list_add(&list, keys[i], NULL, i);
        }
        err = delete_list(s3, &list, first_failed, problem);
        list_fini(&list);
    }
    return err == ZKT_OK && *first_failed < keys_count ? ZKT_IO : err;
}

enum zkt_err
object_s3_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                 size_t *deleted_count, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    enum zkt_err err = ZKT_OK;
    while (err == ZKT_OK && *deleted_count < uids_count) {
        size_t left = uids_count - *deleted_count;
        size_t keys_count = left < BATCH_MAX ? left : BATCH_MAX;
        char **keys = xcalloc(keys_count, sizeof *keys);
        size_t gone_count = 0;
        for (size_t i = 0; i < keys_count; i++) {
            char key[S3_KEY_SIZE];
            object_s3_key(s3, &uids[*deleted_count + i], key);
            keys[i] = xstrdup(key);
        }
        err = delete_keys(s3, keys, keys_count, &gone_count, problem);
        *deleted_count += gone_count;
        for (size_t i = 0; i < keys_count; i++) {
            free(keys[i]);
        }
        free(keys);
    }
    return err;
}

struct foreign {
    const struct object_s3 *s3;
    int64_t before_ms;
    struct bytes *cursor;
    char *keys[BATCH_MAX]; // owned
    size_t keys_count;
    char key[S3_KEY_SIZE];
    int64_t modified_ms;
};

static bool
on_foreign_end(void *arg, const char *path, const char *text)
{
    struct foreign *foreign = arg;
    struct uid uid;
    if (strcmp(path, "/ListBucketResult/Contents/Key") == 0) {
        bool is_long = strlen(text) >= sizeof foreign->key;
        snprintf(foreign->key, sizeof foreign->key, "%s", is_long ? "" : text);
    } else if (strcmp(path, "/ListBucketResult/Contents/LastModified") == 0) {
        if (!object_s3_time(text, &foreign->modified_ms)) {
            foreign->modified_ms = INT64_MAX;
        }
    } else if (strcmp(path, "/ListBucketResult/Contents") == 0) {
        bool is_foreign = foreign->key[0] != '\0' &&
                          !object_s3_uid(foreign->s3, span_of_text(foreign->key), &uid);
        if (is_foreign && foreign->modified_ms <= foreign->before_ms &&
            foreign->keys_count < BATCH_MAX) {
            foreign->keys[foreign->keys_count++] = xstrdup(foreign->key);
        }
        foreign->key[0] = '\0';
        foreign->modified_ms = INT64_MAX;
    } else if (strcmp(path, "/ListBucketResult/NextContinuationToken") == 0) {
        bytes_append_text(foreign->cursor, text);
    }
    return true;
}

enum zkt_err
object_s3_delete_foreign(struct object_store *store, int64_t before_ms, struct bytes *cursor,
                         size_t *deleted_count, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    char path[S3_PATH_SIZE];
    char *token = xmemdup(cursor->data, cursor->len);
    struct foreign *foreign = xcalloc(1, sizeof *foreign);
    *foreign = (struct foreign){
        .s3 = s3, .before_ms = before_ms, .cursor = cursor, .modified_ms = INT64_MAX};
    object_s3_bucket_path(s3, path);
    struct s3_call call = {
        .method = "GET",
        .path = path,
        .params = {{"list-type", "2"}, {"continuation-token", token}},
        .params_count = cursor->len > 0 ? 2 : 1,
    };
    bytes_clear(cursor);
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        const struct xml_events events = {.on_end = on_foreign_end};
        err = xml_read(bytes_span(&call.answer), &events, foreign, problem);
    }
    if (err == ZKT_OK && foreign->keys_count > 0) {
        err = delete_keys(s3, foreign->keys, foreign->keys_count, deleted_count, problem);
    }
    for (size_t i = 0; i < foreign->keys_count; i++) {
        free(foreign->keys[i]);
    }
    s3_call_fini(&call);
    free(foreign);
    free(token);
    return err;
}
