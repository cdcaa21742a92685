#include "object/s3_code.h"

#include "base/assert.h"

static const struct {
    const char *name;
    unsigned status;
    const char *text;
} codes[S3_CODES_COUNT] = {
    [S3_OK] = {"", 200, ""},
    [S3_ACCESS_DENIED] = {"AccessDenied", 403, "Access denied"},
    [S3_AUTHORIZATION_HEADER_MALFORMED] = {"AuthorizationHeaderMalformed", 400,
                                           "The Authorization header cannot be read"},
    [S3_AUTHORIZATION_QUERY_ERROR] = {"AuthorizationQueryParametersError", 400,
                                      "The parameters of the signature cannot be read"},
    [S3_BAD_DIGEST] = {"BadDigest", 400, "The body does not have the checksum that was sent"},
    [S3_BUCKET_ALREADY_EXISTS] = {"BucketAlreadyExists", 409, "The name cannot be had"},
    [S3_BUCKET_ALREADY_OWNED] = {"BucketAlreadyOwnedByYou", 409, "The bucket is there already"},
    [S3_BUCKET_NOT_EMPTY] = {"BucketNotEmpty", 409, "The bucket still holds objects"},
    [S3_CONTENT_SHA256_MISMATCH] = {"XAmzContentSHA256Mismatch", 400,
                                    "The body does not have the SHA-256 that was signed"},
    [S3_ENTITY_TOO_LARGE] = {"EntityTooLarge", 413, "The body is too large"},
    [S3_ENTITY_TOO_SMALL] = {"EntityTooSmall", 400,
                             "Every part but the last must have at least 5 MiB"},
    [S3_INCOMPLETE_BODY] = {"IncompleteBody", 400, "The body is shorter than announced"},
    [S3_INTERNAL_ERROR] = {"InternalError", 500, "The object store failed; its log says why"},
    [S3_INVALID_ACCESS_KEY_ID] = {"InvalidAccessKeyId", 403, "There is no such access key"},
    [S3_INVALID_ARGUMENT] = {"InvalidArgument", 400, "An argument is wrong"},
    [S3_INVALID_BUCKET_NAME] = {"InvalidBucketName", 400, "No bucket can have this name"},
    [S3_INVALID_DIGEST] = {"InvalidDigest", 400, "Content-MD5 cannot be read"},
    [S3_INVALID_PART] = {"InvalidPart", 400, "A part is missing or has another ETag"},
    [S3_INVALID_PART_ORDER] = {"InvalidPartOrder", 400, "The parts are not in ascending order"},
    [S3_INVALID_RANGE] = {"InvalidRange", 416, "Nothing of the object lies in this range"},
    [S3_INVALID_REQUEST] = {"InvalidRequest", 400, "The request is wrong"},
    [S3_INVALID_URI] = {"InvalidURI", 400, "The path cannot be read"},
    [S3_KEY_TOO_LONG] = {"KeyTooLongError", 400, "The key is too long"},
    [S3_MALFORMED_XML] = {"MalformedXML", 400, "The document cannot be read"},
    [S3_METHOD_NOT_ALLOWED] = {"MethodNotAllowed", 405, "This method does nothing here"},
    [S3_MISSING_CONTENT_LENGTH] = {"MissingContentLength", 411, "Content-Length is missing"},
    [S3_NO_SUCH_BUCKET] = {"NoSuchBucket", 404, "There is no such bucket"},
    [S3_NO_SUCH_KEY] = {"NoSuchKey", 404, "There is no such object"},
    [S3_NO_SUCH_UPLOAD] = {"NoSuchUpload", 404, "There is no such upload"},
    [S3_NOT_IMPLEMENTED] = {"NotImplemented", 501, "This store does not do that"},
    [S3_OPERATION_ABORTED] = {"OperationAborted", 409, "The object has another content"},
    [S3_PRECONDITION_FAILED] = {"PreconditionFailed", 412, "A condition of the request fails"},
    [S3_REQUEST_TIME_TOO_SKEWED] = {"RequestTimeTooSkewed", 403,
                                    "The clocks are more than 15 minutes apart"},
    [S3_SIGNATURE_DOES_NOT_MATCH] = {"SignatureDoesNotMatch", 403, "The signature is wrong"},
    [S3_SLOW_DOWN] = {"SlowDown", 503, "Too many requests at once"},
    [S3_STORAGE_FULL] = {"StorageFull", 507, "The disk of the object store is full"},
    [S3_TOO_MANY_BUCKETS] = {"TooManyBuckets", 400, "There are too many buckets"},
};

const char *
s3_code_name(enum s3_code code)
{
    zkt_assert(code < S3_CODES_COUNT);
    return codes[code].name;
}

unsigned
s3_code_status(enum s3_code code)
{
    zkt_assert(code < S3_CODES_COUNT);
    return codes[code].status;
}

const char *
s3_code_text(enum s3_code code)
{
    zkt_assert(code < S3_CODES_COUNT);
    return codes[code].text;
}
