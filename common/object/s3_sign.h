// s3_sign.h: AWS signature version 4 in the query of a URL ("presigned"), made and verified. The
// directory store's URLs are signed this way too; beside the usual parameters a PUT's URL carries
// X-Zkt-Size and X-Zkt-Sha256, which the signature covers.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"

struct s3_key {
    const char *access_key;
    const char *secret_key;
    const char *region;
};
struct s3_param {
    const char *name;
    const char *value;
};
struct s3_request {
    const char *method;
    const char *host; // as in the Host header that is signed
    const char *path; // not encoded, begins with "/"
    const struct s3_param *params;
    size_t params_count;
    int64_t time_s; // wall, seconds since 1970
    int64_t expires_s;
};

// s3_presign appends the encoded path, "?" and the query with its signature.
void
s3_presign(const struct s3_key *key, const struct s3_request *request, struct bytes *target);

enum {
    S3_PARAMS_MAX = 16,
    S3_TARGET_BYTES_MAX = 4096,
    S3_CLOCK_SKEW_S = 300,
    S3_EXPIRES_MAX_S = 7 * 86400
};

// What a verified URL allows.
struct s3_grant {
    char path[S3_TARGET_BYTES_MAX]; // decoded
    bool has_size;                  // X-Zkt-Size
    int64_t size;
    bool has_sha256; // X-Zkt-Sha256
    uint8_t sha256[32];
};

// s3_verify checks method and target (encoded path, "?", query) against the key: DENIED with the
// reason when it is not signed by it, is altered, expired or from the future, INVALID when it
// cannot be read. Takes the same time wherever a signature differs.
ZKT_MUST enum zkt_err
s3_verify(const struct s3_key *key, const char *method, const char *host, const char *target,
          int64_t now_s, struct s3_grant *grant, struct problem *problem);
