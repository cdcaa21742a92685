// DeleteObjects, and the beginning and the end of uploads in parts.
#include "http/s3_ask.h"

#include "http/reply.h"
#include "object/s3_documents.h"
#include "object/xml.h"

// ---- DeleteObjects

static void
add_deleted(struct bytes *out, const char *key, enum s3_code code)
{
    bytes_append_text(out, code == S3_OK ? "<Deleted>" : "<Error>");
    xml_element(out, "Key", key);
    if (code != S3_OK) {
        xml_element(out, "Code", s3_code_name(code));
        xml_element(out, "Message", s3_code_text(code));
    }
    bytes_append_text(out, code == S3_OK ? "</Deleted>" : "</Error>");
}

static void
delete_keys(struct s3_ask *call, const struct s3_deletion *deletion, struct bytes *out)
{
    enum s3_code codes[S3_KEYS_MAX];
    object_keys_delete(call->store, call->bucket, deletion->keys, deletion->keys_count, codes);
    bytes_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                           "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < deletion->keys_count; i++) {
        if (codes[i] != S3_OK || !deletion->is_quiet) {
            add_deleted(out, deletion->keys[i], codes[i]);
        }
    }
    bytes_append_text(out, "</DeleteResult>\n");
}

static void
delete_objects(void *arg)
{
    struct s3_ask *call = arg;
    struct s3_deletion deletion = {.keys_count = 0};
    struct problem problem = {.text = ""};
    enum s3_code code = object_bucket_check(call->store, call->bucket, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    } else if (s3_deletion_read(bytes_span(&call->document), &deletion, &problem) != ZKT_OK) {
        s3_ask_fail(call, S3_MALFORMED_XML, problem.text);
    } else {
        delete_keys(call, &deletion, &call->answer);
    }
    s3_deletion_fini(&deletion);
}

enum MHD_Result
s3_delete_objects(struct MHD_Connection *connection, struct s3_ask *call)
{
    return s3_later(connection, call, FINISH_SHORT, delete_objects, MHD_HTTP_OK);
}

// ---- Uploads in parts

static void
create_upload(void *arg)
{
    struct s3_ask *call = arg;
    struct bytes headers = {0};
    struct bytes upload = {0};
    struct bytes *out = &call->answer;
    if (!s3_kept_headers(call, &headers)) {
        s3_ask_fail(call, S3_INVALID_REQUEST, "the headers are too long");
    } else {
        enum s3_code code = object_parts_begin(call->store, call->bucket, call->key,
                                               bytes_span(&headers), &upload, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    bytes_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                           "<InitiateMultipartUploadResult "
                           "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    xml_element(out, "Bucket", call->bucket);
    xml_element(out, "Key", call->key);
    xml_element(out, "UploadId", bytes_text(&upload));
    bytes_append_text(out, "</InitiateMultipartUploadResult>\n");
    bytes_fini(&headers);
    bytes_fini(&upload);
}

enum MHD_Result
s3_create_upload(struct MHD_Connection *connection, struct s3_ask *call)
{
    return s3_later(connection, call, FINISH_SHORT, create_upload, MHD_HTTP_OK);
}

static void
append_completed(const struct s3_ask *call, const char *etag, struct bytes *out)
{
    bytes_append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                           "<CompleteMultipartUploadResult "
                           "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    xml_element(out, "Location", call->path);
    xml_element(out, "Bucket", call->bucket);
    xml_element(out, "Key", call->key);
    bytes_printf(out, "<ETag>\"%s\"</ETag></CompleteMultipartUploadResult>\n", etag);
}

static void
complete_upload(void *arg)
{
    struct s3_ask *call = arg;
    struct s3_completion parts = {.parts_count = 0};
    struct problem problem = {.text = ""};
    struct object_want want = {.part_min = OBJECT_PART_MIN};
    char etag[OBJECT_ETAG_SIZE];
    s3_put_condition(call, &want.condition);
    if (s3_completion_read(bytes_span(&call->document), &parts, &problem) != ZKT_OK) {
        s3_ask_fail(call, S3_MALFORMED_XML, problem.text);
    }
    if (call->code == S3_OK) {
        enum s3_code code = object_parts_complete(call->store, call->bucket, call->key,
                                                  s3_ask_param(call, "uploadId"), parts.parts,
                                                  parts.parts_count, &want, etag, &call->problem);
        if (code == S3_OK) {
            append_completed(call, etag, &call->answer);
        } else {
            s3_ask_fail(call, code, NULL);
        }
    }
    s3_completion_fini(&parts);
}

// It copies all bytes of the parts.
enum MHD_Result
s3_complete_upload(struct MHD_Connection *connection, struct s3_ask *call)
{
    return s3_later(connection, call, FINISH_LONG, complete_upload, MHD_HTTP_OK);
}
