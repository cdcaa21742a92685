// s3_sign.h: AWS Signature Version 4, path style, in headers and in presigned URLs: made and
// checked. What a request signs is rebuilt from decoded parts, so it does not matter how a client
// escaped them.
//
//     s3_presign        a URL that is good by itself
//     s3_sign_headers   the headers of one request
//     s3_verify         both of them, in constant time, with clock skew and expiry
//     s3_chunk_*        the signatures of the parts of a streamed body (s3_chunked.h)
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "object/s3_code.h"

enum {
    S3_PARAMS_MAX = 32,        // query parameters of a request
    S3_HEADERS_MAX = 128,      // headers of a request
    S3_EXPIRES_MAX_S = 604800, // a week, as AWS
    S3_SKEW_S = 900,           // how far the two clocks may be apart
    S3_DATE_SIZE = 17,         // "20130524T000000Z"
    S3_HEX_SIZE = 65,          // 32 bytes as hex digits
    S3_SCOPE_SIZE = 128,       // "20130524/us-east-1/s3/aws4_request"
    S3_DIGEST_BYTES = 32,
};

// What stands for the hash of a body.
#define S3_UNSIGNED "UNSIGNED-PAYLOAD"
#define S3_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_key {
    const char *access; // key id
    const char *secret;
    const char *region;
    const char *token; // of a session, or NULL
};
struct s3_param {
    const char *name; // decoded
    const char *value;
};
struct s3_request {
    const char *method;
    const char *host; // with the port unless it is the default one
    const char *path; // decoded, from the first slash
    const struct s3_param *params;
    size_t params_count;
    // Names in any case, values as they are sent; Host is not among them. Who signs: all of them
    // are signed. Who verifies: all that came, equal names already joined by a comma.
    const struct s3_param *headers;
    size_t headers_count;
};

// s3_target appends PATH?QUERY escaped and sorted as it is signed: what has to be sent.
void
s3_target(const struct s3_request *request, struct bytes *out);
// s3_presign appends PATH?QUERY with the signature. params and headers of the request are signed
// too (whoever uses the URL has to send these headers); the body is not. params_count + 7 <=
// S3_PARAMS_MAX.
void
s3_presign(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
           int64_t expires_s, struct bytes *url);
// s3_sign_headers tells add each header line ("x-amz-date: 2013…") that makes the request
// authentic, for curl_slist_append for instance. payload: the SHA-256 of the body in hex digits,
// S3_EMPTY_SHA256 or S3_UNSIGNED. The request must be sent to s3_target with its headers unchanged.
void
s3_sign_headers(const struct s3_key *key, const struct s3_request *request, const char *payload,
                int64_t now_s, void (*add)(void *arg, const char *line), void *arg);

// Who may sign. secret_of answers the secret of a key id, or NULL; borrowed during the call.
struct s3_keys {
    const char *(*secret_of)(void *arg, const char *access);
    void *arg;
};
// What a signature that is right says.
struct s3_verified {
    char access[S3_SCOPE_SIZE];
    bool is_presigned;
    char payload[S3_HEX_SIZE]; // the hash of the body, S3_UNSIGNED, or "STREAMING-…"
    // The beginning of the chain of a streamed body.
    char signature[S3_HEX_SIZE];
    char date[S3_DATE_SIZE];
    char scope[S3_SCOPE_SIZE];
    uint8_t day_key[S3_DIGEST_BYTES];
};
// s3_verify checks a request. Everything but S3_OK says why in problem (ZKT_DENIED, or ZKT_INVALID
// for what cannot be read).
ZKT_MUST enum s3_code
s3_verify(const struct s3_keys *keys, const struct s3_request *request, int64_t now_s,
          struct s3_verified *verified, struct problem *problem);

// s3_chunk_signature: of one chunk of a streamed body with this SHA-256; previous is the signature
// before it, out may be the same array.
void
s3_chunk_signature(const struct s3_verified *seed, const char *previous,
                   const uint8_t sha256[S3_DIGEST_BYTES], char out[S3_HEX_SIZE]);
// s3_trailer_signature: of the trailing headers ("name:value\n" each).
void
s3_trailer_signature(const struct s3_verified *seed, const char *previous, struct span trailer,
                     char out[S3_HEX_SIZE]);

// s3_param_value answers the value of the parameter, or NULL.
const char *
s3_param_value(const struct s3_request *request, const char *name);
// s3_header_value answers the value of the header, whatever the case of its name, or NULL.
const char *
s3_header_value(const struct s3_request *request, const char *name);
// s3_query_parse splits a raw query in place. False: too many parameters, a bad escape, or NUL.
bool
s3_query_parse(char *query, struct s3_param params[S3_PARAMS_MAX], size_t *params_count);
// s3_path_unescape decodes a raw path in place. False: a bad escape, or NUL.
bool
s3_path_unescape(char *path);
// s3_sha256 hashes a body that is at hand, as s3_sign_headers wants it.
void
s3_sha256(struct span body, char hex[S3_HEX_SIZE]);
// s3_escape appends text percent-encoded as S3 does.
void
s3_escape(struct bytes *out, const char *text, bool keep_slash);
