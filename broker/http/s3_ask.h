// s3_ask.h: one request of an S3 client: what it asks, who signed it, and the body it brings.
#pragma once
#include <microhttpd.h>

#include "http/finisher.h"
#include "object/object_bucket.h"
#include "object/s3_checksum.h"
#include "object/s3_chunked.h"
#include "object/s3_sign.h"

enum { S3_CHECKSUMS_MAX = 2, S3_DRAIN_MAX = 64 << 20 };

struct s3_ask {
    struct object_store *store;
    const char *method; // MHD's
    int64_t now_ms;
    // The request, taken apart. The texts back the rest.
    char *path;
    char *query;
    char *bucket; // NULL: the service
    char *key;    // NULL: the bucket
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_param headers[S3_HEADERS_MAX];
    struct s3_request asked;
    struct s3_verified verified;
    enum s3_code code; // what went wrong so far; the rest of the body is dropped
    struct problem problem;
    int64_t size; // of an object of which nothing lies in the range
    // The body.
    struct object_upload *upload; // of an object or a part
    int64_t left_bytes;           // as it comes, of Content-Length
    bool is_open_ended;           // there is none: its chunks say where they end
    struct s3_chunked *chunked;
    struct s3_checksum *checksums[S3_CHECKSUMS_MAX];
    size_t checksums_count;
    struct bytes document; // of other requests
    // What a finisher does (s3_later), and the answer to it.
    struct finishers *finishers; // borrowed
    struct finish finish;
    unsigned status;
    char etag[OBJECT_ETAG_SIZE]; // or ""
    struct bytes answer;         // a document, or nothing
};

// s3_ask_new takes the request apart and checks its signature; call->code says what is wrong.
struct s3_ask *
s3_ask_new(struct object_store *store, struct MHD_Connection *connection, const char *method,
           const char *target, int64_t now_ms);
void
s3_ask_destroy(struct s3_ask **call_p);
const char *
s3_ask_param(const struct s3_ask *call, const char *name);
const char *
s3_ask_header(const struct s3_ask *call, const char *name);
// s3_ask_fail notes what went wrong, unless something did before; text NULL: what the code says.
enum s3_code
s3_ask_fail(struct s3_ask *call, enum s3_code code, const char *text);

// ---- Answers

enum MHD_Result
s3_reply_error(struct MHD_Connection *connection, struct s3_ask *call);
// An XML document.
enum MHD_Result
s3_reply_xml(struct MHD_Connection *connection, struct bytes *document);
// No body. etag may be NULL.
enum MHD_Result
s3_reply_empty(struct MHD_Connection *connection, unsigned status, const char *etag);
// "2013-05-24T00:00:00.000Z", and "Fri, 24 May 2013 00:00:00 GMT".
void
s3_iso_date(int64_t ms, char text[32]);
void
s3_http_date(int64_t ms, char text[32]);

// ---- s3_api.c

// Lets a finisher work(call), which fills in code, etag or answer; status: of an answer without a
// document. The connection is answered behind that.
enum MHD_Result
s3_later(struct MHD_Connection *connection, struct s3_ask *call, enum finish_kind kind,
         void (*work)(void *call), unsigned status);

// ---- s3_put.c: objects and parts, and documents, as they come

// Begins to take the body; call->code says whether it may come.
void
s3_put_begin(struct s3_ask *call);
// What If-Match and If-None-Match say.
void
s3_put_condition(struct s3_ask *call, struct object_condition *condition);
// Which part of which upload it is: its number, or 0.
uint32_t
s3_put_part(struct s3_ask *call, struct object_put *put);
void
s3_put_take(struct s3_ask *call, const char *data, size_t len);
enum MHD_Result
s3_put_end(struct MHD_Connection *connection, struct s3_ask *call);

// ---- s3_known.c

// Fails what asks for something that this store does not do: NOT_IMPLEMENTED.
void
s3_check_known(struct s3_ask *call);

// ---- s3_get.c

enum MHD_Result
s3_get(struct MHD_Connection *connection, struct s3_ask *call);

// ---- s3_copy.c

// Whether it is a PUT of what the store has already.
bool
s3_is_copy(const struct s3_ask *call);
enum MHD_Result
s3_copy(struct MHD_Connection *connection, struct s3_ask *call);

// ---- s3_list.c

enum MHD_Result
s3_list_buckets(struct MHD_Connection *connection, struct s3_ask *call);
enum MHD_Result
s3_list_objects(struct MHD_Connection *connection, struct s3_ask *call);
enum MHD_Result
s3_list_parts(struct MHD_Connection *connection, struct s3_ask *call);
enum MHD_Result
s3_list_uploads(struct MHD_Connection *connection, struct s3_ask *call);

// ---- s3_post.c

enum MHD_Result
s3_delete_objects(struct MHD_Connection *connection, struct s3_ask *call);
enum MHD_Result
s3_create_upload(struct MHD_Connection *connection, struct s3_ask *call);
enum MHD_Result
s3_complete_upload(struct MHD_Connection *connection, struct s3_ask *call);
// Headers that are kept with an object, "name: value\n" each.
bool
s3_kept_headers(struct s3_ask *call, struct bytes *out);
