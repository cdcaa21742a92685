// object_dir.h: the embedded object store: files below one directory, served by the broker's own
// HTTP port behind presigned URLs.
//
// DIR/ab/UID holds an object whose uid begins with ab (object_file.h: with its checksum behind it),
// DIR/tmp/ what is being uploaded, DIR/parts/ what is uploaded in parts, DIR/buckets/ what S3
// clients put into buckets of their own. A file appears under its name by rename, after its size
// and hash were right and its bytes are on disk: what can be read is whole. tmp/ is emptied at
// open.
#pragma once
#include "object/object_store.h"
#include "object/s3_sign.h"

struct object_dir_options {
    const char *path;        // made when missing
    const char *secret_path; // made when missing, mode 0600; its folder too (0700)
    // Beginning of URLs: "http://host:port", "http://:port" (the host that the client dialled).
    // May be empty until object_dir_set_address.
    const char *address;
    bool is_guest;          // a broker uses it at the same time: its uploads under way stay
    int64_t url_ttl_s;      // how long a URL is good, at most a week
    const char *bucket;     // home of the objects of tasks, as S3 clients see it; NULL: "karton"
    const char *keys_path;  // of S3 clients; NULL or missing: none
    uint64_t reserve_bytes; // of the disk: uploads that would leave less are refused; 0: none
};

ZKT_MUST enum zkt_err
object_dir_open(const struct object_dir_options *options, struct object_store **store,
                struct problem *problem);
// object_dir_set_address: once, before other threads use the store.
void
object_dir_set_address(struct object_store *store, const char *address);

// ---- What the HTTP side needs. Any thread.

// What a valid URL allows.
struct object_grant {
    struct uid uid;
    bool is_put;
    int64_t size; // of a PUT: exactly so many bytes with this hash
    uint8_t sha256[32];
    uint32_t part;   // of an upload in parts, which has no hash; 0: the whole object
    char upload[33]; // its name
};
// object_dir_authorize checks a request as HTTP brought it: method GET, HEAD or PUT, path decoded,
// host as in the Host header (NULL: none), all query parameters decoded. NOT_FOUND: no path of an
// object. DENIED: no signature, a wrong or an expired one. INVALID: a parameter is malformed.
ZKT_MUST enum zkt_err
object_dir_authorize(struct object_store *store, const struct s3_request *request, int64_t now_s,
                     struct object_grant *grant, struct problem *problem);

// An upload under way. write appends; object_put_finish (object_bucket.h) checks it and makes it
// visible. abort (and any failure) leaves nothing. finish and abort consume the upload.
struct object_upload;
ZKT_MUST enum zkt_err
object_upload_begin(struct object_store *store, const struct object_grant *grant,
                    struct object_upload **upload, struct problem *problem);
ZKT_MUST enum zkt_err
object_upload_write(struct object_upload *upload, const void *data, size_t size,
                    struct problem *problem);
void
object_upload_abort(struct object_upload **upload_p);

// A descriptor to read from, closed by the caller. NOT_FOUND, IO.
ZKT_MUST enum zkt_err
object_dir_open_file(struct object_store *store, const struct uid *uid, int *fd,
                     struct object_info *info, struct problem *problem);

// ---- Checking, without a broker or beside one

// What object_dir_check found in all buckets.
struct object_check {
    uint64_t files_count;
    uint64_t bytes_count;
    uint64_t unknown_count; // of an earlier version: no checksum is known
    uint64_t damaged_count;
};
// object_dir_check reads every object below path and compares it with its checksum; on_damage is
// told of each that differs or cannot be read. IO: a folder cannot be read.
ZKT_MUST enum zkt_err
object_dir_check(const char *path, void (*on_damage)(void *arg, const char *path, const char *why),
                 void *arg, struct object_check *found, struct problem *problem);
