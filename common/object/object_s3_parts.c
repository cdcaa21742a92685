// Uploads in parts of the S3 store; and objects that the broker itself stores.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/memory.h"
#include "object/object_s3_internal.h"
#include "object/xml.h"

enum {
    COMPLETE_TIMEOUT_MS = 600000, // a server may copy all parts together
    PUT_MAX_BYTES = 1 << 30,      // larger ones go in parts
    PUT_PART_BYTES = 64 << 20,
};

static bool
on_begin_end(void *arg, const char *path, const char *text)
{
    struct bytes *upload = arg;
    if (strcmp(path, "/InitiateMultipartUploadResult/UploadId") == 0) {
        bytes_append_text(upload, text);
    }
    return true;
}

enum zkt_err
object_s3_begin(struct object_store *store, const struct object_info *object,
                const uint8_t sha256[32], struct bytes *upload, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    char path[S3_PATH_SIZE];
    size_t len_before = upload->len;
    (void)sha256;
    object_s3_path(s3, &object->uid, path);
    struct s3_call call = {
        .method = "POST", .path = path, .params = {{"uploads", ""}}, .params_count = 1};
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        const struct xml_events events = {.on_end = on_begin_end};
        err = xml_read(bytes_span(&call.answer), &events, upload, problem);
    }
    size_t len = upload->len - len_before;
    if (err == ZKT_OK && (len == 0 || len >= OBJECT_UPLOAD_ID_SIZE)) {
        err = problem_set(problem, ZKT_IO, "POST %s?uploads: an upload id of %zu bytes", path, len);
    }
    s3_call_fini(&call);
    return err;
}

enum zkt_err
object_s3_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                       uint32_t part, int64_t size, int64_t now_s, struct bytes *url)
{
    char number[16];
    (void)size;
    if (upload.len >= OBJECT_UPLOAD_ID_SIZE) {
        return ZKT_INVALID;
    }
    char *id = xmemdup(upload.data, upload.len);
    snprintf(number, sizeof number, "%" PRIu32, part);
    const struct s3_param params[] = {{"partNumber", number}, {"uploadId", id}};
    object_s3_presign(object_s3_of(store), "PUT", uid, params, 2, now_s, url);
    free(id);
    return ZKT_OK;
}

static void
complete_body(const struct span *etags, size_t etags_count, struct bytes *body)
{
    bytes_append_text(body, "<CompleteMultipartUpload "
                            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < etags_count; i++) {
        char *etag = xmemdup(etags[i].data, etags[i].len);
        bytes_printf(body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        xml_escape(body, etag);
        bytes_append_text(body, "</ETag></Part>");
        free(etag);
    }
    bytes_append_text(body, "</CompleteMultipartUpload>");
}

struct completion {
    char code[S3_CODE_SIZE];
    char message[256];
};

static bool
on_complete_end(void *arg, const char *path, const char *text)
{
    struct completion *completion = arg;
    if (strcmp(path, "/Error/Code") == 0) {
        snprintf(completion->code, sizeof completion->code, "%s", text);
    } else if (strcmp(path, "/Error/Message") == 0) {
        snprintf(completion->message, sizeof completion->message, "%s", text);
    }
    return true;
}

// S3 may tell of a failure behind a 200 that it has sent already.
static enum zkt_err
read_completion(const struct s3_call *call, struct problem *problem)
{
    struct completion completion = {0};
    const struct xml_events events = {.on_end = on_complete_end};
    enum zkt_err err = xml_read(bytes_span(&call->answer), &events, &completion, problem);
    if (err == ZKT_OK && completion.code[0] != '\0') {
        err = problem_set(problem, ZKT_UNREACHABLE, "POST %s: %s: %s", call->path, completion.code,
                          completion.message);
    }
    return err;
}

// The object as it is now decides what the client hears.
static enum zkt_err
check_size(struct object_store *store, const struct object_info *object, bool was_completed,
           struct problem *problem)
{
    struct object_info info;
    enum zkt_err err = object_s3_head(store, &object->uid, &info, problem);
    if (err != ZKT_OK || info.size == object->size) {
        return err;
    }
    if (!was_completed) {
        return problem_set(problem, ZKT_NOT_FOUND, "no such upload");
    }
    size_t deleted_count = 0;
    struct problem ignored;
    err = object_s3_delete(store, &object->uid, 1, &deleted_count, &ignored);
    return problem_set(problem, ZKT_INVALID,
                       "size: the parts are %" PRId64 " bytes, %" PRId64 " were declared%s",
                       info.size, object->size, err == ZKT_OK ? "" : "; it is still there");
}

enum zkt_err
object_s3_complete(struct object_store *store, const struct object_info *object,
                   const uint8_t sha256[32], struct span upload, const struct span *etags,
                   size_t etags_count, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    char path[S3_PATH_SIZE];
    struct bytes body = {0};
    char *id = xmemdup(upload.data, upload.len);
    (void)sha256;
    object_s3_path(s3, &object->uid, path);
    complete_body(etags, etags_count, &body);
    struct s3_call call = {
        .method = "POST",
        .path = path,
        .params = {{"uploadId", id}},
        .params_count = 1,
        .content_type = "application/xml",
        .may_miss = true,
        .timeout_ms = COMPLETE_TIMEOUT_MS,
        .body = bytes_span(&body),
    };
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        err = read_completion(&call, problem);
    }
    if (err == ZKT_OK) {
        err = check_size(store, object, true, problem);
    } else if (err == ZKT_NOT_FOUND) {
        err = check_size(store, object, false, problem);
    }
    s3_call_fini(&call);
    bytes_fini(&body);
    free(id);
    return err;
}

