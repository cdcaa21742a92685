// Bodies. An object goes to disk while it comes and is kept only if all that was said of it is
// right: its length, the signatures of its chunks, its hash and its checksums. Other bodies are XML
// documents and are gathered up to a limit.
#include "http/s3_ask.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "http/reply.h"
#include "object/xml.h"

static bool
parse_size(const char *text, int64_t *size)
{
    if (text == NULL || *text == '\0' || strlen(text) > 18 ||
        strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    *size = strtoll(text, NULL, 10);
    return true;
}

static bool
parse_hash(const char *text, uint8_t sha256[32])
{
    if (strlen(text) != 64) {
        return false;
    }
    for (size_t i = 0; i < 64; i++) {
        const char *digits = "0123456789abcdef";
        const char *found = strchr(digits, text[i]);
        if (found == NULL) {
            return false;
        }
        unsigned digit = (unsigned)(found - digits);
        sha256[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : sha256[i / 2] | digit);
    }
    return true;
}

static void
add_checksum(struct s3_ask *call, const char *header)
{
    struct s3_checksum *checksum = s3_checksum_new(header);
    if (checksum == NULL) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "this store does not know this checksum");
    } else if (call->checksums_count == S3_CHECKSUMS_MAX) {
        s3_checksum_destroy(&checksum);
        s3_ask_fail(call, S3_INVALID_REQUEST, "a body has at most two checksums");
    } else {
        call->checksums[call->checksums_count++] = checksum;
    }
}

// The checksums of the body that are said in headers, or will be behind the body.
static void
find_checksums(struct s3_ask *call)
{
    const char *md5 = s3_ask_header(call, "Content-MD5");
    const char *trailer = s3_ask_header(call, "x-amz-trailer");
    bool is_of_whole = strcmp(call->method, MHD_HTTP_METHOD_POST) == 0 && call->key != NULL;
    if (md5 != NULL) {
        if (strlen(md5) != 24 || md5[22] != '=' || md5[23] != '=') {
            s3_ask_fail(call, S3_INVALID_DIGEST, NULL);
            return;
        }
        add_checksum(call, "content-md5");
    }
    for (size_t i = 0; i < call->asked.headers_count; i++) {
        const char *name = call->headers[i].name;
        if (strncasecmp(name, "x-amz-checksum-", 15) != 0) {
            continue;
        }
        if (!is_of_whole) {
            add_checksum(call, name);
        } else if (strcasecmp(name, "x-amz-checksum-algorithm") != 0 &&
                   strcasecmp(name, "x-amz-checksum-type") != 0) {
            s3_ask_fail(call, S3_NOT_IMPLEMENTED, "parts have checksums here, the whole has none");
        }
    }
    if (trailer != NULL && call->chunked != NULL) {
        add_checksum(call, trailer);
    } else if (trailer != NULL) {
        s3_ask_fail(call, S3_INVALID_REQUEST, "x-amz-trailer is of a body in chunks");
    }
}

static bool
is_object(const struct s3_ask *call)
{
    return call->key != NULL && strcmp(call->method, MHD_HTTP_METHOD_PUT) == 0 && !s3_is_copy(call);
}

// How long the body is, and how it comes.
static void
find_size(struct s3_ask *call, int64_t *size)
{
    const char *payload = call->verified.payload;
    bool is_streamed = s3_chunked_is_known(payload);
    bool has_length = s3_ask_header(call, "Content-Length") != NULL;
    bool is_bodiless = !has_length && s3_ask_header(call, "Transfer-Encoding") == NULL;
    if (is_bodiless && !is_object(call)) {
        *size = 0; // curl says nothing of a body that is not there
        return;
    }
    call->is_open_ended = is_streamed && !has_length && !is_bodiless; // as the C++ SDK sends it
    if (!call->is_open_ended &&
        !parse_size(s3_ask_header(call, "Content-Length"), &call->left_bytes)) {
        s3_ask_fail(call, S3_MISSING_CONTENT_LENGTH, NULL);
    } else if (!is_streamed) {
        *size = call->left_bytes;
    } else if (!parse_size(s3_ask_header(call, "x-amz-decoded-content-length"), size)) {
        s3_ask_fail(call, S3_MISSING_CONTENT_LENGTH, "x-amz-decoded-content-length is missing");
    } else {
        call->chunked = s3_chunked_new(&call->verified, *size);
    }
}

void
s3_put_condition(struct s3_ask *call, struct object_condition *condition)
{
    const char *none_match = s3_ask_header(call, "If-None-Match");
    condition->match = s3_ask_header(call, "If-Match");
    condition->is_only_new = none_match != NULL && strcmp(none_match, "*") == 0;
    if (none_match != NULL && !condition->is_only_new) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "If-None-Match can only be * here");
    }
}

// The number of a part, or 0.
static uint32_t
part_number(struct s3_ask *call)
{
    const char *text = s3_ask_param(call, "partNumber");
    int64_t number = 0;
    if (text == NULL) {
        return 0;
    }
    if (!parse_size(text, &number) || number < 1 || number > OBJECT_PARTS_MAX) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "partNumber is 1 to 10000");
    }
    return (uint32_t)number;
}

uint32_t
s3_put_part(struct s3_ask *call, struct object_put *put)
{
    put->part = part_number(call);
    put->upload = put->part > 0 ? s3_ask_param(call, "uploadId") : NULL;
    if ((put->part > 0) != (s3_ask_param(call, "uploadId") != NULL)) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "a part has uploadId and partNumber");
    }
    return put->part;
}

