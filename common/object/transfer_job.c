// One try of one request by libcurl: its options, its callbacks, and what its end means.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "object/transfer_internal.h"

enum {
    CONNECT_MS = 5000,
    IDLE_S = 5, // the broker closes what was idle for twice as long
    STALL_S = 30,
    REDIRECTS_MAX = 3,
    HTTP_OK = 200,
    HTTP_PARTIAL = 206,
    BUFFER_BYTES = 256 << 10
};

// False: the watcher wants it to stop.
static bool
goes_on(struct job *job)
{
    bool is_wanted = true;
    if (job->on_moved != NULL) {
        is_wanted = job->on_moved(job);
    } else if (job->watch != NULL) {
        is_wanted = job->watch->on_progress(job->watch->arg, job->done_bytes, job->total_bytes);
    }
    job->is_cancelled = job->is_cancelled || !is_wanted;
    return is_wanted;
}

static bool
advance(struct job *job, const void *data, size_t size)
{
    if (job->digest != NULL) {
        EVP_DigestUpdate(job->digest, data, size);
    }
    job->done_bytes += (int64_t)size;
    job->has_moved = job->has_moved || size > 0;
    return goes_on(job);
}

// An upload begins again.
static void
rewind_upload(struct job *job)
{
    job->done_bytes = 0;
    if (job->digest != NULL) {
        EVP_DigestInit_ex(job->digest, EVP_sha256(), NULL);
    }
}

// ---- Callbacks of libcurl

static size_t
on_read(char *data, size_t size, size_t items_count, void *arg)
{
    struct job *job = arg;
    int64_t left = job->total_bytes - job->done_bytes;
    size_t room = size * items_count;
    size_t wanted = (int64_t)room < left ? room : (size_t)left;
    ssize_t len = wanted > 0 ? pread(job->fd, data, wanted, job->from_bytes + job->done_bytes) : 0;
    if (len == -1 || (len == 0 && wanted > 0)) {
        job->file_errno = len == -1 ? errno : ENODATA;
        return CURL_READFUNC_ABORT;
    }
    return advance(job, data, (size_t)len) ? (size_t)len : CURL_READFUNC_ABORT;
}

