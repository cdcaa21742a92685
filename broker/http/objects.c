// A URL names the method, the object and until when; a PUT's also the size and the hash of what may
// be put. Nothing else is asked of the client. A body is hashed while it goes to disk and is kept
// only when it is exactly what was announced.
#include "http/objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "http/range.h"
#include "http/reply.h"
#include "http/s3_ask.h"

static const char *
header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

// A failure of ours is for the log: paths and reasons of the system are not the client's.
static enum MHD_Result
refuse(struct MHD_Connection *connection, struct problem *problem)
{
    if (problem->code == ZKT_IO || problem->code == ZKT_DISK_FULL) {
        log_error("OBJECT-STORE-FAILED", "code=%s reason=\"%s\"", zkt_err_name(problem->code),
                  problem->text);
        problem_set(problem, problem->code, "%s",
                    problem->code == ZKT_IO ? "the object store failed; its log says why"
                                            : "the disk of the object store is full");
    }
    return reply_problem(connection, 0, problem);
}

// What the URL allows. The signature is over the target as it came.
static enum zkt_err
check_url(struct object_store *store, struct MHD_Connection *connection,
          struct http_request *request, struct object_grant *grant)
{
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_request asked = {
        .method = request->method, .host = header(connection, "Host"), .params = params};
    struct problem *problem = &request->problem;
    if (request->target == NULL) {
        return problem_set(problem, ZKT_INVALID, "the URL is too long");
    }
    char *path = xstrdup(request->target);
    char *query = strchr(path, '?');
    char nothing[] = "";
    if (query != NULL) {
        *query++ = '\0';
    }
    enum zkt_err err;
    if (!s3_query_parse(query != NULL ? query : nothing, params, &asked.params_count)) {
        err = problem_set(problem, ZKT_INVALID, "the query of the URL cannot be read");
    } else {
        asked.path = path; // paths of objects have nothing to decode
        err = object_dir_authorize(store, &asked, request->now_ms / 1000, grant, problem);
    }
    free(path);
    return err;
}

// ---- GET, HEAD

// An open object. Under one uid there is only ever one content: the uid is the tag.
struct opened {
    int fd;
    int64_t size;
    char etag[UID_TEXT_SIZE + 2];
};

static enum zkt_err
open_object(struct object_store *store, const struct uid *uid, struct opened *file,
            struct problem *problem)
{
    struct object_info info;
    char text[UID_TEXT_SIZE];
    enum zkt_err err = object_dir_open_file(store, uid, &file->fd, &info, problem);
    if (err == ZKT_OK) {
        uid_format(uid, text);
        snprintf(file->etag, sizeof file->etag, "\"%s\"", text);
        file->size = info.size;
    }
    return err;
}

// Takes file->fd. Sends len bytes from `from`.
static enum MHD_Result
send_file(struct MHD_Connection *connection, unsigned status, const struct opened *file,
          int64_t from, int64_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_fd_at_offset64((uint64_t)len, file->fd, (uint64_t)from);
    if (response == NULL) {
        close(file->fd);
        return MHD_NO;
    }
    reply_add(response, "ETag", file->etag);
    reply_add(response, "Accept-Ranges", "bytes");
    reply_add(response, "Content-Type", "application/octet-stream");
    reply_add(response, "Content-Disposition", "attachment");
    if (status == MHD_HTTP_PARTIAL_CONTENT) {
        range_add(response, from, len, file->size);
    }
    return reply_send(connection, status, response);
}

static enum MHD_Result
send_empty(struct MHD_Connection *connection, unsigned status, const struct opened *file)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    reply_add(response, "ETag", file->etag);
    if (status == MHD_HTTP_RANGE_NOT_SATISFIABLE) {
        range_add(response, 0, 0, file->size);
    }
    return reply_send(connection, status, response);
}

// Sends a GET on to the store that the object has moved to. Whether it is there, that store says.
static enum MHD_Result
send_on(struct object_store *fallback, struct MHD_Connection *connection, const struct uid *uid,
        int64_t now_ms)
{
    struct bytes url = {0};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        return MHD_NO;
    }
    enum zkt_err err = object_store_presign_get(fallback, uid, now_ms / 1000, &url);
    if (err == ZKT_OK) {
        reply_add(response, "Location", bytes_text(&url));
        reply_add(response, "Cache-Control", "no-store");
    }
    bytes_fini(&url);
    return reply_send(connection,
                      err == ZKT_OK ? MHD_HTTP_TEMPORARY_REDIRECT : MHD_HTTP_SERVICE_UNAVAILABLE,
                      response);
}