static void
begin_upload(struct s3_ask *call, int64_t size)
{
    struct bytes headers = {0};
    uint8_t sha256[32];
    const char *payload = call->verified.payload;
    struct object_put put = {.bucket = call->bucket, .key = call->key, .size = size};
    if (parse_hash(payload, sha256)) {
        put.sha256 = sha256;
    } else if (call->chunked == NULL && strcmp(payload, S3_UNSIGNED) != 0) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "x-amz-content-sha256 is no SHA-256");
    }
    if (s3_put_part(call, &put) == 0) {
        s3_put_condition(call, &put.condition);
        if (!s3_kept_headers(call, &headers)) {
            s3_ask_fail(call, S3_INVALID_REQUEST, "the headers are too long");
        }
        put.headers = bytes_span(&headers);
    }
    if (call->code == S3_OK) {
        enum s3_code code = object_put_begin(call->store, &put, &call->upload, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    bytes_fini(&headers);
}

void
s3_put_begin(struct s3_ask *call)
{
    int64_t size = 0;
    find_size(call, &size);
    if (call->code == S3_OK) {
        find_checksums(call);
    }
    if (call->code == S3_OK && is_object(call)) {
        begin_upload(call, size);
    } else if (call->code == S3_OK && size > XML_DOCUMENT_MAX) {
        s3_ask_fail(call, S3_MALFORMED_XML, "the document is too large");
    }
}

// ---- As it comes

static enum s3_code
take_bytes(void *arg, const void *data, size_t len, struct problem *problem)
{
    struct s3_ask *call = arg;
    for (size_t i = 0; i < call->checksums_count; i++) {
        s3_checksum_update(call->checksums[i], data, len);
    }
    if (call->upload == NULL) {
        bytes_append(&call->document, data, len);
        return S3_OK;
    }
    return object_code_of(object_upload_write(call->upload, data, len, problem));
}

void
s3_put_take(struct s3_ask *call, const char *data, size_t len)
{
    enum s3_code code = S3_OK;
    struct problem problem = {.text = ""};
    if (call->code != S3_OK) {
        return; // the rest of the body is read and dropped, so that the client gets the answer
    }
    if (!call->is_open_ended && (int64_t)len > call->left_bytes) {
        s3_ask_fail(call, S3_INCOMPLETE_BODY, "the body is longer than announced");
    } else {
        call->left_bytes -= call->is_open_ended ? 0 : (int64_t)len;
        code = call->chunked != NULL
                   ? s3_chunked_feed(call->chunked, data, len, take_bytes, call, &problem)
                   : take_bytes(call, data, len, &problem);
    }
    if (code != S3_OK) {
        s3_ask_fail(call, code, problem.text);
    }
    if (call->code != S3_OK) {
        object_upload_abort(&call->upload);
    }
}

// ---- At its end

static void
check_sums(struct s3_ask *call)
{
    for (size_t i = 0; i < call->checksums_count; i++) {
        char text[S3_CHECKSUM_TEXT_SIZE];
        const char *name = s3_checksum_header(call->checksums[i]);
        s3_checksum_text(call->checksums[i], text);
        const char *claimed = s3_ask_header(call, name);
        if (claimed == NULL && call->chunked != NULL) {
            claimed = s3_chunked_trailer(call->chunked, name);
        }
        if (claimed == NULL) {
            s3_ask_fail(call, S3_INVALID_REQUEST, "the trailing checksum is missing");
        } else if (strcmp(claimed, text) != 0) {
            s3_ask_fail(call, S3_BAD_DIGEST, NULL);
        }
    }
}

static void
check_document(struct s3_ask *call)
{
    uint8_t want[32];
    char hex[S3_HEX_SIZE];
    s3_sha256(bytes_span(&call->document), hex);
    if (parse_hash(call->verified.payload, want) && strcmp(call->verified.payload, hex) != 0) {
        s3_ask_fail(call, S3_CONTENT_SHA256_MISMATCH, NULL);
    }
}

static void
check_end(struct s3_ask *call)
{
    struct problem problem = {.text = ""};
    if (call->left_bytes > 0) {
        s3_ask_fail(call, S3_INCOMPLETE_BODY, NULL);
    } else if (call->chunked != NULL && s3_chunked_end(call->chunked, &problem) != S3_OK) {
        s3_ask_fail(call, S3_INCOMPLETE_BODY, problem.text);
    }
    if (call->code == S3_OK) {
        check_sums(call);
    }
    if (call->code == S3_OK && call->upload == NULL) {
        check_document(call);
    }
    if (call->code != S3_OK) {
        object_upload_abort(&call->upload);
    }
}

static void
finish_upload(void *arg)
{
    struct s3_ask *call = arg;
    enum s3_code code = object_put_finish(&call->upload, call->etag, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    }
}

enum MHD_Result
s3_put_end(struct MHD_Connection *connection, struct s3_ask *call)
{
    bool has_upload = call->upload != NULL;
    if (call->code == S3_OK) {
        check_end(call);
    }
    if (call->code == S3_OK && has_upload) {
        return s3_later(connection, call, FINISH_SHORT, finish_upload, MHD_HTTP_OK);
    }
    return call->code != S3_OK ? s3_reply_error(connection, call) : MHD_YES;
}
