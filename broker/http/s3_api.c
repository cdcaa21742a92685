// What a request asks for, by its method and its parameters.
#include "http/s3_api.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "http/s3_ask.h"
#include "object/xml.h"

bool
s3_is_signed(struct MHD_Connection *connection)
{
    const char *authorization =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    return (authorization != NULL && strncmp(authorization, "AWS4-", 5) == 0) ||
           MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "X-Amz-Algorithm") !=
               NULL ||
           MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "X-Amz-Signature") !=
               NULL;
}

static bool
is_method(const struct s3_ask *call, const char *method)
{
    return strcmp(call->method, method) == 0;
}

static bool
has(const struct s3_ask *call, const char *name)
{
    return s3_ask_param(call, name) != NULL;
}

static enum MHD_Result
fail(struct MHD_Connection *connection, struct s3_ask *call, enum s3_code code)
{
    s3_ask_fail(call, code, NULL);
    return s3_reply_error(connection, call);
}

// What changes the disk waits for it, so a finisher does it; s3_handle answers behind that.
enum MHD_Result
s3_later(struct MHD_Connection *connection, struct s3_ask *call, enum finish_kind kind,
         void (*work)(void *call), unsigned status)
{
    call->finish = (struct finish){.kind = kind, .run = work, .arg = call};
    call->status = status;
    return finishers_take(call->finishers, connection, &call->finish)
               ? MHD_YES
               : fail(connection, call, S3_SLOW_DOWN);
}

static enum MHD_Result
answer_later(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (call->code != S3_OK) {
        return s3_reply_error(connection, call);
    }
    return call->answer.len > 0 ? s3_reply_xml(connection, &call->answer)
                                : s3_reply_empty(connection, call->status,
                                                 call->etag[0] != '\0' ? call->etag : NULL);
}

static enum MHD_Result
done(struct MHD_Connection *connection, struct s3_ask *call, enum s3_code code, unsigned status)
{
    return code == S3_OK ? s3_reply_empty(connection, status, NULL) : fail(connection, call, code);
}

