// Transfers by libcurl, one at a time on one easy handle, so that connections are kept. A download
// that was cut goes on where it stopped; bytes are hashed in the order in which they pass.
#include "object/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "object/transfer_internal.h"

enum { PATIENCE_MS = 300000 };

struct transfer *
transfer_new(void)
{
    struct transfer *transfer = xcalloc(1, sizeof(*transfer));
    // Counts its calls and is safe with threads since libcurl 7.84.
    curl_global_init(CURL_GLOBAL_DEFAULT);
    transfer->curl = curl_easy_init();
    transfer->patience_ms = PATIENCE_MS;
    zkt_assert(transfer->curl != NULL);
    return transfer;
}

void
transfer_destroy(struct transfer **transfer_p)
{
    struct transfer *transfer = *transfer_p;
    *transfer_p = NULL;
    if (transfer != NULL) {
        curl_easy_cleanup(transfer->curl);
        curl_global_cleanup();
        free(transfer);
    }
}

void
transfer_patience(struct transfer *transfer, int64_t patience_ms)
{
    transfer->patience_ms = patience_ms;
}

void
transfer_trust(struct transfer *transfer, const char *ca_file, bool is_patient)
{
    transfer->ca_file = ca_file != NULL && ca_file[0] != '\0' ? ca_file : NULL;
    transfer->is_patient = is_patient;
}

// ---- One transfer over all its tries

// What run remembers between tries.
struct run {
    struct job *job;
    const char *url;
    int64_t patience_ms;
    int64_t give_up_ms;
    int64_t pause_ms;
    int lost_uploads;
    int tries_in_vain;
    bool is_renewed; // since something moved: a second refusal is final
    bool is_told;    // on_wait, of this time without movement
};

static EVP_MD_CTX *
digest_new(const uint8_t *sha256)
{
    if (sha256 == NULL) {
        return NULL;
    }
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    zkt_assert(digest != NULL);
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    return digest;
}

// Puts another URL in place. What the broker refuses for now is as a store that is away.
static enum zkt_err
renew(struct run *run, struct problem *problem)
{
    const struct transfer_watch *watch = run->job->watch;
    struct problem why = {0};
    const char *url = watch->renew(watch->arg, &why);
    if (url != NULL) {
        run->url = url;
        return ZKT_OK;
    }
    if (!zkt_err_is_retryable(why.code)) {
        *problem = why;
        return why.code;
    }
    return ZKT_UNREACHABLE;
}

// Waits, and looks now and then whether it is still wanted.
static enum zkt_err
wait_for_store(struct run *run, struct problem *problem)
{
    struct job *job = run->job;
    if (!run->is_told && job->watch != NULL && job->watch->on_wait != NULL) {
        run->is_told = true;
        job->watch->on_wait(job->watch->arg, problem);
    }
    int64_t left_ms = job_pause_ms(run->pause_ms, job);
    while (left_ms > 0) {
        poll(NULL, 0, (int)(left_ms < PAUSE_LOOK_MS ? left_ms : PAUSE_LOOK_MS));
        left_ms -= PAUSE_LOOK_MS;
        if (job->watch != NULL &&
            !job->watch->on_progress(job->watch->arg, job->done_bytes, job->total_bytes)) {
            return problem_set(problem, ZKT_CANCELLED, "cancelled");
        }
    }
    run->pause_ms = run->pause_ms * 2 < PAUSE_MAX_MS ? run->pause_ms * 2 : PAUSE_MAX_MS;
    return ZKT_OK;
}

