// s3_sign.h: AWS Signature Version 4 for presigned URLs (query authentication, unsigned payload,
// SignedHeaders=host): made, and checked.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"

enum {
    S3_PARAMS_MAX = 32,        // query parameters of a request
    S3_EXPIRES_MAX_S = 604800, // a week, as AWS
    S3_SKEW_S = 900,           // a URL may come from a clock that is so far ahead
};

struct s3_key {
    const char *access; // key id
    const char *secret;
    const char *region;
};
struct s3_param {
    const char *name; // decoded
    const char *value;
};
struct s3_request {
    const char *method;
    const char *host; // with the port unless it is the default one
    const char *path; // decoded
    const struct s3_param *params;
    size_t params_count;
};

// s3_presign appends PATH?QUERY with the signature. params are the request's own parameters; they
// are signed too. params_count + 6 <= S3_PARAMS_MAX.
void
s3_presign(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
           int64_t expires_s, struct bytes *url);
// s3_verify checks a request with all its parameters. DENIED with the reason for people: no
// signature, not our key, expired, wrong. Compares in constant time.
ZKT_MUST enum zkt_err
s3_verify(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
          struct problem *problem);
// s3_param_value answers the value of the parameter, or NULL.
const char *
s3_param_value(const struct s3_request *request, const char *name);
// s3_query_parse splits a raw query in place. False: too many parameters, a bad escape, or NUL.
bool
s3_query_parse(char *query, struct s3_param params[S3_PARAMS_MAX], size_t *params_count);
