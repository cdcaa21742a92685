// s3_code.h: the errors of S3's protocol that we answer with, by their names there.
#pragma once

enum s3_code {
    S3_OK,
    S3_ACCESS_DENIED,
    S3_AUTHORIZATION_HEADER_MALFORMED,
    S3_AUTHORIZATION_QUERY_ERROR,
    S3_BAD_DIGEST,
    S3_BUCKET_ALREADY_EXISTS,
    S3_BUCKET_ALREADY_OWNED,
    S3_BUCKET_NOT_EMPTY,
    S3_CONTENT_SHA256_MISMATCH,
    S3_ENTITY_TOO_LARGE,
    S3_ENTITY_TOO_SMALL,
    S3_INCOMPLETE_BODY,
    S3_INTERNAL_ERROR,
    S3_INVALID_ACCESS_KEY_ID,
    S3_INVALID_ARGUMENT,
    S3_INVALID_BUCKET_NAME,
    S3_INVALID_DIGEST,
    S3_INVALID_PART,
    S3_INVALID_PART_ORDER,
    S3_INVALID_RANGE,
    S3_INVALID_REQUEST,
    S3_INVALID_URI,
    S3_KEY_TOO_LONG,
    S3_MALFORMED_XML,
    S3_METHOD_NOT_ALLOWED,
    S3_MISSING_CONTENT_LENGTH,
    S3_NO_SUCH_BUCKET,
    S3_NO_SUCH_KEY,
    S3_NO_SUCH_UPLOAD,
    S3_NOT_IMPLEMENTED,
    S3_OPERATION_ABORTED,
    S3_PRECONDITION_FAILED,
    S3_REQUEST_TIME_TOO_SKEWED,
    S3_SIGNATURE_DOES_NOT_MATCH,
    S3_SLOW_DOWN,
    S3_STORAGE_FULL,
    S3_TOO_MANY_BUCKETS,
    S3_CODES_COUNT,
};

// The name on the wire, "NoSuchKey"; "" for S3_OK.
const char *
s3_code_name(enum s3_code code);
// The HTTP status.
unsigned
s3_code_status(enum s3_code code);
// What to say when nothing more is known.
const char *
s3_code_text(enum s3_code code);
