// s3_api.h: the S3 API of the directory store, at /BUCKET/KEY of the HTTP port.
#pragma once
#include <microhttpd.h>
#include <stdbool.h>

#include "object/object_store.h"

struct finishers;
struct s3_ask;

// s3_is_asked: the request is signed as S3 wants it, or the store has clients and nothing else has
// this path.
bool
s3_is_signed(struct MHD_Connection *connection);
// s3_handle is MHD's handler: called with the headers (*call_p NULL), with each part of the body,
// at its end, and behind the work of a finisher. target: as it came, or NULL if it was too long.
enum MHD_Result
s3_handle(struct object_store *store, struct finishers *finishers,
          struct MHD_Connection *connection, struct s3_ask **call_p, const char *method,
          const char *target, int64_t now_ms, const char *data, size_t *data_len);
// s3_abandon: the request ended, however it did.
void
s3_abandon(struct s3_ask **call_p);
