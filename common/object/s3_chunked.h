// s3_chunked.h: bodies in "Content-Encoding: aws-chunked", as the AWS SDKs stream them:
//
//     SIZE[;chunk-signature=HEX]\r\n DATA \r\n … 0[;chunk-signature=HEX]\r\n
//     [NAME:VALUE\r\n … [x-amz-trailer-signature:HEX\r\n]] \r\n
//
// Decoded while they come. Nothing that was handed on is to be kept before s3_chunked_end is OK.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "object/s3_sign.h"

enum { S3_TRAILER_MAX = 2048 };

struct s3_chunked;

// Takes decoded bytes. Anything but S3_OK stops.
typedef enum s3_code (*s3_sink_fn)(void *arg, const void *data, size_t len,
                                   struct problem *problem);

// s3_chunked_is_known: whether seed->payload is one of the streamed kinds.
bool
s3_chunked_is_known(const char *payload);
// s3_chunked_new: seed is of the request (copied); size: of the decoded body.
struct s3_chunked *
s3_chunked_new(const struct s3_verified *seed, int64_t size);
ZKT_MUST enum s3_code
s3_chunked_feed(struct s3_chunked *chunked, const void *data, size_t len, s3_sink_fn sink,
                void *arg, struct problem *problem);
// s3_chunked_end: everything came. INCOMPLETE_BODY, or S3_OK.
ZKT_MUST enum s3_code
s3_chunked_end(const struct s3_chunked *chunked, struct problem *problem);
// s3_chunked_trailer answers the value of a trailing header, or NULL; name in lower case.
const char *
s3_chunked_trailer(const struct s3_chunked *chunked, const char *name);
void
s3_chunked_destroy(struct s3_chunked **chunked_p);
