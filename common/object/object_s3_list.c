// Walking through the bucket: objects and uploads in parts, a page at a time.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object/object_s3_internal.h"
#include "object/xml.h"

enum { PAGE_MAX = 1000 };

static bool
path_ends(const char *path, const char *name)
{
    return strcmp(path, name) == 0;
}

static void
copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

// ---- Objects

struct listing {
    const struct object_s3 *s3;
    struct object_info *infos;
    size_t infos_max;
    size_t infos_count;
    struct object_info entry; // being read
    bool is_object;
    char last_key[S3_KEY_SIZE];
    bool is_truncated;
};

static bool
on_object_end(void *arg, const char *path, const char *text)
{
    struct listing *list = arg;
    if (path_ends(path, "/ListBucketResult/Contents/Key")) {
        copy_text(list->last_key, sizeof list->last_key, text);
        list->is_object = object_s3_uid(list->s3, span_of_text(text), &list->entry.uid);
    } else if (path_ends(path, "/ListBucketResult/Contents/Size")) {
        char number[32];
        copy_text(number, sizeof number, text);
        list->entry.size = strtoll(number, NULL, 10);
    } else if (path_ends(path, "/ListBucketResult/Contents/LastModified")) {
        list->is_object = object_s3_time(text, &list->entry.modified_ms) && list->is_object;
    } else if (path_ends(path, "/ListBucketResult/Contents")) {
        if (list->is_object && list->infos_count < list->infos_max) {
            list->infos[list->infos_count++] = list->entry;
        }
        list->entry = (struct object_info){0};
        list->is_object = false;
    } else if (path_ends(path, "/ListBucketResult/IsTruncated")) {
        list->is_truncated = strcmp(text, "true") == 0; // "true"
    }
    return true;
}

// One page behind list->last_key.
static enum zkt_err
list_page(struct object_s3 *s3, struct listing *list, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    char max_keys[24];
    char after[S3_KEY_SIZE];
    object_s3_bucket_path(s3, path);
    snprintf(after, sizeof after, "%s", list->last_key);
    snprintf(max_keys, sizeof max_keys, "%zu",
             list->infos_max < PAGE_MAX ? list->infos_max : (size_t)PAGE_MAX);
    struct s3_call call = {
        .method = "GET",
        .path = path,
        .params = {{"list-type", "2"},
                   {"max-keys", max_keys},
                   {"prefix", s3->prefix},
                   {"start-after", after}},
        .params_count = after[0] != '\0' ? 4 : 3,
    };
    list->is_truncated = false;
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        const struct xml_events events = {.on_end = on_object_end};
        err = xml_read(bytes_span(&call.answer), &events, list, problem);
    }
    if (err == ZKT_OK && list->is_truncated && strcmp(after, list->last_key) == 0) {
        err = problem_set(problem, ZKT_IO, "GET %s: the same page again", path);
    }
    s3_call_fini(&call);
    return err;
}

enum zkt_err
object_s3_list(struct object_store *store, const struct uid *after, struct object_info *infos,
               size_t infos_max, size_t *infos_count, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    struct listing list = {.s3 = s3, .infos = infos, .infos_max = infos_max};
    enum zkt_err err;
    if (after != NULL) {
        object_s3_key(s3, after, list.last_key);
    }
    do { // a page may be full of keys that are no objects
        err = list_page(s3, &list, problem);
    } while (err == ZKT_OK && list.infos_count == 0 && list.is_truncated);
    *infos_count = err == ZKT_OK ? list.infos_count : 0;
    return err;
}

// ---- Uploads in parts

// Servers neither agree on their order nor take other markers than those they gave, so one call
// walks through all of them and keeps the first behind `after`. There are never many.
struct pending_listing {
    const struct object_s3 *s3;
    const struct object_pending *after;
    struct object_pending *pendings; // sorted
    size_t pendings_max;
    size_t pendings_count;
    struct object_pending entry; // being read
    bool is_object;
    char next_key[S3_KEY_SIZE];
    char next_upload[OBJECT_UPLOAD_ID_SIZE];
    bool is_truncated;
};

