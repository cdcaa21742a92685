// object_dir_internal.h: what the files of the directory store share.
#pragma once
#include "object/object_bucket.h"
#include "object/object_dir.h"
#include "object/object_file.h"
#include "object/object_hashing.h"

enum { OBJECT_SHARDS = 256, OBJECT_SECRET_SIZE = 65 };

struct object_dir {
    struct object_store store; // first
    char *path;
    char *temp_path;    // of uploads under way
    char *parts_path;   // of uploads in parts
    char *buckets_path; // of buckets other than the home bucket
    char *bucket;       // home of the objects of tasks
    char *address;      // beginning of URLs
    char *host;         // that URLs are signed for
    int64_t url_ttl_s;
    uint64_t reserve_bytes; // of the disk, kept free of objects
    char secret[OBJECT_SECRET_SIZE];
    struct s3_key key; // borrows secret
    struct object_client *clients;
    size_t clients_count;
    struct object_hashers *hashers;
};

// Who may use the store as S3.
struct object_client {
    char *access;
    char *secret;
    bool is_reader; // only reads
};

struct object_dir *
object_dir_of(struct object_store *store);
// The path of an object, for the caller to free.
char *
object_dir_path(const struct object_dir *dir, const struct uid *uid);
// object_sync.c: makes names in this folder durable. Any thread; errno is 0 or why not.
ZKT_MUST enum zkt_err
object_dir_sync(const char *path, struct problem *problem);
// Makes a folder; it may be there.
ZKT_MUST enum zkt_err
object_dir_make(const char *path, struct problem *problem);
// Removes a folder with all that is in it. What does not exist is removed.
void
object_dir_remove(const char *path);

// ---- object_keys.c

// Reads the client keys of a file; a missing file has none. INSECURE, CONFIG_INVALID.
ZKT_MUST enum zkt_err
object_keys_load(const char *path, struct object_dir *dir, struct problem *problem);
void
object_keys_free(struct object_dir *dir);

// ---- object_bucket.c

// Where an object lies.
struct object_place {
    char *path;      // of its file; owned
    size_t root_len; // of the path: the folder of the bucket, or the shard; stays
    bool is_home;    // an object of a task: never replaced
    struct uid uid;  // of it
};
ZKT_MUST enum s3_code
object_place_of(const struct object_dir *dir, const char *bucket, const char *key,
                struct object_place *place, struct problem *problem);
// Makes the folders above the file.
ZKT_MUST enum zkt_err
object_place_make(const struct object_place *place, struct problem *problem);
// Held from the look at what a key has to the rename or unlink that changes it.
void
object_names_lock(void);
void
object_names_unlock(void);

// ---- object_parts.c: the operations of the seam

enum zkt_err
object_dir_begin(struct object_store *store, const struct object_info *object,
                 const uint8_t sha256[32], struct bytes *upload, struct problem *problem);
enum zkt_err
object_dir_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                        uint32_t part, int64_t size, int64_t now_s, struct bytes *url);
enum zkt_err
object_dir_complete(struct object_store *store, const struct object_info *object,
                    const uint8_t sha256[32], struct span upload, const struct span *etags,
                    size_t etags_count, struct problem *problem);
enum zkt_err
object_dir_abort(struct object_store *store, const struct uid *uid, struct span upload,
                 struct problem *problem);
enum zkt_err
object_dir_list_pending(struct object_store *store, const struct object_pending *after,
                        struct object_pending *pendings, size_t pendings_max,
                        size_t *pendings_count, struct problem *problem);
// The folder of an upload of this key, to be freed. S3_NO_SUCH_UPLOAD.
ZKT_MUST enum s3_code
object_parts_folder(const struct object_dir *dir, const char *bucket, const char *key,
                    const char *upload, char **folder, struct problem *problem);
// object_dir.c: appends a signed URL of an object.
void
object_dir_presign(const struct object_dir *dir, const char *method, const struct uid *uid,
                   const struct s3_param *params, size_t params_count, int64_t now_s,
                   struct bytes *url);