// libcurl goes back when a kept connection turns out to be dead.
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
    if (origin != SEEK_SET || offset != 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    rewind_upload(arg);
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

static long
status_of(const struct job *job)
{
    long status = 0;
    curl_easy_getinfo(job->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t
on_write(char *data, size_t size, size_t items_count, void *arg)
{
    struct job *job = arg;
    long status = status_of(job);
    size *= items_count;
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
    return advance(job, data, size) ? size : CURL_WRITEFUNC_ERROR;
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

// ---- Options

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
    CURL *curl = job->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, job);
    if (job->watch != NULL || job->on_moved != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_idle);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, job);
    }
    if (!job->is_upload) { // an object may have moved to another store
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
        curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    }
    if (job->transfer->ca_file != NULL) { // and none of the system's
        curl_easy_setopt(curl, CURLOPT_CAINFO, job->transfer->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (is_loopback(url)) {
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    job->has_moved = false;
    job->error[0] = '\0';
    job->answer[0] = '\0';
    job->answer_len = 0;
}

void
job_prepare(struct job *job, const char *url)
{
    set_common(job, url);
    CURL *curl = job->curl;
    if (job->is_upload) {
        rewind_upload(job);
        if (job->headers == NULL) { // small files need no question first
            job->headers = curl_slist_append(NULL, "Expect:");
        }
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, job->headers);
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
}

// ---- What the end means

// "<Message>text</Message>" of an answer as S3 writes it, else its first line.
static void
answer_text(const struct job *job, char *text, size_t text_size)
{
    const char *start = strstr(job->answer, "<Message>");
    start = start != NULL ? start + strlen("<Message>") : job->answer;
    size_t len = strcspn(start, "<\r\n");
    snprintf(text, text_size, "%.*s", (int)(len < text_size ? len : text_size - 1), start);
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
}

static bool
has_code(const struct job *job, const char *code)
{
    const char *start = strstr(job->answer, "<Code>");
    size_t len = strlen(code);
    return start != NULL && strncmp(start + 6, code, len) == 0 && start[6 + len] == '<';
}

// Answers that are failures of the moment, whatever their number says.
static bool
is_passing(const struct job *job, long status)
{
    return (status >= 500 && status != 507) || status == 429 || status == 408 ||
           (status == 400 && has_code(job, "RequestTimeout"));
}

static enum zkt_err
status_problem(const struct job *job, long status, struct problem *problem)
{
    char text[256];
    answer_text(job, text, sizeof(text));
    if (status == 404 && job->is_upload) {
        return problem_set(problem, ZKT_NOT_FOUND, "the object store refused: %s", text);
    }
    if (status == 404) {
        return problem_set(problem, ZKT_OBJECT_UNKNOWN, "the object store does not have it");
    }
    if (status == 403 || status == 401 || (status == 400 && has_code(job, "ExpiredToken"))) {
        return problem_set(problem, ZKT_DENIED, "the object store refused the URL: %s", text);
    }
    if (status == 507) {
        return problem_set(problem, ZKT_DISK_FULL, "the object store is full: %s", text);
    }
    if (is_passing(job, status)) {
        return problem_set(problem, ZKT_UNREACHABLE, "the object store answered %ld: %s", status,
                           text);
    }
    return problem_set(problem, ZKT_INVALID, "the object store refused: %s", text);
}

static enum zkt_err
file_problem(const struct job *job, struct problem *problem)
{
    if (job->file_errno == ENODATA && job->is_upload) {
        return problem_set(problem, ZKT_IO, "the file became shorter while it was sent");
    }
    return problem_set(problem, ZKT_IO, "%s the file: %s", job->is_upload ? "reading" : "writing",
                       strerror(job->file_errno));
}

// The server of the URL, without what is secret in it.
static void
server_name(const struct job *job, char *text, size_t text_size)
{
    const char *url = "";
    curl_easy_getinfo(job->curl, CURLINFO_EFFECTIVE_URL, &url);
    const char *host = strstr(url, "://");
    size_t len = host == NULL ? 0 : (size_t)(host + 3 - url) + strcspn(host + 3, "/?");
    snprintf(text, text_size, "%.*s", (int)(len < text_size ? len : text_size - 1), url);
}

static enum zkt_err
trust_problem(const struct job *job, CURLcode result, struct problem *problem)
{
    char server[128];
    server_name(job, server, sizeof(server));
    enum zkt_err err = job->transfer->is_patient ? ZKT_UNREACHABLE : ZKT_CONFIG_INVALID;
    if (result == CURLE_SSL_CACERT_BADFILE) {
        return problem_set(problem, err, "[s3] ca_file: %s cannot be read as certificates",
                           job->transfer->ca_file);
    }
    return problem_set(
        problem, err, "[s3] ca_file: the certificate of %s does not hold by %s (%s)", server,
        job->transfer->ca_file != NULL ? job->transfer->ca_file : "the certificates of the system",
        job->error[0] != '\0' ? job->error : curl_easy_strerror(result));
}

static void
take_etag(const struct job *job)
{
    struct curl_header *header = NULL;
    if (job->etag != NULL &&
        curl_easy_header(job->curl, "ETag", 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
        snprintf(job->etag, TRANSFER_ETAG_SIZE, "%s", header->value);
    }
}

enum zkt_err
job_judge(struct job *job, CURLcode result, bool *may_pass, struct problem *problem)
{
    long status = status_of(job);
    curl_slist_free_all(job->headers);
    job->headers = NULL;
    *may_pass = false;
    if (job->is_cancelled) {
        return problem_set(problem, ZKT_CANCELLED, "cancelled");
    }
    if (job->file_errno != 0) {
        return file_problem(job, problem);
    }
    if (job->is_too_long) {
        return problem_set(problem, ZKT_IO, "more came than the %" PRId64 " bytes of the object",
                           job->total_bytes);
    }
    if (status >= 300 && (result == CURLE_OK || status < 500)) {
        *may_pass = is_passing(job, status);
        return status_problem(job, status, problem);
    }
    if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL) {
        return problem_set(problem, ZKT_INVALID, "not a URL to transfer with");
    }
    if (result == CURLE_PEER_FAILED_VERIFICATION ||
        (result == CURLE_SSL_CACERT_BADFILE && job->transfer->ca_file != NULL)) {
        *may_pass = job->transfer->is_patient;
        return trust_problem(job, result, problem);
    }
    if (!job->is_upload && status < 300 && job->answer_len > 0) {
        return problem_set(problem, ZKT_IO, "the object store cannot go on where it stopped");
    }
    if (result != CURLE_OK) {
        *may_pass = true;
        return problem_set(problem, ZKT_UNREACHABLE, "the object store cannot be reached: %s",
                           job->error[0] != '\0' ? job->error : curl_easy_strerror(result));
    }
    take_etag(job);
    return ZKT_OK;
}

int64_t
job_pause_ms(int64_t pause_ms, const void *seed)
{
    uint64_t mix = (uint64_t)clock_monotonic_ns() ^ (uint64_t)(uintptr_t)seed;
    mix = mix * UINT64_C(0x9e3779b97f4a7c15) >> 33;
    return pause_ms / 2 + (int64_t)(mix % (uint64_t)(pause_ms / 2 + 1));
}
