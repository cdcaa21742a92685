// s3_checksum.h: the checksums that S3 clients send with a body, computed while it comes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { S3_CHECKSUM_TEXT_SIZE = 48 };

struct s3_checksum;

// s3_checksum_new: header is "x-amz-checksum-crc32", -crc32c, -crc64nvme, -sha1 or -sha256 (any
// case), or "content-md5". NULL: another one.
struct s3_checksum *
s3_checksum_new(const char *header);
void
s3_checksum_update(struct s3_checksum *checksum, const void *data, size_t len);
// s3_checksum_text ends the computation: Base64, as the header says it.
void
s3_checksum_text(struct s3_checksum *checksum, char text[S3_CHECKSUM_TEXT_SIZE]);
// s3_checksum_header answers the name, lower case.
const char *
s3_checksum_header(const struct s3_checksum *checksum);
void
s3_checksum_destroy(struct s3_checksum **checksum_p);