static int
compare_pending(const struct object_pending *a, const struct object_pending *b)
{
    int order = uid_compare(&a->uid, &b->uid);
    return order != 0 ? order : strcmp(a->upload, b->upload);
}

static void
take_pending(struct pending_listing *list)
{
    const struct object_pending *entry = &list->entry;
    if (!list->is_object || (list->after != NULL && compare_pending(entry, list->after) <= 0)) {
        return;
    }
    size_t at = list->pendings_count;
    while (at > 0 && compare_pending(entry, &list->pendings[at - 1]) < 0) {
        at--;
    }
    if (at == list->pendings_max) {
        return;
    }
    list->pendings_count += list->pendings_count < list->pendings_max;
    memmove(&list->pendings[at + 1], &list->pendings[at],
            (list->pendings_count - at - 1) * sizeof *entry);
    list->pendings[at] = *entry;
}

static bool
on_pending_end(void *arg, const char *path, const char *text)
{
    struct pending_listing *list = arg;
    struct object_pending *entry = &list->entry;
    if (path_ends(path, "/ListMultipartUploadsResult/Upload/Key")) {
        list->is_object = object_s3_uid(list->s3, span_of_text(text), &entry->uid);
    } else if (path_ends(path, "/ListMultipartUploadsResult/Upload/UploadId")) {
        copy_text(entry->upload, sizeof entry->upload, text);
    } else if (path_ends(path, "/ListMultipartUploadsResult/Upload/Initiated")) {
        list->is_object = object_s3_time(text, &entry->started_ms) && list->is_object;
    } else if (path_ends(path, "/ListMultipartUploadsResult/Upload")) {
        take_pending(list);
        *entry = (struct object_pending){0};
        list->is_object = false;
    } else if (path_ends(path, "/ListMultipartUploadsResult/NextKeyMarker")) {
        copy_text(list->next_key, sizeof list->next_key, text);
    } else if (path_ends(path, "/ListMultipartUploadsResult/NextUploadIdMarker")) {
        copy_text(list->next_upload, sizeof list->next_upload, text);
    } else if (path_ends(path, "/ListMultipartUploadsResult/IsTruncated")) {
        list->is_truncated = strcmp(text, "true") == 0;
    }
    return true;
}

static enum zkt_err
pending_page(struct object_s3 *s3, struct pending_listing *list, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    char key[S3_KEY_SIZE];
    char upload[OBJECT_UPLOAD_ID_SIZE];
    object_s3_bucket_path(s3, path);
    snprintf(key, sizeof key, "%s", list->next_key);
    snprintf(upload, sizeof upload, "%s", list->next_upload);
    struct s3_call call = {
        .method = "GET",
        .path = path,
        .params = {{"uploads", ""},
                   {"prefix", s3->prefix},
                   {"key-marker", key},
                   {"upload-id-marker", upload}},
        .params_count = key[0] == '\0'      ? 2
                        : upload[0] == '\0' ? 3
                                            : 4,
    };
    list->is_truncated = false;
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        const struct xml_events events = {.on_end = on_pending_end};
        err = xml_read(bytes_span(&call.answer), &events, list, problem);
    }
    if (err == ZKT_OK && list->is_truncated && strcmp(key, list->next_key) == 0 &&
        strcmp(upload, list->next_upload) == 0) {
        err = problem_set(problem, ZKT_IO, "GET %s?uploads: the same page again", path);
    }
    s3_call_fini(&call);
    return err;
}

enum zkt_err
object_s3_list_pending(struct object_store *store, const struct object_pending *after,
                       struct object_pending *pendings, size_t pendings_max, size_t *pendings_count,
                       struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    struct pending_listing list = {
        .s3 = s3, .after = after, .pendings = pendings, .pendings_max = pendings_max};
    enum zkt_err err;
    do {
        err = pending_page(s3, &list, problem);
    } while (err == ZKT_OK && list.is_truncated);
    *pendings_count = err == ZKT_OK ? list.pendings_count : 0;
    return err;
}
