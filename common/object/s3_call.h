// s3_call.h: requests to an S3 server, several at the same time, each tried again with growing,
// jittered pauses while the server is away (a 5xx, 429, a timeout, a lost connection). Blocks until
// all are done; not for the loop. Any thread; each call has connections of its own, kept for later.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "object/s3_sign.h"

enum {
    S3_CALL_PARAMS_MAX = 8,
    S3_CALL_ANSWER_MAX = 8 << 20,
    S3_CALL_TRIES = 4,
    S3_CALLS_AT_ONCE = 16,
    S3_CALL_LINES = 4, // sets of connections that are kept
    S3_ETAG_SIZE = 256,
    S3_CODE_SIZE = 80,
};

// Where requests go. Constant but for the atomic fields.
struct s3_server {
    const char *address; // "http://host:port", without a slash at the end
    const char *host;    // of it, with the port unless it is the default one
    const char *ca_file; // NULL: the system's
    atomic_bool is_interrupted;
    _Atomic(void *) lines[S3_CALL_LINES]; // idle ones; owned
};

struct s3_call {
    // What is asked.
    const char *method;
    const char *path; // decoded: "/bucket/key"
    struct s3_param params[S3_CALL_PARAMS_MAX];
    size_t params_count;
    const char *content_type; // NULL: none
    bool has_md5;             // send Content-MD5 of the body
    bool may_miss;            // 404 is an answer, not a mistake: not logged
    int64_t timeout_ms;       // 0: half a minute
    struct span body;         // borrowed
    int fd;                   // of the body, if file_size > 0: read from file_offset
    int64_t file_offset;
    int64_t file_size;
    const char *file_sha256; // hex digits, or S3_UNSIGNED
    // What was answered.
    enum zkt_err err; // OK: 2xx. NOT_FOUND 404, DENIED 401 and 403, INVALID other 4xx (and 3xx),
                      // UNREACHABLE after all tries, CANCELLED, IO
    struct problem problem;
    bool is_untrusted;       // the server's certificate was not accepted, or could not be checked
    long status;             // 0: none
    char code[S3_CODE_SIZE]; // the server's own word for a mistake; "": none
    struct bytes answer;     // s3_call_fini frees
    char etag[S3_ETAG_SIZE]; // with quotes
    int64_t length;          // Content-Length; -1: none
    int64_t modified_s;      // Last-Modified; -1: none
};

// s3_calls_run does all of them. The result is that of the first that failed, and its problem.
ZKT_MUST enum zkt_err
s3_calls_run(struct s3_server *server, const struct s3_key *key, struct s3_call *calls,
             size_t calls_count, struct problem *problem);
// s3_call_explain reads the server's own words for a mistake, as s3_calls_run does: answer and
// status into err, problem and code.
void
s3_call_explain(struct s3_call *call);
void
s3_call_fini(struct s3_call *call);
void
s3_server_fini(struct s3_server *server);