// After a try that failed: OK, try again; else the end.
static enum zkt_err
after_failure(struct run *run, enum zkt_err err, bool may_pass, struct problem *problem)
{
    struct job *job = run->job;
    bool may_renew = job->watch != NULL && job->watch->renew != NULL;
    // What an upload moved in a try that failed is lost: not for ever.
    if (job->has_moved && (!job->is_upload || ++run->lost_uploads < LOST_UPLOADS_MAX)) {
        run->give_up_ms = clock_monotonic_ms() + run->patience_ms;
        run->pause_ms = PAUSE_MIN_MS;
        run->tries_in_vain = 0;
        run->is_renewed = false;
        run->is_told = run->is_told && job->is_upload;
    }
    bool is_expired = err == ZKT_DENIED && may_renew && !run->is_renewed;
    bool is_long_away = may_pass && may_renew && ++run->tries_in_vain % RENEW_AFTER_TRIES == 0;
    if (is_expired || is_long_away) {
        enum zkt_err renewed = renew(run, problem);
        run->is_renewed = is_expired && renewed == ZKT_OK;
        if (renewed == ZKT_OK && is_expired) {
            return ZKT_OK;
        }
        if (renewed != ZKT_OK && renewed != ZKT_UNREACHABLE) {
            return renewed;
        }
        may_pass = true;
    }
    if (!may_pass || clock_monotonic_ms() + run->pause_ms > run->give_up_ms) {
        return err;
    }
    return wait_for_store(run, problem);
}

static enum zkt_err
run_job(struct transfer *transfer, struct job *job, const char *url, struct problem *problem)
{
    struct run run = {
        .job = job,
        .url = url,
        .patience_ms = transfer->patience_ms,
        .give_up_ms = clock_monotonic_ms() + transfer->patience_ms,
        .pause_ms = PAUSE_MIN_MS,
    };
    job->transfer = transfer;
    job->curl = transfer->curl;
    for (;;) {
        bool may_pass = false;
        job_prepare(job, run.url);
        CURLcode result = curl_easy_perform(job->curl);
        enum zkt_err err = job_judge(job, result, &may_pass, problem);
        if (err == ZKT_OK) {
            return ZKT_OK;
        }
        if (may_pass && !job->is_upload && job->done_bytes == job->total_bytes) {
            return ZKT_OK; // only the end of the answer was lost
        }
        err = after_failure(&run, err, may_pass, problem);
        if (err != ZKT_OK) {
            return err;
        }
    }
}

static enum zkt_err
check(const struct job *job, const struct transfer_want *want, struct problem *problem)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (want->size != -1 && job->done_bytes != want->size) {
        return problem_set(problem, ZKT_IO, "%" PRId64 " bytes came of %" PRId64, job->done_bytes,
                           want->size);
    }
    if (job->digest == NULL) {
        return ZKT_OK;
    }
    EVP_DigestFinal_ex(job->digest, digest, &digest_len);
    if (digest_len != 32 || memcmp(digest, want->sha256, 32) != 0) {
        return problem_set(problem, ZKT_IO, "%s",
                           job->is_upload
                               ? "hash differs: the file changed after it was added to the task"
                               : "hash differs: the SHA-256 of what came is not the resource's");
    }
    return ZKT_OK;
}

enum zkt_err
transfer_upload(struct transfer *transfer, const char *url, int fd,
                const struct transfer_want *want, const struct transfer_watch *watch,
                struct problem *problem)
{
    zkt_assert(want->size >= 0);
    struct job job = {
        .watch = watch,
        .fd = fd,
        .is_upload = true,
        .total_bytes = want->size,
        .digest = digest_new(want->sha256),
    };
    enum zkt_err err = run_job(transfer, &job, url, problem);
    if (err == ZKT_OK || err == ZKT_INVALID) {
        // Of bytes that the store refused, too: that they changed says more than its answer.
        struct problem changed;
        enum zkt_err checked = check(&job, want, &changed);
        if (checked != ZKT_OK && job.done_bytes == want->size) {
            *problem = changed;
            err = checked;
        }
    }
    EVP_MD_CTX_free(job.digest);
    return err;
}

enum zkt_err
transfer_download(struct transfer *transfer, const char *url, int fd,
                  const struct transfer_want *want, const struct transfer_watch *watch,
                  struct problem *problem)
{
    struct job job = {
        .watch = watch,
        .fd = fd,
        .total_bytes = want->size,
        .digest = digest_new(want->sha256),
    };
    enum zkt_err err = run_job(transfer, &job, url, problem);
    if (err == ZKT_OK) {
        err = check(&job, want, problem);
    }
    EVP_MD_CTX_free(job.digest);
    return err;
}
