// Transfers by libcurl, one at a time on one easy handle, so that connections are kept. A transfer
// that fails for a reason that may pass (nothing listens, connection lost, 5xx) is tried again with
// growing, jittered pauses, until nothing has moved for the patience; a download goes on where it
// stopped.
#include "object/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"

enum {
    PATIENCE_MS = 30000,
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 2000,
    ANSWER_BYTES_MAX = 512,
    CONNECT_MS = 5000,
    STALL_S = 30,
    LOST_UPLOADS_MAX = 5,
    HTTP_OK = 200,
    HTTP_PARTIAL = 206
};

struct transfer {
    CURL *curl;
    int64_t patience_ms;
    char error[CURL_ERROR_SIZE];
};

// One upload or download over all its tries.
struct job {
    struct transfer *transfer;
    const struct transfer_watch *watch;
    int fd;
    bool is_upload;
    int64_t total_bytes; // -1: unknown
    int64_t done_bytes;  // sent in this try; received in all tries
    EVP_MD_CTX *digest;  // of a download with a hash
    int file_errno;      // reading or writing fd failed
    bool is_cancelled;
    bool is_too_long;                  // more came than wanted
    bool has_moved;                    // since the last look
    char answer[ANSWER_BYTES_MAX + 1]; // beginning of an answer that is no success
    size_t answer_len;
};

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

// False: the watcher wants it to stop.
static bool
goes_on(struct job *job)
{
    if (job->watch != NULL &&
        !job->watch->on_progress(job->watch->arg, job->done_bytes, job->total_bytes)) {
        job->is_cancelled = true;
    }
    return !job->is_cancelled;
}

static bool
advance(struct job *job, size_t size)
{
    job->done_bytes += (int64_t)size;
    job->has_moved = job->has_moved || size > 0;
    return goes_on(job);
}

// ---- Callbacks of libcurl

static size_t
on_read(char *data, size_t size, size_t items_count, void *arg)
{
    struct job *job = arg;
    int64_t left = job->total_bytes - job->done_bytes;
    size_t room = size * items_count;
    size_t wanted = (int64_t)room < left ? room : (size_t)left;
    ssize_t len = wanted > 0 ? pread(job->fd, data, wanted, job->done_bytes) : 0;
    if (len == -1 || (len == 0 && wanted > 0)) {
        job->file_errno = len == -1 ? errno : ENODATA;
        return CURL_READFUNC_ABORT;
    }
    return advance(job, (size_t)len) ? (size_t)len : CURL_READFUNC_ABORT;
}

// libcurl goes back when a kept connection turns out to be dead.
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
    struct job *job = arg;
    if (origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    job->done_bytes = offset;
    return CURL_SEEKFUNC_OK;
}

static void
keep_answer(struct job *job, const char *data, size_t size)
{
    size_t room = ANSWER_BYTES_MAX - job->answer_len;
    size_t len = size < room ? size : room;
    memcpy(job->answer + job->answer_len, data, len);
    job->answer_len += len;
    job->answer[job->answer_len] = '\0';
}

static bool
write_all(struct job *job, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(job->fd, data, size);
        if (written == -1 && errno != EINTR) {
            job->file_errno = errno;
            return false;
        }
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return true;
}

static size_t
on_write(char *data, size_t size, size_t items_count, void *arg)
{
    struct job *job = arg;
    long status = 0;
    size *= items_count;
    curl_easy_getinfo(job->transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    bool is_content =
        !job->is_upload && (status == HTTP_PARTIAL || (status == HTTP_OK && job->done_bytes == 0) ||
                            (status == HTTP_OK && job->has_moved));
    if (!is_content) {
        keep_answer(job, data, size);
        // A whole object in place of its rest is not worth reading.
        return job->is_upload || status != HTTP_OK ? size : CURL_WRITEFUNC_ERROR;
    }
    if (job->total_bytes != -1 && (int64_t)size > job->total_bytes - job->done_bytes) {
        job->is_too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!write_all(job, data, size)) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (job->digest != NULL) {
        EVP_DigestUpdate(job->digest, data, size);
    }
    return advance(job, size) ? size : CURL_WRITEFUNC_ERROR;
}

// Called about once a second while nothing moves.
static int
on_idle(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return goes_on(arg) ? 0 : 1;
}

// ---- One try

// A proxy that the environment names is for other machines.
static bool
is_loopback(const char *url)
{
    static const char *const hosts[] = {"127.", "localhost", "[::1]"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host != NULL && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        if (strncmp(host + 3, hosts[i], strlen(hosts[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void
set_common(struct job *job, const char *url)
{
    CURL *curl = job->transfer->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, job->transfer->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, job);
    if (job->watch != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_idle);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, job);
    }
    if (is_loopback(url)) {
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    job->transfer->error[0] = '\0';
    job->answer[0] = '\0';
    job->answer_len = 0;
}

static CURLcode
try_once(struct job *job, const char *url, long *status)
{
    CURL *curl = job->transfer->curl;
    struct curl_slist *headers = NULL;
    set_common(job, url);
    if (job->is_upload) {
        job->done_bytes = 0;
        headers = curl_slist_append(headers, "Expect:"); // small files need no question first
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)job->total_bytes);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, job);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, job);
    } else if (job->done_bytes > 0) {
        char range[32];
        snprintf(range, sizeof(range), "%" PRId64 "-", job->done_bytes);
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
    }
    CURLcode result = curl_easy_perform(curl);
    *status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(headers);
    return result;
}

// "<Message>text</Message>" of an answer as S3 writes it, else its first line.
static void
answer_text(const struct job *job, char *text, size_t text_size)
{
    const char *start = strstr(job->answer, "<Message>");
    start = start != NULL ? start + strlen("<Message>") : job->answer;
    size_t len = strcspn(start, "<\r\n");
    snprintf(text, text_size, "%.*s", (int)(len < text_size ? len : text_size - 1), start);
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20) {
            *at = '?';
        }
    }
}

