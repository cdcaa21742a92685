// object_dir.h: the embedded object store: files below one directory, served by the broker's own
// HTTP port behind presigned URLs.
//
// DIR/ab/UID holds an object whose uid begins with ab; DIR/tmp/ what is being uploaded. A file
// appears under its uid by rename, after its size and hash were right and its bytes are on disk:
// what can be read is whole. tmp/ is emptied at open.
#pragma once
#include "object/object_store.h"
#include "object/s3_sign.h"

struct object_dir_options {
    const char *path;        // made when missing
    const char *secret_path; // made when missing, mode 0600; its folder too (0700)
    // Beginning of URLs: "http://host:port", "http://:port" (the host that the client dialled).
    // May be empty until object_dir_set_address.
    const char *address;
    bool is_guest;     // a broker uses it at the same time: its uploads under way stay
    int64_t url_ttl_s; // how long a URL is good, at most a week
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
};
// object_dir_authorize checks a request as HTTP brought it: method GET, HEAD or PUT, path decoded,
// host as in the Host header (NULL: none), all query parameters decoded. NOT_FOUND: no path of an
// object. DENIED: no signature, a wrong or an expired one. INVALID: a parameter is malformed.
ZKT_MUST enum zkt_err
object_dir_authorize(struct object_store *store, const struct s3_request *request, int64_t now_s,
                     struct object_grant *grant, struct problem *problem);

// An upload under way. write appends; finish checks size and hash, makes it durable and visible;
// IN_USE: the uid has another content. abort (and any failure) leaves nothing. finish and abort
// consume the upload.
struct object_upload;
ZKT_MUST enum zkt_err
object_upload_begin(struct object_store *store, const struct object_grant *grant,
                    struct object_upload **upload, struct problem *problem);
ZKT_MUST enum zkt_err
object_upload_write(struct object_upload *upload, const void *data, size_t size,
                    struct problem *problem);
ZKT_MUST enum zkt_err
object_upload_finish(struct object_upload **upload_p, struct problem *problem);
void
object_upload_abort(struct object_upload **upload_p);

// A descriptor to read from, closed by the caller. NOT_FOUND, IO.
ZKT_MUST enum zkt_err
object_dir_open_file(struct object_store *store, const struct uid *uid, int *fd,
                     struct object_info *info, struct problem *problem);
