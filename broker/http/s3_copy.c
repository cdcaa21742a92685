// CopyObject and UploadPartCopy: a PUT whose body lies in the store already. Clients rename with
// it, and change what is kept beside the content.
#include "http/s3_ask.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/memory.h"
#include "http/range.h"
#include "object/xml.h"

enum {
    BLOCK_SIZE = 256 << 10,
    SHORT_MAX = 1 << 20, // bytes that are no long work
};

struct source {
    char *bucket;
    char *key; // behind bucket
    int fd;
    struct object_meta meta;
    int64_t from;
    int64_t len;
};

bool
s3_is_copy(const struct s3_ask *call)
{
    return call->key != NULL && strcmp(call->method, MHD_HTTP_METHOD_PUT) == 0 &&
           s3_ask_header(call, "x-amz-copy-source") != NULL;
}

static void
source_fini(struct source *source)
{
    if (source->fd >= 0) {
        close(source->fd);
        object_meta_fini(&source->meta);
    }
    free(source->bucket);
}

// "/bucket/key", percent-encoded; the first slash may be missing.
static void
find_source(struct s3_ask *call, struct source *source)
{
    const char *text = s3_ask_header(call, "x-amz-copy-source");
    source->bucket = xstrdup(text + (*text == '/'));
    bool is_version = strstr(source->bucket, "?versionId=") != NULL;
    char *slash = s3_path_unescape(source->bucket) ? strchr(source->bucket, '/') : NULL;
    if (is_version) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "x-amz-copy-source: this store has no versions");
    } else if (slash == NULL || slash[1] == '\0') {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "x-amz-copy-source is /BUCKET/KEY, encoded");
    } else {
        *slash = '\0';
        source->key = slash + 1;
    }
}

// How much of the source: all, or for a part x-amz-copy-source-range.
static void
find_range(struct s3_ask *call, struct source *source)
{
    const char *range = s3_ask_header(call, "x-amz-copy-source-range");
    const char *match = s3_ask_header(call, "x-amz-copy-source-if-match");
    source->len = source->meta.size;
    if (match != NULL && !object_etag_is(match, source->meta.etag)) {
        s3_ask_fail(call, S3_PRECONDITION_FAILED, NULL);
    } else if (range != NULL && s3_ask_param(call, "partNumber") == NULL) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "x-amz-copy-source-range is for parts");
    } else if (range != NULL && range_wanted(range, NULL, "", "", source->meta.size, &source->from,
                                             &source->len) != RANGE_PART) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "x-amz-copy-source-range: not in the object");
    }
}

static void
open_source(struct s3_ask *call, struct source *source)
{
    find_source(call, source);
    if (call->code != S3_OK) {
        return;
    }
    enum s3_code code = object_key_open(call->store, source->bucket, source->key, &source->fd,
                                        &source->meta, &call->problem);
    if (code != S3_OK) {
        source->fd = -1;
        s3_ask_fail(call, code, NULL);
        return;
    }
    find_range(call, source);
}

static void
find_headers(struct s3_ask *call, const struct source *source, struct bytes *headers)
{
    const char *directive = s3_ask_header(call, "x-amz-metadata-directive");
    bool is_same = strcmp(source->bucket, call->bucket) == 0 && strcmp(source->key, call->key) == 0;
    if (directive != NULL && strcmp(directive, "REPLACE") == 0) {
        if (!s3_kept_headers(call, headers)) {
            s3_ask_fail(call, S3_INVALID_REQUEST, "the headers are too long");
        }
    } else if (directive != NULL && strcmp(directive, "COPY") != 0) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "x-amz-metadata-directive is COPY or REPLACE");
    } else if (is_same) {
        s3_ask_fail(call, S3_INVALID_REQUEST,
                    "a copy to itself has to change what is kept with it");
    } else {
        bytes_append(headers, source->meta.headers.data, source->meta.headers.len);
    }
}

static void
copy_bytes(struct s3_ask *call, const struct source *source)
{
    char *block = xmalloc(BLOCK_SIZE);
    int64_t done = 0;
    while (done < source->len && call->code == S3_OK) {
        int64_t left = source->len - done;
        size_t want = left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
        ssize_t got = pread(source->fd, block, want, source->from + done);
        if (got <= 0) {
            object_io_problem(&call->problem, source->key);
            s3_ask_fail(call, S3_INTERNAL_ERROR, NULL);
            break;
        }
        enum zkt_err err = object_upload_write(call->upload, block, (size_t)got, &call->problem);
        if (err != ZKT_OK) {
            s3_ask_fail(call, object_code_of(err), NULL);
        }
        done += got;
    }
    free(block);
}

// The hash goes with the content: what is damaged is not copied.
static void
put_copy(struct s3_ask *call, const struct source *source)
{
    struct bytes headers = {0};
    struct object_put put = {.bucket = call->bucket, .key = call->key, .size = source->len};
    if (source->meta.has_sha256 && source->len == source->meta.size) {
        put.sha256 = source->meta.sha256;
    }
    if (s3_put_part(call, &put) == 0) {
        s3_put_condition(call, &put.condition);
        find_headers(call, source, &headers);
        put.headers = bytes_span(&headers);
    }
    if (call->code == S3_OK) {
        enum s3_code code = object_put_begin(call->store, &put, &call->upload, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    if (call->code == S3_OK) {
        copy_bytes(call, source);
    }
    if (call->code == S3_OK) {
        enum s3_code code = object_put_finish(&call->upload, call->etag, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    object_upload_abort(&call->upload);
    bytes_fini(&headers);
}

static void
copy(void *arg)
{
    struct s3_ask *call = arg;
    struct source source = {.fd = -1};
    char date[32];
    open_source(call, &source);
    if (call->code == S3_OK) {
        put_copy(call, &source);
    }
    if (call->code == S3_OK) {
        const char *name =
            s3_ask_param(call, "partNumber") != NULL ? "CopyPartResult" : "CopyObjectResult";
        s3_iso_date(call->now_ms, date);
        bytes_printf(&call->answer,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                     "<LastModified>%s</LastModified><ETag>\"%s\"</ETag></%s>\n",
                     name, date, call->etag, name);
    }
    source_fini(&source);
}

enum MHD_Result
s3_copy(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct source source = {.fd = -1};
    open_source(call, &source);
    bool is_short = source.len <= SHORT_MAX;
    source_fini(&source);
    if (call->code != S3_OK) {
        return s3_reply_error(connection, call);
    }
    return s3_later(connection, call, is_short ? FINISH_SHORT : FINISH_LONG, copy, MHD_HTTP_OK);
}
