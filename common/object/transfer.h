// transfer.h: moves the bytes of objects over HTTP, streaming, with the URLs that the broker gives.
// A transfer keeps its connections for the next one. Not thread-safe: one per thread.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "model/task.h"

struct transfer;

struct transfer *
transfer_new(void);
void
transfer_destroy(struct transfer **transfer_p);

// Told now and then; false stops the transfer with CANCELLED. callback may be NULL.
struct transfer_watch {
    bool (*callback)(void *arg, int64_t done_bytes, int64_t total_bytes);
    void *arg;
};

// transfer_upload sends size bytes of fd from offset 0. UNREACHABLE, TIMEOUT (no byte for a while):
// again later; DENIED: the URL is no longer good; INVALID: the bytes are not what was announced.
ZKT_MUST enum zkt_err
transfer_upload(struct transfer *transfer, const char *url, int fd, int64_t size,
                const struct transfer_watch *watch, struct problem *problem);
// transfer_download writes the object behind the end of what fd already holds (a cut download goes
// on where it stopped) and checks size and SHA-256 of the whole where the resource has them:
// INVALID "hash differs". NOT_FOUND: the object is not there.
ZKT_MUST enum zkt_err
transfer_download(struct transfer *transfer, const char *url, int fd,
                  const struct resource *resource, const struct transfer_watch *watch,
                  struct problem *problem);
