// transfer_internal.h: one request after the other for the same bytes, as transfer.c (alone) and
// transfer_parts.c (several side by side) make them.
#pragma once
#include <curl/curl.h>
#include <openssl/evp.h>

#include "object/transfer.h"

enum {
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 2000,
    PAUSE_LOOK_MS = 100,
    ANSWER_BYTES_MAX = 1024,
    LOST_UPLOADS_MAX = 5,
    RENEW_AFTER_TRIES = 8, // in vain, about 8 seconds: the address may be another one now
};

struct transfer {
    CURL *curl;
    int64_t patience_ms;
    const char *ca_file; // NULL: the system's
    bool is_patient;     // waits for a server that is not trusted, too
};

// One upload or download over all its tries.
struct job {
    const struct transfer *transfer;
    CURL *curl; // borrowed
    const struct transfer_watch *watch;
    int fd;
    bool is_upload;
    int64_t from_bytes;  // offset in fd of what an upload sends
    int64_t total_bytes; // -1: unknown
    int64_t done_bytes;  // sent in this try; received in all tries
    EVP_MD_CTX *digest;  // NULL: nothing to hash
    int file_errno;      // reading or writing fd failed
    bool is_cancelled;
    bool is_too_long; // more came than wanted
    bool has_moved;   // since the last look
    char *etag;       // TRANSFER_ETAG_SIZE bytes; NULL: not wanted
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
    char answer[ANSWER_BYTES_MAX + 1]; // beginning of an answer that is no success
    size_t answer_len;
    // Told instead of watch->on_progress when the job is one part of many; NULL: it is all.
    bool (*on_moved)(struct job *job);
    void *arg;
};

// job_prepare sets the handle up for one try at url. job_judge says what came of it: may_pass, the
// same may succeed later.
void
job_prepare(struct job *job, const char *url);
enum zkt_err
job_judge(struct job *job, CURLcode result, bool *may_pass, struct problem *problem);
// job_pause_ms: between half of the pause and all of it, so that many clients do not come back
// together.
int64_t
job_pause_ms(int64_t pause_ms, const void *seed);
