#include "http/s3_ask.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/range.h"
#include "http/reply.h"
#include "object/xml.h"

const char *
s3_ask_param(const struct s3_ask *call, const char *name)
{
    return s3_param_value(&call->asked, name);
}

const char *
s3_ask_header(const struct s3_ask *call, const char *name)
{
    return s3_header_value(&call->asked, name);
}

enum s3_code
s3_ask_fail(struct s3_ask *call, enum s3_code code, const char *text)
{
    if (call->code == S3_OK) {
        call->code = code;
        if (text != NULL) {
            problem_set(&call->problem, ZKT_INVALID, "%s", text);
        } else if (call->problem.text[0] == '\0') {
            problem_set(&call->problem, ZKT_INVALID, "%s", s3_code_text(code));
        }
    }
    return call->code;
}

// ---- Taking apart

struct headers {
    struct s3_ask *call;
    bool is_wrong;
};

static enum MHD_Result
take_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct headers *headers = arg;
    struct s3_ask *call = headers->call;
    // Of two with one name only the first would be checked.
    bool is_twice = strncasecmp(name, "x-amz-", 6) == 0 && s3_ask_header(call, name) != NULL;
    if (call->asked.headers_count == S3_HEADERS_MAX || is_twice) {
        headers->is_wrong = true;
        return MHD_NO;
    }
    call->headers[call->asked.headers_count++] =
        (struct s3_param){name, value != NULL ? value : ""};
    return MHD_YES;
}

static void
split_path(struct s3_ask *call)
{
    const char *slash = strchr(call->path + 1, '/');
    if (call->path[1] == '\0') {
        return;
    }
    size_t len = slash != NULL ? (size_t)(slash - call->path - 1) : strlen(call->path + 1);
    call->bucket = xmemdup(call->path + 1, len);
    if (slash != NULL && slash[1] != '\0') {
        call->key = xstrdup(slash + 1);
    }
}

static void
take_target(struct s3_ask *call, const char *target)
{
    call->path = xstrdup(target);
    char *query = strchr(call->path, '?');
    if (query != NULL) {
        *query++ = '\0';
        call->query = xstrdup(query);
    }
    if (call->path[0] != '/' || !s3_path_unescape(call->path)) {
        s3_ask_fail(call, S3_INVALID_URI, NULL);
        return;
    }
    if (call->query != NULL &&
        !s3_query_parse(call->query, call->params, &call->asked.params_count)) {
        s3_ask_fail(call, S3_INVALID_URI, "the query cannot be read");
        return;
    }
    call->asked.path = call->path;
    split_path(call);
}

static void
check_right(struct s3_ask *call)
{
    bool is_read = strcmp(call->method, MHD_HTTP_METHOD_GET) == 0 ||
                   strcmp(call->method, MHD_HTTP_METHOD_HEAD) == 0;
    if (!is_read && object_client_is_reader(call->store, call->verified.access)) {
        s3_ask_fail(call, S3_ACCESS_DENIED, "this access key only reads");
    }
}

struct s3_ask *
s3_ask_new(struct object_store *store, struct MHD_Connection *connection, const char *method,
           const char *target, int64_t now_ms)
{
    struct s3_ask *call = xcalloc(1, sizeof(*call));
    struct headers headers = {.call = call};
    const struct s3_keys keys = {.secret_of = object_client_secret, .arg = store};
    call->store = store;
    call->method = method;
    call->now_ms = now_ms;
    call->asked = (struct s3_request){
        .method = method, .path = "/", .params = call->params, .headers = call->headers};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header, &headers);
    call->asked.host = s3_ask_header(call, "Host");
    if (target == NULL || headers.is_wrong) {
        s3_ask_fail(call, S3_INVALID_REQUEST, "the URL is too long, or there are too many headers");
        return call;
    }
    take_target(call, target);
    if (call->code == S3_OK) {
        struct problem problem;
        enum s3_code code =
            s3_verify(&keys, &call->asked, now_ms / 1000, &call->verified, &problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, problem.text);
        }
    }
    if (call->code == S3_OK) {
        check_right(call);
    }
    return call;
}

