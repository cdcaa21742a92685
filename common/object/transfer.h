// transfer.h: moves the bytes of an object between a file and a presigned URL, streaming, with
// retries while the object store is away. One handle keeps its connections; one thread at a time.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"

struct transfer;

// Told while bytes move; false stops with CANCELLED. total_bytes -1: unknown.
struct transfer_watch {
    bool (*on_progress)(void *arg, int64_t done_bytes, int64_t total_bytes);
    void *arg;
};
// What the bytes of a download have to be.
struct transfer_want {
    int64_t size;          // -1: unknown
    const uint8_t *sha256; // 32 bytes; NULL: unknown
};

struct transfer *
transfer_new(void);
void
transfer_destroy(struct transfer **transfer_p);
// transfer_patience: how long a call goes on trying while nothing moves; 30 s unless told.
void
transfer_patience(struct transfer *transfer, int64_t patience_ms);
// transfer_upload sends size bytes of fd from its beginning; fd must be seekable, its position is
// kept. watch may be NULL. UNREACHABLE, DENIED (URL refused), INVALID (the store refused the
// bytes), IO, CANCELLED.
ZKT_MUST enum zkt_err
transfer_upload(struct transfer *transfer, const char *url, int fd, int64_t size,
                const struct transfer_watch *watch, struct problem *problem);
// transfer_download writes the object at the position of fd, which may be a pipe, and checks it.
// OBJECT_UNKNOWN: the store does not have it; IO: also a wrong size or hash (what was written is
// then not to be used).
ZKT_MUST enum zkt_err
transfer_download(struct transfer *transfer, const char *url, int fd,
                  const struct transfer_want *want, const struct transfer_watch *watch,
                  struct problem *problem);
