// objects.h: /objects/<uid> of the directory store, for whoever has a URL that the broker signed.
#pragma once
#include <microhttpd.h>

#include "http/finisher.h"
#include "object/object_bucket.h"
#include "object/object_dir.h"

#define OBJECTS_PREFIX "/objects/"

enum { TARGET_BYTES_MAX = 16384 };

// One request, from its first line to its end.
struct http_request {
    const char *method;            // MHD's
    char *target;                  // as it came: path, "?", query; NULL: too long
    int64_t now_ms;                // wall
    struct object_store *fallback; // where a GET goes on for what is not here; or NULL; borrowed
    struct finishers *finishers;   // borrowed
    bool has_headers;              // and the timeout of a request
    bool has_begun;                // the headers were seen
    struct object_upload *upload;  // of a PUT under way
    int64_t left_bytes;            // of its body
    struct finish finish;          // of a PUT that is whole
    bool is_kept;                  // it went well
    char etag[OBJECT_ETAG_SIZE];   // then
    struct s3_ask *s3;             // of an S3 client, or NULL
    struct problem problem;        // why it failed, perhaps while the body still comes
};

// objects_read answers GET and HEAD.
enum MHD_Result
objects_read(struct object_store *store, struct MHD_Connection *connection,
             struct http_request *request);
// objects_write is MHD's handler for a PUT: called with the headers, with each part of the body,
// and at its end.
enum MHD_Result
objects_write(struct object_store *store, struct MHD_Connection *connection,
              struct http_request *request, const char *data, size_t *data_len);
// objects_abandon: the request ended, however it did.
void
objects_abandon(struct http_request *request);
