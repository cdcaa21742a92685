// transfer.h: moves the bytes of an object between a file and presigned URLs, streaming, with
// retries while the object store is away. One handle keeps its connections; one thread at a time.
//
// A try that fails for a reason that may pass (nothing listens, a lost connection, 5xx) is repeated
// with growing pauses until nothing has moved for the patience. A URL that has expired is renewed.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"

struct transfer;

// What its owner is told and asked; every function but on_progress may be NULL, all get arg.
struct transfer_watch {
    // Told while bytes move, and several times a second while they do not; false stops with
    // CANCELLED. total_bytes -1: unknown.
    bool (*on_progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
    void *arg;
    // Told once for each time that nothing moves any more: it goes on being tried.
    void (*on_wait)(void *arg, const struct problem *problem);
    // Asked for another URL of the same object when the store refuses the one at hand or has been
    // away for long; borrowed until the next call. NULL: there is none, problem says why: what may
    // pass (retryable) is tried again like a store that is away, the rest ends the transfer.
    const char *(*renew)(void *arg, struct problem *problem);
};
// What the bytes have to be.
struct transfer_want {
    int64_t size;          // -1: unknown, of a download only
    const uint8_t *sha256; // 32 bytes; NULL: unknown
};

struct transfer *
transfer_new(void);
void
transfer_destroy(struct transfer **transfer_p);
// transfer_patience: how long a call goes on trying while nothing moves; 5 minutes unless told.
void
transfer_patience(struct transfer *transfer, int64_t patience_ms);
// transfer_trust: the file of certificates that the one of an https server has to come from; NULL
// or "": the system's. Borrowed. A server that does not show such a one is as one that is away
// while is_patient, and else ends the transfer with CONFIG_INVALID.
void
transfer_trust(struct transfer *transfer, const char *ca_file, bool is_patient);
// transfer_upload sends want->size bytes of fd from its beginning and hashes them on the way; fd
// must be seekable, its position is kept. watch may be NULL. UNREACHABLE, DENIED (URL refused),
// NOT_FOUND (no bucket), INVALID (the store refused the bytes), IO (also a file that is no longer
// what want says), CANCELLED.
ZKT_MUST enum zkt_err
transfer_upload(struct transfer *transfer, const char *url, int fd,
                const struct transfer_want *want, const struct transfer_watch *watch,
                struct problem *problem);
// transfer_download writes the object at the position of fd, which may be a pipe, and checks it.
// OBJECT_UNKNOWN: the store does not have it; IO: also a wrong size or hash (what was written is
// then not to be used).
ZKT_MUST enum zkt_err
transfer_download(struct transfer *transfer, const char *url, int fd,
                  const struct transfer_want *want, const struct transfer_watch *watch,
                  struct problem *problem);

// An upload in parts of part_size bytes (the last one may be shorter), several at a time; one that
// fails is sent again alone.
enum { TRANSFER_PARTS_AT_ONCE = 4, TRANSFER_ETAG_SIZE = 128 };
struct transfer_parts {
    int64_t size; // of all
    int64_t part_size;
    // The URL of a part, from 1; borrowed until the next call. is_fresh: the one given before was
    // refused. NULL as renew of transfer_watch.
    const char *(*url)(void *arg, uint32_t part, bool is_fresh, struct problem *problem);
    void *arg;
};
// transfer_upload_parts sends all parts of fd. etags gets the tag of each part as the store told
// it, in the order of the parts; it has room for as many as there are. Errors as transfer_upload,
// and NOT_FOUND: the store does not know this upload any more.
ZKT_MUST enum zkt_err
transfer_upload_parts(struct transfer *transfer, const struct transfer_parts *parts, int fd,
                      const struct transfer_watch *watch, char (*etags)[TRANSFER_ETAG_SIZE],
                      struct problem *problem);