static enum MHD_Result
small_document(struct MHD_Connection *connection, struct s3_ask *call, const char *document)
{
    struct bytes out = {0};
    enum s3_code code = object_bucket_check(call->store, call->bucket, &call->problem);
    if (code != S3_OK) {
        return fail(connection, call, code);
    }
    bytes_printf(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n%s\n", document);
    return s3_reply_xml(connection, &out);
}

// ---- Of a bucket

static enum MHD_Result
get_bucket(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (has(call, "location")) {
        return small_document(connection, call,
                              "<LocationConstraint "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>");
    }
    if (has(call, "versioning")) {
        return small_document(connection, call,
                              "<VersioningConfiguration "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>");
    }
    return has(call, "uploads") ? s3_list_uploads(connection, call)
                                : s3_list_objects(connection, call);
}

static void
create_bucket(void *arg)
{
    struct s3_ask *call = arg;
    enum s3_code code = object_bucket_create(call->store, call->bucket, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    }
}

static void
remove_bucket(void *arg)
{
    struct s3_ask *call = arg;
    enum s3_code code = object_bucket_remove(call->store, call->bucket, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    }
}

static enum MHD_Result
answer_bucket(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct problem *problem = &call->problem;
    if (is_method(call, MHD_HTTP_METHOD_GET)) {
        return get_bucket(connection, call);
    }
    if (is_method(call, MHD_HTTP_METHOD_HEAD)) {
        return done(connection, call, object_bucket_check(call->store, call->bucket, problem),
                    MHD_HTTP_OK);
    }
    if (is_method(call, MHD_HTTP_METHOD_PUT)) {
        return has(call, "versioning")
                   ? fail(connection, call, S3_NOT_IMPLEMENTED)
                   : s3_later(connection, call, FINISH_SHORT, create_bucket, MHD_HTTP_OK);
    }
    if (is_method(call, MHD_HTTP_METHOD_DELETE)) {
        return s3_later(connection, call, FINISH_SHORT, remove_bucket, MHD_HTTP_NO_CONTENT);
    }
    if (is_method(call, MHD_HTTP_METHOD_POST) && has(call, "delete")) {
        return s3_delete_objects(connection, call);
    }
    return fail(connection, call, S3_METHOD_NOT_ALLOWED);
}

// ---- Of an object

static void
delete_key(void *arg)
{
    struct s3_ask *call = arg;
    const char *upload = s3_ask_param(call, "uploadId");
    enum s3_code code =
        upload != NULL
            ? object_parts_abort(call->store, call->bucket, call->key, upload, &call->problem)
            : object_key_delete(call->store, call->bucket, call->key, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    }
}

static enum MHD_Result
answer_key(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (is_method(call, MHD_HTTP_METHOD_GET) || is_method(call, MHD_HTTP_METHOD_HEAD)) {
        return has(call, "uploadId") ? s3_list_parts(connection, call) : s3_get(connection, call);
    }
    if (s3_is_copy(call)) {
        return s3_copy(connection, call);
    }
    if (is_method(call, MHD_HTTP_METHOD_DELETE)) {
        return s3_later(connection, call, FINISH_SHORT, delete_key, MHD_HTTP_NO_CONTENT);
    }
    if (is_method(call, MHD_HTTP_METHOD_POST) && has(call, "uploads")) {
        return s3_create_upload(connection, call);
    }
    if (is_method(call, MHD_HTTP_METHOD_POST) && has(call, "uploadId")) {
        return s3_complete_upload(connection, call);
    }
    return fail(connection, call, S3_METHOD_NOT_ALLOWED);
}

static enum MHD_Result
answer(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (call->bucket == NULL) {
        return is_method(call, MHD_HTTP_METHOD_GET) ? s3_list_buckets(connection, call)
                                                    : fail(connection, call, S3_METHOD_NOT_ALLOWED);
    }
    return call->key == NULL ? answer_bucket(connection, call) : answer_key(connection, call);
}

// ---- From the headers to the end

static bool
has_body(const struct s3_ask *call)
{
    const char *length = s3_ask_header(call, "Content-Length");
    return is_method(call, MHD_HTTP_METHOD_PUT) || is_method(call, MHD_HTTP_METHOD_POST) ||
           (length != NULL && strcmp(length, "0") != 0) ||
           s3_ask_header(call, "Transfer-Encoding") != NULL;
}

// A refusal at the headers: the body is read and dropped where that is cheap, since a client that
// is still sending would see a broken connection instead of the answer.
static enum MHD_Result
refuse_early(struct MHD_Connection *connection, struct s3_ask *call)
{
    bool is_asking = s3_ask_header(call, "Expect") != NULL;
    const char *length = s3_ask_header(call, "Content-Length");
    bool is_small = length != NULL && strlen(length) < 9 && call->left_bytes <= S3_DRAIN_MAX;
    return is_asking || !is_small ? s3_reply_error(connection, call) : MHD_YES;
}

static enum MHD_Result
begin(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (call->code == S3_OK) {
        s3_check_known(call);
    }
    if (call->code == S3_OK && has_body(call)) {
        s3_put_begin(call);
    }
    return call->code == S3_OK ? MHD_YES : refuse_early(connection, call);
}

enum MHD_Result
s3_handle(struct object_store *store, struct finishers *finishers,
          struct MHD_Connection *connection, struct s3_ask **call_p, const char *method,
          const char *target, int64_t now_ms, const char *data, size_t *data_len)
{
    if (*call_p == NULL) {
        *call_p = s3_ask_new(store, connection, method, target, now_ms);
        (*call_p)->finishers = finishers;
        return begin(connection, *call_p);
    }
    struct s3_ask *call = *call_p;
    if (*data_len > 0) {
        s3_put_take(call, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (call->finish.is_done) {
        return answer_later(connection, call);
    }
    bool is_object = call->upload != NULL;
    if (call->code != S3_OK || is_object || has_body(call)) {
        enum MHD_Result result = s3_put_end(connection, call);
        if (is_object || call->code != S3_OK) {
            return result;
        }
    }
    return answer(connection, call);
}

void
s3_abandon(struct s3_ask **call_p)
{
    s3_ask_destroy(call_p);
}
