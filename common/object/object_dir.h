// object_dir.h: objects as files of a directory, served by the broker's HTTP port.
// Layout: <path>/<first two digits of the uid>/<uid>; a file is the bytes, then a trailer of
// OBJECT_TRAILER_BYTES with a mark and the SHA-256, so that a file without a trailer is not whole.
// A file is written under a temporary name in <path>/tmp, synced, renamed, and its directory
// synced. The store may be used from several threads at once.
#pragma once
#include "object/object_store.h"
#include "object/s3_sign.h"

enum { OBJECT_TRAILER_BYTES = 40 };

// The host that URLs are signed for: clients reach the broker by many names.
#define OBJECT_DIR_HOST "zkarton"

struct object_dir_options {
    const char *path;        // directory of the objects, made when missing
    const char *secret_path; // file of the key, mode 0600, made when missing
    const char *url_base;    // "http://HOST:PORT" or "http://:PORT"
    int64_t url_ttl_ms;
};

// object_dir_open also removes temporary files of an earlier process.
ZKT_MUST enum zkt_err
object_dir_open(const struct object_dir_options *options, struct object_store **store,
                struct problem *problem);
// object_dir_set_url_base: after a port was chosen, before the first URL.
void
object_dir_set_url_base(struct object_store *store, const char *url_base);
// object_dir_key is the key that verifies its URLs.
const struct s3_key *
object_dir_key(const struct object_store *store);

// Reading: an open file of which size bytes from 0 are the object's. The caller closes fd.
struct object_file {
    int fd;
    int64_t size;
    uint8_t sha256[32];
};
ZKT_MUST enum zkt_err
object_dir_read(struct object_store *store, const struct uid *uid, struct object_file *file,
                struct problem *problem);

// Writing, streamed. object_write_finish makes the object durable and visible; INVALID: size or
// hash differs from what was announced, and nothing is kept. Both ends free the write.
struct object_write;
ZKT_MUST enum zkt_err
object_write_new(struct object_store *store, const struct object_put *put,
                 struct object_write **write, struct problem *problem);
ZKT_MUST enum zkt_err
object_write_append(struct object_write *write, const void *data, size_t len,
                    struct problem *problem);
ZKT_MUST enum zkt_err
object_write_finish(struct object_write **write_p, struct problem *problem);
void
object_write_abort(struct object_write **write_p);
