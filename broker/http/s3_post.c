// DeleteObjects, and the beginning and the end of uploads in parts. Completing one copies all its
// bytes, so it runs on a thread of its own while the connection is suspended: others are served.
#include "http/s3_ask.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "http/reply.h"
#include "http/s3_api.h"
#include "object/s3_documents.h"
#include "object/xml.h"

enum { JOBS_MAX = 4 };

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

enum MHD_Result
s3_delete_objects(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct s3_deletion deletion = {.keys_count = 0};
    struct problem problem = {.text = ""};
    struct bytes out = {0};
    enum s3_code code = object_bucket_check(call->store, call->bucket, &call->problem);
    if (code != S3_OK) {
        s3_ask_fail(call, code, NULL);
    } else if (s3_deletion_read(bytes_span(&call->document), &deletion, &problem) != ZKT_OK) {
        s3_ask_fail(call, S3_MALFORMED_XML, problem.text);
    } else {
        delete_keys(call, &deletion, &out);
    }
    s3_deletion_fini(&deletion);
    return call->code != S3_OK ? s3_reply_error(connection, call) : s3_reply_xml(connection, &out);
}

// ---- Uploads in parts

enum MHD_Result
s3_create_upload(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct bytes headers = {0};
    struct bytes upload = {0};
    struct bytes out = {0};
    if (!s3_kept_headers(call, &headers)) {
        s3_ask_fail(call, S3_INVALID_REQUEST, "the headers are too long");
    } else {
        enum s3_code code = object_parts_begin(call->store, call->bucket, call->key,
                                               bytes_span(&headers), &upload, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    bytes_append_text(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<InitiateMultipartUploadResult "
                            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    xml_element(&out, "Bucket", call->bucket);
    xml_element(&out, "Key", call->key);
    xml_element(&out, "UploadId", bytes_text(&upload));
    bytes_append_text(&out, "</InitiateMultipartUploadResult>\n");
    bytes_fini(&headers);
    bytes_fini(&upload);
    if (call->code != S3_OK) {
        bytes_fini(&out);
        return s3_reply_error(connection, call);
    }
    return s3_reply_xml(connection, &out);
}

// One completion. Handed to its thread and back whole; the thread resumes the connection last.
struct s3_job {
    struct MHD_Connection *connection;
    struct s3_ask *call;
    pthread_t thread;
    bool is_started; // and not joined
    struct object_want want;
    struct s3_completion parts;
    char whole_etag[OBJECT_ETAG_SIZE];
    enum s3_code code;
};

// Those under way; a slot is taken on the HTTP thread and given back by the thread of the job.
static atomic_int jobs_count;

// No connection may be suspended while the server stops. Looked at behind jobs_count.
static atomic_bool is_closing;

void
s3_jobs_open(void)
{
    atomic_store(&is_closing, false);
}

void
s3_jobs_close(void)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    atomic_store(&is_closing, true);
    while (atomic_load(&jobs_count) > 0) {
        nanosleep(&pause, NULL);
    }
}

// Its connection may have ended before its answer.
void
s3_job_end(struct s3_ask *call)
{
    struct s3_job *job = call->job;
    call->job = NULL;
    if (job == NULL) {
        return;
    }
    if (job->is_started) {
        pthread_join(job->thread, NULL);
    }
    s3_completion_fini(&job->parts);
    free(job);
}

static void *
run_job(void *arg)
{
    struct s3_job *job = arg;
    struct s3_ask *call = job->call;
    job->code = object_parts_complete(
        call->store, call->bucket, call->key, s3_ask_param(call, "uploadId"), job->parts.parts,
        job->parts.parts_count, &job->want, job->whole_etag, &call->problem);
    MHD_resume_connection(job->connection);
    atomic_fetch_sub(&jobs_count, 1);
    return NULL;
}

static enum MHD_Result
answer_job(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct s3_job *job = call->job;
    struct bytes out = {0};
    pthread_join(job->thread, NULL);
    job->is_started = false;
    if (job->code != S3_OK) {
        s3_ask_fail(call, job->code, NULL);
        s3_job_end(call);
        return s3_reply_error(connection, call);
    }
    bytes_append_text(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<CompleteMultipartUploadResult "
                            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    xml_element(&out, "Location", call->path);
    xml_element(&out, "Bucket", call->bucket);
    xml_element(&out, "Key", call->key);
    bytes_printf(&out, "<ETag>\"%s\"</ETag></CompleteMultipartUploadResult>\n", job->whole_etag);
    s3_job_end(call);
    return s3_reply_xml(connection, &out);
}

static enum MHD_Result
start_job(struct MHD_Connection *connection, struct s3_ask *call)
{
    if (atomic_fetch_add(&jobs_count, 1) >= JOBS_MAX || atomic_load(&is_closing)) {
        atomic_fetch_sub(&jobs_count, 1);
        s3_ask_fail(call, S3_SLOW_DOWN, NULL);
        s3_job_end(call);
        return s3_reply_error(connection, call);
    }
    MHD_suspend_connection(connection);
    call->job->is_started = pthread_create(&call->job->thread, NULL, run_job, call->job) == 0;
    if (!call->job->is_started) {
        atomic_fetch_sub(&jobs_count, 1);
        MHD_resume_connection(connection);
        return MHD_NO;
    }
    return MHD_YES;
}

enum MHD_Result
s3_complete_upload(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct problem problem = {.text = ""};
    if (call->job != NULL) {
        return answer_job(connection, call);
    }
    call->job = xcalloc(1, sizeof(*call->job));
    call->job->connection = connection;
    call->job->call = call;
    call->job->want.part_min = OBJECT_PART_MIN;
    s3_put_condition(call, &call->job->want.condition);
    if (s3_completion_read(bytes_span(&call->document), &call->job->parts, &problem) != ZKT_OK) {
        s3_ask_fail(call, S3_MALFORMED_XML, problem.text);
    }
    if (call->code != S3_OK) {
        s3_job_end(call);
        return s3_reply_error(connection, call);
    }
    return start_job(connection, call);
}
