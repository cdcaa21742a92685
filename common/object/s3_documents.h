// s3_documents.h: the documents that S3 clients send: what to delete, and the parts of an upload.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/problem.h"
#include "object/object_bucket.h"

enum { S3_KEYS_MAX = 1000 }; // of one DeleteObjects

// The document of DeleteObjects.
struct s3_deletion {
    char *keys[S3_KEYS_MAX]; // owned
    size_t keys_count;
    bool is_quiet;
    char *key; // of the object that is being read
};
// s3_deletion_read: INVALID says what is wrong, also when there is no key. s3_deletion_fini in any
// case.
ZKT_MUST enum zkt_err
s3_deletion_read(struct span document, struct s3_deletion *deletion, struct problem *problem);
void
s3_deletion_fini(struct s3_deletion *deletion);

// The document of CompleteMultipartUpload: parts as they come, in any order.
struct s3_completion {
    struct object_part *parts; // owned, with their ETags
    size_t parts_count;
    uint32_t number; // of the part that is being read
    char *etag;      // of it
};
// s3_completion_read: INVALID says what is wrong, also when there is no part. s3_completion_fini in
// any case.
ZKT_MUST enum zkt_err
s3_completion_read(struct span document, struct s3_completion *completion, struct problem *problem);
void
s3_completion_fini(struct s3_completion *completion);
