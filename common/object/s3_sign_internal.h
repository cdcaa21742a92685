// s3_sign_internal.h: what making and checking a signature share.
#pragma once
#include "object/s3_sign.h"

#define S3_ALGORITHM "AWS4-HMAC-SHA256"

// What a signature is over.
struct s3_terms {
    const char *method;
    const char *path; // decoded
    struct s3_param *params;
    size_t params_count;      // without the signature; put in order by s3_signature
    struct bytes *lines;      // of the signed headers, "name:value\n" each
    const char *signed_names; // "host;range"
    const char *payload;
    const char *date;
    const char *scope;
    const uint8_t *day_key;
};

void
s3_signature(const struct s3_terms *terms, char hex[S3_HEX_SIZE]);
// s3_day_key makes the key of one day and region.
void
s3_day_key(const char *secret, const char *date, const char *region, uint8_t out[S3_DIGEST_BYTES]);
// s3_header_line appends "name:value\n" with the value as it is signed.
void
s3_header_line(struct bytes *out, const char *name, const char *value);
// s3_query appends the parameters, escaped and in order; sorts them.
void
s3_query(struct bytes *out, struct s3_param *params, size_t params_count);