void
s3_ask_destroy(struct s3_ask **call_p)
{
    struct s3_ask *call = *call_p;
    *call_p = NULL;
    if (call == NULL) {
        return;
    }
    object_upload_abort(&call->upload);
    s3_chunked_destroy(&call->chunked);
    for (size_t i = 0; i < call->checksums_count; i++) {
        s3_checksum_destroy(&call->checksums[i]);
    }
    bytes_fini(&call->document);
    bytes_fini(&call->answer);
    free(call->path);
    free(call->query);
    free(call->bucket);
    free(call->key);
    free(call);
}

static bool
is_meta(const char *name)
{
    return strncasecmp(name, "x-amz-meta-", 11) == 0;
}

static bool
is_kept(const char *name)
{
    static const char *const names[] = {"Content-Type", "Content-Disposition", "Content-Language",
                                        "Cache-Control", "Expires"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return is_meta(name);
}

// "gzip" of "aws-chunked,gzip": the first is of the way, not of the content.
static void
keep_encoding(const char *value, struct bytes *out)
{
    static const char chunked[] = "aws-chunked";
    if (strncmp(value, chunked, sizeof(chunked) - 1) == 0) {
        value += sizeof(chunked) - 1;
        value += strspn(value, ", ");
    }
    if (*value != '\0') {
        bytes_printf(out, "Content-Encoding: %s\n", value);
    }
}

bool
s3_kept_headers(struct s3_ask *call, struct bytes *out)
{
    for (size_t i = 0; i < call->asked.headers_count; i++) {
        const struct s3_param *header = &call->headers[i];
        if (strcspn(header->value, "\r\n") != strlen(header->value)) {
            return false;
        }
        if (strcasecmp(header->name, "Content-Encoding") == 0) {
            keep_encoding(header->value, out);
        } else if (is_kept(header->name)) {
            size_t start = out->len;
            bytes_printf(out, "%s: %s\n", header->name, header->value);
            for (char *at = (char *)out->data + start; is_meta(header->name) && *at != ':'; at++) {
                *at = (char)tolower((unsigned char)*at); // as S3 shows them
            }
        }
    }
    return out->len < OBJECT_NOTES_MAX / 2;
}

// ---- Answers

enum MHD_Result
s3_reply_error(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct bytes out = {0};
    // A failure of ours is for the log: paths and reasons of the system are not the client's.
    const char *text = call->problem.text;
    if (call->code == S3_INTERNAL_ERROR || call->code == S3_STORAGE_FULL) {
        log_error("OBJECT-STORE-FAILED", "code=%s reason=\"%s\"", s3_code_name(call->code), text);
        text = s3_code_text(call->code);
    }
    bytes_append_text(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    xml_element(&out, "Code", s3_code_name(call->code));
    xml_element(&out, "Message", text);
    xml_element(&out, "Resource", call->code != S3_INVALID_URI ? call->asked.path : "");
    bytes_append_text(&out, "</Error>\n");
    struct MHD_Response *response = reply_new("application/xml", bytes_span(&out));
    bytes_fini(&out);
    if (response != NULL && call->code == S3_INVALID_RANGE) {
        range_add(response, 0, 0, call->size);
    }
    return reply_send(connection, s3_code_status(call->code), response);
}

enum MHD_Result
s3_reply_xml(struct MHD_Connection *connection, struct bytes *document)
{
    enum MHD_Result result =
        reply_text(connection, MHD_HTTP_OK, "application/xml", bytes_span(document));
    bytes_fini(document);
    return result;
}

enum MHD_Result
s3_reply_empty(struct MHD_Connection *connection, unsigned status, const char *etag)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    if (etag != NULL) {
        char quoted[OBJECT_ETAG_SIZE + 2];
        snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
        reply_add(response, "ETag", quoted);
    }
    return reply_send(connection, status, response);
}

void
s3_iso_date(int64_t ms, char text[32])
{
    struct tm utc;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &utc);
    size_t len = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + len, 32 - len, ".%03dZ", (int)(ms % 1000));
}

void
s3_http_date(int64_t ms, char text[32])
{
    struct tm utc;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &utc);
    strftime(text, 32, "%a, %d %b %Y %H:%M:%S GMT", &utc);
}
