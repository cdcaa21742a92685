// object_s3_internal.h: what the files object_s3*.c share.
#pragma once
#include "object/object_s3.h"
#include "object/s3_call.h"

enum { S3_KEY_SIZE = 1024 + UID_TEXT_SIZE, S3_PATH_SIZE = S3_KEY_SIZE + 128 };

struct object_s3 {
    struct object_store store; // first
    struct s3_server server;   // borrows the texts below
    char *address;
    char *host;
    char *public_address;
    char *public_host;
    char *bucket;
    char *prefix;
    char *ca_file; // NULL: the system's
    int64_t url_ttl_s;
    bool makes_bucket;
    bool deletes_null_versions;
    struct s3_credential_options credential_options; // owns its texts
    // The newest; older ones live until the end, for a reader may still have them.
    _Atomic(struct s3_credentials *) credentials;
    int64_t next_renewal_ms;  // monotonic; of who tends
    atomic_bool is_checked;   // the bucket was there
    atomic_bool has_versions; // the bucket keeps, or kept, versions
};

struct object_s3 *
object_s3_of(struct object_store *store);
// The key of an object, and the path of a key.
void
object_s3_key(const struct object_s3 *s3, const struct uid *uid, char key[S3_KEY_SIZE]);
void
object_s3_path(const struct object_s3 *s3, const struct uid *uid, char path[S3_PATH_SIZE]);
// The path of the bucket itself.
void
object_s3_bucket_path(const struct object_s3 *s3, char path[S3_PATH_SIZE]);
// The uid of a key; false: the key is no object of this broker.
bool
object_s3_uid(const struct object_s3 *s3, struct span key, struct uid *uid);
// Runs calls with the keys of now.
ZKT_MUST enum zkt_err
object_s3_run(struct object_s3 *s3, struct s3_call *calls, size_t calls_count,
              struct problem *problem);
// "2026-11-24T15:00:00.000Z" as S3 writes times; false: malformed.
bool
object_s3_time(const char *text, int64_t *time_ms);
// Looks whether the bucket is there and may be used; makes it if told so.
ZKT_MUST enum zkt_err
object_s3_check(struct object_s3 *s3, struct problem *problem);

// Of the seam.
enum zkt_err
object_s3_delete(struct object_store *store, const struct uid *uids, size_t uids_count,
                 size_t *deleted_count, struct problem *problem);
enum zkt_err
object_s3_delete_foreign(struct object_store *store, int64_t before_ms, struct bytes *cursor,
                         size_t *deleted_count, struct problem *problem);
enum zkt_err
object_s3_list(struct object_store *store, const struct uid *after, struct object_info *infos,
               size_t infos_max, size_t *infos_count, struct problem *problem);
enum zkt_err
object_s3_list_pending(struct object_store *store, const struct object_pending *after,
                       struct object_pending *pendings, size_t pendings_max, size_t *pendings_count,
                       struct problem *problem);
enum zkt_err
object_s3_begin(struct object_store *store, const struct object_info *object,
                const uint8_t sha256[32], struct bytes *upload, struct problem *problem);
enum zkt_err
object_s3_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                       uint32_t part, int64_t size, int64_t now_s, struct bytes *url);
enum zkt_err
object_s3_complete(struct object_store *store, const struct object_info *object,
                   const uint8_t sha256[32], struct span upload, const struct span *etags,
                   size_t etags_count, struct problem *problem);
enum zkt_err
object_s3_abort(struct object_store *store, const struct uid *uid, struct span upload,
                struct problem *problem);
enum zkt_err
object_s3_head(struct object_store *store, const struct uid *uid, struct object_info *info,
               struct problem *problem);
// Presigns with more parameters.
void
object_s3_presign(struct object_s3 *s3, const char *method, const struct uid *uid,
                  const struct s3_param *params, size_t params_count, int64_t now_s,
                  struct bytes *url);
