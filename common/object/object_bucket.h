// object_bucket.h: the directory store as S3 shows it: buckets with keys.
//
// The home bucket holds the objects of tasks; their keys are uids, and what is there is never
// replaced. Other buckets are the clients' own: DIR/buckets/NAME/, a folder "dSEGMENT" for each
// part of a key up to a slash and a file "fSEGMENT" for the rest, so that no key is ever a path.
// Parts of keys between slashes have at most 254 bytes.
//
// Any thread. Problems are for people; what S3 calls them is the answer.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "object/object_dir.h"
#include "object/object_file.h"
#include "object/s3_code.h"

enum {
    OBJECT_KEY_MAX = 1024,
    OBJECT_SEGMENT_MAX = 254, // of a key between slashes
    OBJECT_BUCKETS_MAX = 1000,
    OBJECT_PAGE_MAX = 1000,
    OBJECT_PART_MIN = 5 << 20,
};

// Who may sign requests to this store, for s3_verify. arg is the store.
const char *
object_client_secret(void *store, const char *access);
bool
object_client_is_reader(struct object_store *store, const char *access);
bool
object_has_clients(struct object_store *store);

// What S3 calls a failure.
enum s3_code
object_code_of(enum zkt_err err);

// ---- Buckets

ZKT_MUST enum s3_code
object_bucket_check(struct object_store *store, const char *bucket, struct problem *problem);
ZKT_MUST enum s3_code
object_bucket_create(struct object_store *store, const char *bucket, struct problem *problem);
ZKT_MUST enum s3_code
object_bucket_remove(struct object_store *store, const char *bucket, struct problem *problem);

struct object_bucket {
    char name[64];
    int64_t created_ms;
};
// The caller frees *buckets.
ZKT_MUST enum s3_code
object_bucket_list(struct object_store *store, struct object_bucket **buckets,
                   size_t *buckets_count, struct problem *problem);

// ---- Objects

// Opens for reading; the caller closes fd and calls object_meta_fini.
ZKT_MUST enum s3_code
object_key_open(struct object_store *store, const char *bucket, const char *key, int *fd,
                struct object_meta *meta, struct problem *problem);
// What does not exist is deleted.
ZKT_MUST enum s3_code
object_key_delete(struct object_store *store, const char *bucket, const char *key,
                  struct problem *problem);

// The same for many: codes are theirs, in the order of the keys. Each folder is synced once.
void
object_keys_delete(struct object_store *store, const char *bucket, char *const *keys,
                   size_t keys_count, enum s3_code *codes);

// Whether two ETags are the same; the claimed one may be quoted.
bool
object_etag_is(const char *claimed, const char *etag);

// What must be so before a key is put: looked at when it begins, and again together with the rename
// that makes it visible, so that of two writers with one condition only one succeeds. A failure is
// S3_PRECONDITION_FAILED, or S3_NO_SUCH_KEY if there is none to match.
struct object_condition {
    bool is_only_new;  // there is none
    const char *match; // it has this ETag ("*": any); NULL: whatever it has
};
// What is put under a key. object_upload_write, object_put_finish and object_upload_abort do the
// rest.
struct object_put {
    const char *bucket;
    const char *key;
    int64_t size;
    const uint8_t *sha256; // that it must have, or NULL
    const char *etag;      // NULL: the MD5
    bool is_etag_short;    // without etag: the first half of the SHA-256, which costs nothing more
    struct object_condition condition;
    struct span headers; // "name: value\n" each, kept with it
    const char *upload;  // a part of this upload instead, or NULL
    uint32_t part;
};
ZKT_MUST enum s3_code
object_put_begin(struct object_store *store, const struct object_put *put,
                 struct object_upload **upload, struct problem *problem);
// Checks size, hash and condition, makes the object durable and visible, and tells its ETag
// (without quotes). S3_CONTENT_SHA256_MISMATCH: size or hash is not what was announced.
// S3_OPERATION_ABORTED: the uid has another content.
ZKT_MUST enum s3_code
object_put_finish(struct object_upload **upload_p, char etag[OBJECT_ETAG_SIZE],
                  struct problem *problem);

// ---- Lists

struct object_query {
    const char *prefix;
    const char *delimiter; // "": none
    const char *after;     // only what comes behind this key
    bool is_prefix_after;  // and behind everything that begins with it
    size_t entries_max;    // at most OBJECT_PAGE_MAX
};
struct object_entry {
    char *key;
    bool is_prefix; // stands for all keys that begin so; no size, time or ETag
    int64_t size;
    int64_t modified_ms;
    char etag[OBJECT_ETAG_SIZE];
};
struct object_page {
    struct object_entry *entries;
    size_t entries_count;
    bool is_truncated;
};
// object_list fills a page in the order of keys (as bytes); object_page_fini frees it.
ZKT_MUST enum s3_code
object_list(struct object_store *store, const char *bucket, const struct object_query *query,
            struct object_page *page, struct problem *problem);
void
object_page_fini(struct object_page *page);

// ---- Uploads in parts

// Begins one; its name is appended to upload.
ZKT_MUST enum s3_code
object_parts_begin(struct object_store *store, const char *bucket, const char *key,
                   struct span headers, struct bytes *upload, struct problem *problem);
struct object_part {
    uint32_t number;
    const char *etag; // as the client has it, with or without quotes
};
// Makes the object of these parts. want: NULL, or size and hash that it must have.
struct object_want {
    int64_t size;
    const uint8_t *sha256;
    size_t part_min; // bytes of every part but the last
    struct object_condition condition;
};
ZKT_MUST enum s3_code
object_parts_complete(struct object_store *store, const char *bucket, const char *key,
                      const char *upload, const struct object_part *parts, size_t parts_count,
                      const struct object_want *want, char etag[OBJECT_ETAG_SIZE],
                      struct problem *problem);
ZKT_MUST enum s3_code
object_parts_abort(struct object_store *store, const char *bucket, const char *key,
                   const char *upload, struct problem *problem);

struct object_part_info {
    uint32_t number;
    int64_t size;
    int64_t modified_ms;
    char etag[OBJECT_ETAG_SIZE];
};
// The parts that are there behind number `after`, in order.
ZKT_MUST enum s3_code
object_parts_list(struct object_store *store, const char *bucket, const char *key,
                  const char *upload, uint32_t after, struct object_part_info *parts,
                  size_t parts_max, size_t *parts_count, struct problem *problem);
struct object_parts_info {
    char *bucket;
    char *key;
    char upload[33];
    int64_t started_ms;
    struct bytes headers;
};
// All uploads of a bucket (NULL: of all), in the order of key and name. The caller frees them with
// object_parts_infos_free.
ZKT_MUST enum s3_code
object_parts_uploads(struct object_store *store, const char *bucket,
                     struct object_parts_info **infos, size_t *infos_count,
                     struct problem *problem);
void
object_parts_infos_free(struct object_parts_info *infos, size_t infos_count);