enum MHD_Result
objects_read(struct object_store *store, struct MHD_Connection *connection,
             struct http_request *request)
{
    struct object_grant grant;
    struct opened file;
    enum zkt_err err = check_url(store, connection, request, &grant);
    if (err == ZKT_OK) {
        err = open_object(store, &grant.uid, &file, &request->problem);
        bool has_moved = err == ZKT_NOT_FOUND && request->fallback != NULL;
        if (has_moved && strcmp(request->method, MHD_HTTP_METHOD_GET) == 0) {
            return send_on(request->fallback, connection, &grant.uid, request->now_ms);
        }
    }
    if (err != ZKT_OK) {
        return refuse(connection, &request->problem);
    }
    const char *known = header(connection, "If-None-Match");
    if (known != NULL && strstr(known, file.etag) != NULL) {
        close(file.fd);
        return send_empty(connection, MHD_HTTP_NOT_MODIFIED, &file);
    }
    int64_t from;
    int64_t len;
    switch (range_wanted(header(connection, "Range"), header(connection, "If-Range"), file.etag,
                         NULL, file.size, &from, &len)) {
    case RANGE_PART:
        return send_file(connection, MHD_HTTP_PARTIAL_CONTENT, &file, from, len);
    case RANGE_NONE:
        close(file.fd);
        return send_empty(connection, MHD_HTTP_RANGE_NOT_SATISFIABLE, &file);
    case RANGE_WHOLE:
        break;
    }
    return send_file(connection, MHD_HTTP_OK, &file, from, len);
}

// ---- PUT

static bool
parse_length(const char *text, int64_t *length)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    *length = strtoll(text, &end, 10); // too much becomes the largest number: no object has it
    return *end == '\0';
}

static enum MHD_Result
begin_write(struct object_store *store, struct MHD_Connection *connection,
            struct http_request *request)
{
    struct object_grant grant;
    if (!parse_length(header(connection, "Content-Length"), &request->left_bytes)) {
        problem_set(&request->problem, ZKT_INVALID, "Content-Length is missing");
        return reply_problem(connection, MHD_HTTP_LENGTH_REQUIRED, &request->problem);
    }
    enum zkt_err err = check_url(store, connection, request, &grant);
    if (err == ZKT_OK && request->left_bytes != grant.size) {
        err = problem_set(&request->problem, ZKT_INVALID,
                          "Content-Length is %" PRId64 ", the URL is for %" PRId64 " bytes",
                          request->left_bytes, grant.size);
    }
    if (err == ZKT_OK) {
        err = object_upload_begin(store, &grant, &request->upload, &request->problem);
    }
    return err == ZKT_OK ? MHD_YES : refuse(connection, &request->problem);
}

static void
finish_write(void *arg)
{
    struct http_request *request = arg;
    request->is_kept =
        object_put_finish(&request->upload, request->etag, &request->problem) == S3_OK;
}

// Called again when a finisher has made it durable.
static enum MHD_Result
end_write(struct MHD_Connection *connection, struct http_request *request)
{
    if (request->upload != NULL && request->left_bytes > 0) {
        problem_set(&request->problem, ZKT_INVALID, "the body is %" PRId64 " bytes short",
                    request->left_bytes);
        object_upload_abort(&request->upload);
    }
    if (request->upload != NULL) {
        request->finish = (struct finish){.run = finish_write, .arg = request};
        if (finishers_take(request->finishers, connection, &request->finish)) {
            return MHD_YES;
        }
        problem_set(&request->problem, ZKT_BUSY, "the broker stops");
        object_upload_abort(&request->upload);
    }
    return request->is_kept ? s3_reply_empty(connection, MHD_HTTP_OK, request->etag)
                            : refuse(connection, &request->problem);
}

// After a mistake the rest of the body is read and dropped, so that the client gets the answer.
static void
take_part(struct http_request *request, const char *data, size_t data_len)
{
    if (request->upload == NULL) {
        return;
    }
    enum zkt_err err = ZKT_OK;
    if ((int64_t)data_len > request->left_bytes) {
        err = problem_set(&request->problem, ZKT_INVALID, "the body is longer than announced");
    } else {
        request->left_bytes -= (int64_t)data_len;
        err = object_upload_write(request->upload, data, data_len, &request->problem);
    }
    if (err != ZKT_OK) {
        object_upload_abort(&request->upload);
    }
}

enum MHD_Result
objects_write(struct object_store *store, struct MHD_Connection *connection,
              struct http_request *request, const char *data, size_t *data_len)
{
    if (!request->has_begun) {
        request->has_begun = true;
        return begin_write(store, connection, request);
    }
    if (*data_len == 0) {
        return end_write(connection, request);
    }
    take_part(request, data, *data_len);
    *data_len = 0;
    return MHD_YES;
}

void
objects_abandon(struct http_request *request)
{
    object_upload_abort(&request->upload);
}
