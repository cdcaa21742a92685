// GET and HEAD of an object: conditions, one range, and the headers it was put with.
#include "http/s3_ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "http/range.h"
#include "http/reply.h"

struct opened {
    int fd;
    struct object_meta meta;
};

// "\"a\", W/\"b\"" or "*".
static bool
is_listed(const char *list, const char *etag)
{
    char quoted[OBJECT_ETAG_SIZE + 2];
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    return strcmp(list, "*") == 0 || strstr(list, quoted) != NULL || strcmp(list, etag) == 0;
}

static bool
parse_http_date(const char *text, int64_t *date_s)
{
    struct tm utc = {.tm_isdst = 0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    if (end == NULL || *end != '\0') {
        return false;
    }
    *date_s = timegm(&utc);
    return true;
}

// The status that the conditions of the request ask for; 0: go on (RFC 9110 §13.2.2).
static unsigned
condition(const struct s3_ask *call, const struct object_meta *meta)
{
    const char *match = s3_ask_header(call, "If-Match");
    const char *none_match = s3_ask_header(call, "If-None-Match");
    const char *since = s3_ask_header(call, "If-Modified-Since");
    const char *unmodified = s3_ask_header(call, "If-Unmodified-Since");
    int64_t modified_s = meta->modified_ms / 1000;
    int64_t date_s;
    if (match != NULL
            ? !is_listed(match, meta->etag)
            : unmodified != NULL && parse_http_date(unmodified, &date_s) && modified_s > date_s) {
        return MHD_HTTP_PRECONDITION_FAILED;
    }
    if (none_match != NULL
            ? is_listed(none_match, meta->etag)
            : since != NULL && parse_http_date(since, &date_s) && modified_s <= date_s) {
        return MHD_HTTP_NOT_MODIFIED;
    }
    return 0;
}

// What the object was put with, unless the URL says otherwise.
static void
add_kept(const struct s3_ask *call, struct MHD_Response *response, const struct object_meta *meta)
{
    bool has_type = false;
    struct bytes copy = {0};
    bytes_append(&copy, meta->headers.data, meta->headers.len);
    char *rest = bytes_text(&copy);
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *value = strstr(line, ": ");
        if (value == NULL) {
            continue;
        }
        *value = '\0';
        char *param = xasprintf("response-%s", line);
        for (char *at = param; *at != '\0'; at++) {
            *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
        }
        if (s3_ask_param(call, param) == NULL) {
            reply_add(response, line, value + 2);
            has_type = has_type || strcasecmp(line, "Content-Type") == 0;
        }
        free(param);
    }
    static const char *const overrides[][2] = {
        {"response-content-type", "Content-Type"},
        {"response-content-disposition", "Content-Disposition"},
        {"response-content-encoding", "Content-Encoding"},
        {"response-content-language", "Content-Language"},
        {"response-cache-control", "Cache-Control"},
        {"response-expires", "Expires"}};
    for (size_t i = 0; i < sizeof(overrides) / sizeof(overrides[0]); i++) {
        const char *value = s3_ask_param(call, overrides[i][0]);
        if (value != NULL) {
            reply_add(response, overrides[i][1], value);
            has_type = has_type || i == 0;
        }
    }
    if (!has_type) {
        reply_add(response, "Content-Type", "binary/octet-stream");
    }
    bytes_fini(&copy);
}

static void
add_known(struct MHD_Response *response, const struct object_meta *meta)
{
    char quoted[OBJECT_ETAG_SIZE + 2];
    char date[32];
    snprintf(quoted, sizeof(quoted), "\"%s\"", meta->etag);
    s3_http_date(meta->modified_ms, date);
    reply_add(response, "ETag", quoted);
    reply_add(response, "Last-Modified", date);
    reply_add(response, "Accept-Ranges", "bytes");
}

// Takes file->fd.
static enum MHD_Result
send_file(struct MHD_Connection *connection, const struct s3_ask *call, unsigned status,
          const struct opened *file, int64_t from, int64_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_fd_at_offset64((uint64_t)len, file->fd, (uint64_t)from);
    if (response == NULL) {
        close(file->fd);
        return MHD_NO;
    }
    add_known(response, &file->meta);
    add_kept(call, response, &file->meta);
    if (status == MHD_HTTP_PARTIAL_CONTENT) {
        range_add(response, from, len, file->meta.size);
    }
    return reply_send(connection, status, response);
}

static enum MHD_Result
send_none(struct MHD_Connection *connection, const struct opened *file)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    add_known(response, &file->meta);
    return reply_send(connection, MHD_HTTP_NOT_MODIFIED, response);
}

static enum MHD_Result
answer(struct MHD_Connection *connection, struct s3_ask *call, const struct opened *file)
{
    unsigned status = condition(call, &file->meta);
    if (status != 0) {
        close(file->fd);
        if (status == MHD_HTTP_NOT_MODIFIED) {
            return send_none(connection, file);
        }
        s3_ask_fail(call, S3_PRECONDITION_FAILED, NULL);
        return s3_reply_error(connection, call);
    }
    int64_t from;
    int64_t len;
    char quoted[OBJECT_ETAG_SIZE + 2];
    char date[32];
    snprintf(quoted, sizeof(quoted), "\"%s\"", file->meta.etag);
    s3_http_date(file->meta.modified_ms, date);
    switch (range_wanted(s3_ask_header(call, "Range"), s3_ask_header(call, "If-Range"), quoted,
                         date, file->meta.size, &from, &len)) {
    case RANGE_PART:
        return send_file(connection, call, MHD_HTTP_PARTIAL_CONTENT, file, from, len);
    case RANGE_NONE:
        close(file->fd);
        s3_ask_fail(call, S3_INVALID_RANGE, NULL);
        call->size = file->meta.size;
        return s3_reply_error(connection, call);
    case RANGE_WHOLE:
        break;
    }
    return send_file(connection, call, MHD_HTTP_OK, file, from, len);
}

enum MHD_Result
s3_get(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct opened file;
    enum s3_code code =
        object_key_open(call->store, call->bucket, call->key, &file.fd, &file.meta, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
        return s3_reply_error(connection, call);
    }
    enum MHD_Result result = answer(connection, call, &file);
    object_meta_fini(&file.meta);
    return result;
}