enum zkt_err
object_s3_abort(struct object_store *store, const struct uid *uid, struct span upload,
                struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    char path[S3_PATH_SIZE];
    char *id = xmemdup(upload.data, upload.len);
    object_s3_path(s3, uid, path);
    struct s3_call call = {.method = "DELETE",
                           .path = path,
                           .params = {{"uploadId", id}},
                           .params_count = 1,
                           .may_miss = true};
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    s3_call_fini(&call);
    free(id);
    return err == ZKT_NOT_FOUND ? ZKT_OK : err;
}

// ---- Storing

static enum zkt_err
put_whole(struct object_s3 *s3, const struct uid *uid, int fd, int64_t size,
          const uint8_t sha256[32], struct problem *problem)
{
    char path[S3_PATH_SIZE];
    char hex[S3_HEX_SIZE];
    object_s3_path(s3, uid, path);
    hex_format(sha256, 32, hex);
    struct s3_call call = {
        .method = "PUT", .path = path, .fd = fd, .file_size = size, .file_sha256 = hex};
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    s3_call_fini(&call);
    return err;
}

static enum zkt_err
put_parts(struct object_s3 *s3, const struct object_info *object, int fd, struct span upload,
          struct bytes *etags, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    char *id = xmemdup(upload.data, upload.len);
    enum zkt_err err = ZKT_OK;
    // The least number of bytes that needs no more parts than there may be.
    int64_t part_size = object->size / (OBJECT_PARTS_MAX - 1) + 1;
    part_size = part_size > PUT_PART_BYTES ? part_size : PUT_PART_BYTES;
    object_s3_path(s3, &object->uid, path);
    for (int64_t at = 0, part = 1; err == ZKT_OK && at < object->size; at += part_size, part++) {
        char number[24];
        int64_t left = object->size - at;
        snprintf(number, sizeof number, "%" PRId64, part);
        struct s3_call call = {
            .method = "PUT",
            .path = path,
            .params = {{"partNumber", number}, {"uploadId", id}},
            .params_count = 2,
            .fd = fd,
            .file_offset = at,
            .file_size = left < part_size ? left : part_size,
            .file_sha256 = S3_UNSIGNED,
        };
        err = object_s3_run(s3, &call, 1, problem);
        if (err == ZKT_OK) {
            bytes_append(etags, call.etag, sizeof call.etag);
        }
        s3_call_fini(&call);
    }
    free(id);
    return err;
}

static enum zkt_err
put_large(struct object_store *store, const struct object_info *object, int fd,
          const uint8_t sha256[32], struct problem *problem)
{
    struct bytes upload = {0};
    struct bytes etags = {0};
    enum zkt_err err = object_s3_begin(store, object, sha256, &upload, problem);
    if (err == ZKT_OK) {
        err = put_parts(object_s3_of(store), object, fd, bytes_span(&upload), &etags, problem);
        size_t etags_count = etags.len / S3_ETAG_SIZE;
        struct span *spans = xcalloc(etags_count + 1, sizeof *spans);
        for (size_t i = 0; i < etags_count; i++) {
            spans[i] = span_of_text((const char *)etags.data + i * S3_ETAG_SIZE);
        }
        if (err == ZKT_OK) {
            err = object_s3_complete(store, object, sha256, bytes_span(&upload), spans, etags_count,
                                     problem);
        }
        if (err != ZKT_OK) {
            struct problem ignored;
            enum zkt_err aborted =
                object_s3_abort(store, &object->uid, bytes_span(&upload), &ignored);
            (void)aborted; // the sweeper finds it
        }
        free(spans);
    }
    bytes_fini(&upload);
    bytes_fini(&etags);
    return err;
}

enum zkt_err
object_s3_put(struct object_store *store, const struct uid *uid, int fd, int64_t size,
              const uint8_t sha256[32], struct problem *problem)
{
    const struct object_info object = {.uid = *uid, .size = size};
    if (size > PUT_MAX_BYTES) {
        return put_large(store, &object, fd, sha256, problem);
    }
    return put_whole(object_s3_of(store), uid, fd, size, sha256, problem);
}
