// object_dir_internal.h: what object_dir.c and object_upload.c share.
#pragma once
#include "object/object_dir.h"

enum { OBJECT_SHARDS = 256, OBJECT_SECRET_SIZE = 65 };

struct object_dir {
    struct object_store store; // first
    char *path;
    char *temp_path; // of uploads under way
    char *address;   // beginning of URLs
    char *host;      // that URLs are signed for
    int64_t url_ttl_s;
    char secret[OBJECT_SECRET_SIZE];
    struct s3_key key; // borrows secret
};

struct object_dir *
object_dir_of(struct object_store *store);
// The path of an object, for the caller to free.
char *
object_dir_path(const struct object_dir *dir, const struct uid *uid);
// Makes names in this folder durable.
ZKT_MUST enum zkt_err
object_dir_sync(const char *path, struct problem *problem);