static enum zkt_err
status_problem(const struct job *job, long status, struct problem *problem)
{
    char text[256];
    answer_text(job, text, sizeof(text));
    if (status == 404) {
        return problem_set(problem, ZKT_OBJECT_UNKNOWN, "the object store does not have it");
    }
    if (status == 403 || status == 401) {
        return problem_set(problem, ZKT_DENIED, "the object store refused the URL: %s", text);
    }
    if (status == 507) {
        return problem_set(problem, ZKT_DISK_FULL, "the object store is full: %s", text);
    }
    if (status >= 400 && status < 500) {
        return problem_set(problem, ZKT_INVALID, "the object store refused: %s", text);
    }
    return problem_set(problem, ZKT_UNREACHABLE, "the object store answered %ld: %s", status, text);
}

// What a failed try means. *may_pass: the same may succeed later.
static enum zkt_err
judge(const struct job *job, CURLcode result, long status, bool *may_pass, struct problem *problem)
{
    *may_pass = false;
    if (job->is_cancelled) {
        return problem_set(problem, ZKT_CANCELLED, "cancelled");
    }
    if (job->file_errno == ENODATA && job->is_upload) {
        return problem_set(problem, ZKT_IO, "the file became shorter while it was sent");
    }
    if (job->file_errno != 0) {
        return problem_set(problem, ZKT_IO, "%s the file: %s",
                           job->is_upload ? "reading" : "writing", strerror(job->file_errno));
    }
    if (job->is_too_long) {
        return problem_set(problem, ZKT_IO, "more came than the %" PRId64 " bytes of the object",
                           job->total_bytes);
    }
    if (status >= 300 && (result == CURLE_OK || status < 500)) {
        *may_pass = status >= 500 && status != 507;
        return status_problem(job, status, problem);
    }
    if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL) {
        return problem_set(problem, ZKT_INVALID, "not a URL to transfer with");
    }
    if (!job->is_upload && status < 300 && job->answer_len > 0) {
        return problem_set(problem, ZKT_IO, "the object store cannot go on where it stopped");
    }
    if (result != CURLE_OK) {
        *may_pass = true;
        return problem_set(problem, ZKT_UNREACHABLE, "the object store cannot be reached: %s",
                           job->transfer->error[0] != '\0' ? job->transfer->error
                                                           : curl_easy_strerror(result));
    }
    return ZKT_OK;
}

// Between half of the pause and all of it, so that many clients do not come back together.
static void
pause_jittered(int64_t pause_ms, const void *seed)
{
    uint64_t mix = (uint64_t)clock_monotonic_ns() ^ (uint64_t)(uintptr_t)seed;
    mix = mix * UINT64_C(0x9e3779b97f4a7c15) >> 33;
    poll(NULL, 0, (int)(pause_ms / 2 + (int64_t)(mix % (uint64_t)(pause_ms / 2 + 1))));
}

static enum zkt_err
run(struct job *job, const char *url, struct problem *problem)
{
    int lost_uploads = 0;
    int64_t pause_ms = PAUSE_MIN_MS;
    int64_t give_up_ms = clock_monotonic_ms() + job->transfer->patience_ms;
    for (;;) {
        long status = 0;
        bool may_pass = false;
        job->has_moved = false;
        CURLcode result = try_once(job, url, &status);
        enum zkt_err err = judge(job, result, status, &may_pass, problem);
        if (err == ZKT_OK || !may_pass) {
            return err;
        }
        if (!job->is_upload && job->done_bytes == job->total_bytes) {
            return ZKT_OK; // only the end of the answer was lost
        }
        // What an upload moved in a try that failed is lost: not for ever.
        if (job->has_moved && (!job->is_upload || ++lost_uploads < LOST_UPLOADS_MAX)) {
            give_up_ms = clock_monotonic_ms() + job->transfer->patience_ms;
            pause_ms = PAUSE_MIN_MS;
        }
        if (clock_monotonic_ms() + pause_ms > give_up_ms) {
            return err;
        }
        pause_jittered(pause_ms, job);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
}

enum zkt_err
transfer_upload(struct transfer *transfer, const char *url, int fd, int64_t size,
                const struct transfer_watch *watch, struct problem *problem)
{
    zkt_assert(size >= 0);
    struct job job = {
        .transfer = transfer,
        .watch = watch,
        .fd = fd,
        .is_upload = true,
        .total_bytes = size,
    };
    return run(&job, url, problem);
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
        return problem_set(problem, ZKT_IO, "the SHA-256 of what came is not the resource's");
    }
    return ZKT_OK;
}

enum zkt_err
transfer_download(struct transfer *transfer, const char *url, int fd,
                  const struct transfer_want *want, const struct transfer_watch *watch,
                  struct problem *problem)
{
    struct job job = {
        .transfer = transfer,
        .watch = watch,
        .fd = fd,
        .total_bytes = want->size,
    };
    if (want->sha256 != NULL) {
        job.digest = EVP_MD_CTX_new();
        zkt_assert(job.digest != NULL);
        EVP_DigestInit_ex(job.digest, EVP_sha256(), NULL);
    }
    enum zkt_err err = run(&job, url, problem);
    if (err == ZKT_OK) {
        err = check(&job, want, problem);
    }
    EVP_MD_CTX_free(job.digest);
    return err;
}
