// One curl multi handle drives the requests of one s3_calls_run; the handle, with its connections,
// is kept in the server's idle lines, taken and put back by an atomic exchange. A request that is
// to be tried again waits outside of the handle until its time.
#include "object/s3_call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/uid.h"
#include "object/xml.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TOTAL_TIMEOUT_MS = 30000, // of a request whose body is in memory
    STALL_TIMEOUT_S = 30,     // of one that sends a file
    PAUSE_FIRST_MS = 200,
    POLL_MS = 200, // how soon an interruption is noticed
};

struct flight {
    struct s3_call *call;
    CURL *easy; // NULL: not under way
    struct curl_slist *headers;
    struct bytes url;
    char error[CURL_ERROR_SIZE];
    int64_t sent_bytes;
    int64_t next_ms; // monotonic: not before
    unsigned tries;
    bool is_done;
};

struct run {
    struct s3_server *server;
    const struct s3_key *key;
    CURLM *multi;
    struct flight *flights;
    size_t flights_count;
    unsigned random_state;
};

// ---- Of libcurl

static size_t
on_answer(char *data, size_t size, size_t count, void *arg)
{
    struct s3_call *call = arg;
    size_t len = size * count;
    if (call->answer.len + len > S3_CALL_ANSWER_MAX) {
        return 0;
    }
    bytes_append(&call->answer, data, len);
    return len;
}

// Takes the value behind "name:" if the line has that name.
static bool
header_is(const char *line, size_t len, const char *name, struct span *value)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':') {
        return false;
    }
    const char *from = line + name_len + 1;
    const char *to = line + len;
    while (from < to && (*from == ' ' || *from == '\t')) {
        from++;
    }
    while (to > from && (to[-1] == '\r' || to[-1] == '\n' || to[-1] == ' ')) {
        to--;
    }
    *value = span_of(from, (size_t)(to - from));
    return true;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
    struct s3_call *call = arg;
    size_t len = size * count;
    struct span value;
    char text[64];
    if (header_is(line, len, "etag", &value) && value.len < sizeof call->etag) {
        memcpy(call->etag, value.data, value.len);
        call->etag[value.len] = '\0';
    } else if (header_is(line, len, "last-modified", &value) && value.len < sizeof text) {
        memcpy(text, value.data, value.len);
        text[value.len] = '\0';
        call->modified_s = curl_getdate(text, NULL);
    } else if (header_is(line, len, "content-length", &value) && value.len < sizeof text) {
        memcpy(text, value.data, value.len);
        text[value.len] = '\0';
        call->length = strtoll(text, NULL, 10);
    }
    return len;
}

static size_t
on_send(char *data, size_t size, size_t count, void *arg)
{
    struct flight *flight = arg;
    const struct s3_call *call = flight->call;
    int64_t total = call->file_size > 0 ? call->file_size : (int64_t)call->body.len;
    int64_t rest = total - flight->sent_bytes;
    size_t len = (int64_t)(size * count) < rest ? size * count : (size_t)rest;
    if (call->file_size > 0 && len > 0) {
        ssize_t got = pread(call->fd, data, len, call->file_offset + flight->sent_bytes);
        if (got <= 0) {
            return CURL_READFUNC_ABORT;
        }
        len = (size_t)got;
    } else if (len > 0) {
        memcpy(data, call->body.data + flight->sent_bytes, len);
    }
    flight->sent_bytes += (int64_t)len;
    return len;
}

static int
on_seek(void *arg, curl_off_t offset, int origin)
{
    struct flight *flight = arg;
    if (origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    flight->sent_bytes = offset;
    return CURL_SEEKFUNC_OK;
}

// ---- Going out

static void
add_header(void *arg, const char *line)
{
    struct flight *flight = arg;
    struct curl_slist *headers = curl_slist_append(flight->headers, line);
    zkt_assert(headers != NULL);
    flight->headers = headers;
}

static void
body_sha256(const struct s3_call *call, char hex[S3_HEX_SIZE])
{
    uint8_t digest[S3_DIGEST_BYTES];
    int done = EVP_Digest(call->body.data, call->body.len, digest, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    hex_format(digest, sizeof digest, hex);
}

static void
body_md5(const struct s3_call *call, char base64[32])
{
    uint8_t digest[16];
    int done = EVP_Digest(call->body.data, call->body.len, digest, NULL, EVP_md5(), NULL);
    zkt_assert(done == 1);
    EVP_EncodeBlock((unsigned char *)base64, digest, sizeof digest);
}

static void
sign(struct run *run, struct flight *flight)
{
    const struct s3_call *call = flight->call;
    struct s3_param headers[2];
    size_t headers_count = 0;
    char hex[S3_HEX_SIZE] = S3_EMPTY_SHA256;
    char base64[32];
    if (call->content_type != NULL) {
        headers[headers_count++] = (struct s3_param){"Content-Type", call->content_type};
    }
    if (call->has_md5) {
        body_md5(call, base64);
        headers[headers_count++] = (struct s3_param){"Content-MD5", base64};
    }
    for (size_t i = 0; i < headers_count; i++) {
        char *line = xasprintf("%s: %s", headers[i].name, headers[i].value);
        add_header(flight, line);
        free(line);
    }
    if (call->content_type == NULL) {
        add_header(flight, "Content-Type:"); // libcurl adds none of its own
    }
    add_header(flight, "Expect:");
    if (call->body.len > 0) {
        body_sha256(call, hex);
    }
    const struct s3_request request = {
        .method = call->method,
        .host = run->server->host,
        .path = call->path,
        .params = call->params,
        .params_count = call->params_count,
        .headers = headers,
        .headers_count = headers_count,
    };
    s3_sign_headers(run->key, &request, call->file_size > 0 ? call->file_sha256 : hex,
                    clock_wall_ms() / 1000, add_header, flight);
    bytes_clear(&flight->url);
    bytes_append_text(&flight->url, run->server->address);
    s3_target(&request, &flight->url);
}

static void
set_body(struct flight *flight)
{
    const struct s3_call *call = flight->call;
    CURL *easy = flight->easy;
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    bool has_body = strcmp(call->method, "PUT") == 0 || strcmp(call->method, "POST") == 0;
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(easy, CURLOPT_READDATA, flight);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, flight);
        curl_easy_setopt(
            easy, CURLOPT_INFILESIZE_LARGE,
            (curl_off_t)(call->file_size > 0 ? call->file_size : (int64_t)call->body.len));
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void
begin(struct run *run, struct flight *flight)
{
    struct s3_call *call = flight->call;
    bytes_clear(&call->answer);
    call->status = 0;
    call->length = -1;
    call->modified_s = -1;
    call->etag[0] = '\0';
    call->code[0] = '\0';
    flight->sent_bytes = 0;
    flight->tries++;
    sign(run, flight);
    CURL *easy = curl_easy_init();
    zkt_assert(easy != NULL);
    flight->easy = easy;
    flight->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, flight->error);
    curl_easy_setopt(easy, CURLOPT_URL, bytes_text(&flight->url));
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, flight->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, flight);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    if (call->file_size > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
    } else {
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                         call->timeout_ms > 0 ? (long)call->timeout_ms : (long)TOTAL_TIMEOUT_MS);
    }
    if (run->server->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, run->server->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); // and none of the system's
    }
    set_body(flight);
    CURLMcode added = curl_multi_add_handle(run->multi, easy);
    zkt_assert(added == CURLM_OK);
}

static void
land(struct run *run, struct flight *flight)
{
    if (flight->easy != NULL) {
        curl_multi_remove_handle(run->multi, flight->easy);
        curl_easy_cleanup(flight->easy);
        flight->easy = NULL;
    }
    curl_slist_free_all(flight->headers);
    flight->headers = NULL;
}

// ---- What came back

struct server_error {
    struct s3_call *call;
    char message[256];
};

static bool
on_error_end(void *arg, const char *path, const char *text)
{
    struct server_error *error = arg;
    if (strcmp(path, "/Error/Code") == 0) {
        snprintf(error->call->code, sizeof error->call->code, "%s", text);
    } else if (strcmp(path, "/Error/Message") == 0) {
        snprintf(error->message, sizeof error->message, "%s", text);
    }
    return true;
}

static void
make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == '"' || *text == 0x7f) {
            *text = '\'';
        }
    }
}

static enum zkt_err
err_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return ZKT_DENIED;
    case 404:
        return ZKT_NOT_FOUND;
    default:
        return ZKT_INVALID;
    }
}

static bool
is_status_passing(long status)
{
    return status >= 500 || status == 429 || status == 408;
}

void
s3_call_explain(struct s3_call *call)
{
    struct server_error error = {.call = call};
    const struct xml_events events = {.on_end = on_error_end};
    if (call->answer.len > 0 &&
        xml_read(bytes_span(&call->answer), &events, &error, NULL) != ZKT_OK) {
        snprintf(error.message, sizeof error.message, "%.*s",
                 (int)(call->answer.len < 200 ? call->answer.len : 200),
                 (const char *)call->answer.data);
    }
    make_printable(call->code);
    make_printable(error.message);
    call->err = is_status_passing(call->status) ? ZKT_UNREACHABLE : err_of_status(call->status);
    problem_set(&call->problem, call->err, "%s %s: HTTP %ld%s%s%s%s", call->method, call->path,
                call->status, call->code[0] != '\0' ? " " : "", call->code,
                error.message[0] != '\0' ? ": " : "", error.message);
    if (!is_status_passing(call->status) && !(call->may_miss && call->status == 404)) {
        log_warn("OBJECT-STORE-REFUSED",
                 "method=%s path=\"%s\" status=%ld code=\"%s\" message=\"%s\"", call->method,
                 call->path, call->status, call->code, error.message);
    }
}

// False: no sense in trying again.
static bool
is_passing(const struct s3_call *call, CURLcode code)
{
    if (code == CURLE_OK) {
        return is_status_passing(call->status);
    }
    return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL &&
           code != CURLE_SSL_CACERT_BADFILE && code != CURLE_PEER_FAILED_VERIFICATION &&
           code != CURLE_WRITE_ERROR && code != CURLE_ABORTED_BY_CALLBACK;
}

static void
finish(struct run *run, struct flight *flight, CURLcode code)
{
    struct s3_call *call = flight->call;
    curl_easy_getinfo(flight->easy, CURLINFO_RESPONSE_CODE, &call->status);
    land(run, flight);
    // S3 may tell of a failure behind a 200 that it has already sent (CompleteMultipartUpload):
    // who makes such a call looks at the answer.
    if (code == CURLE_OK && call->status >= 200 && call->status < 300) {
        call->err = ZKT_OK;
        flight->is_done = true;
        return;
    }
    if (code == CURLE_OK) {
        s3_call_explain(call);
    } else {
        call->err = is_passing(call, code) ? ZKT_UNREACHABLE : ZKT_IO;
        call->is_untrusted =
            code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
        problem_set(&call->problem, call->err, "%s %s: %s", call->method, run->server->address,
                    flight->error[0] != '\0' ? flight->error : curl_easy_strerror(code));
    }
    flight->is_done = !is_passing(call, code) || flight->tries >= S3_CALL_TRIES;
    int64_t pause_ms = (int64_t)PAUSE_FIRST_MS << flight->tries;
    flight->next_ms =
        clock_monotonic_ms() + pause_ms / 2 + rand_r(&run->random_state) % (pause_ms / 2 + 1);
}

// ---- Running

static bool
begin_due(struct run *run, int64_t *next_ms)
{
    size_t under_way_count = 0;
    bool is_done = true;
    *next_ms = INT64_MAX;
    for (size_t i = 0; i < run->flights_count; i++) {
        under_way_count += run->flights[i].easy != NULL;
    }
    for (size_t i = 0; i < run->flights_count; i++) {
        struct flight *flight = &run->flights[i];
        is_done = is_done && flight->is_done;
        if (flight->is_done || flight->easy != NULL) {
            continue;
        }
        if (flight->next_ms <= clock_monotonic_ms() && under_way_count < S3_CALLS_AT_ONCE) {
            begin(run, flight);
            under_way_count++;
        } else if (flight->next_ms < *next_ms) {
            *next_ms = flight->next_ms;
        }
    }
    return !is_done;
}

static void
take_finished(struct run *run)
{
    CURLMsg *message;
    int rest;
    while ((message = curl_multi_info_read(run->multi, &rest)) != NULL) {
        struct flight *flight = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&flight);
            finish(run, flight, code);
        }
    }
}

static void
cancel(struct run *run)
{
    for (size_t i = 0; i < run->flights_count; i++) {
        struct flight *flight = &run->flights[i];
        if (!flight->is_done) {
            land(run, flight);
            flight->call->err = problem_set(&flight->call->problem, ZKT_CANCELLED, "at the end");
        }
    }
}

static void
run_all(struct run *run)
{
    int64_t next_ms;
    int under_way_count;
    while (begin_due(run, &next_ms)) {
        if (atomic_load(&run->server->is_interrupted)) {
            cancel(run);
            return;
        }
        curl_multi_perform(run->multi, &under_way_count);
        take_finished(run);
        int64_t wait_ms = next_ms - clock_monotonic_ms();
        wait_ms = wait_ms < 0 ? 0 : wait_ms;
        bool is_idle = true;
        for (size_t i = 0; i < run->flights_count; i++) {
            is_idle = is_idle && run->flights[i].easy == NULL;
        }
        if (is_idle && next_ms == INT64_MAX) {
            continue; // all are done, or new ones may begin
        }
        curl_multi_poll(run->multi, NULL, 0, wait_ms < POLL_MS ? (int)wait_ms : POLL_MS, NULL);
    }
}

static CURLM *
take_line(struct s3_server *server)
{
    for (size_t i = 0; i < S3_CALL_LINES; i++) {
        CURLM *multi = atomic_exchange(&server->lines[i], NULL);
        if (multi != NULL) {
            return multi;
        }
    }
    CURLM *multi = curl_multi_init();
    zkt_assert(multi != NULL);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)S3_CALLS_AT_ONCE);
    return multi;
}

static void
give_line(struct s3_server *server, CURLM *multi)
{
    for (size_t i = 0; i < S3_CALL_LINES && multi != NULL; i++) {
        multi = atomic_exchange(&server->lines[i], multi);
    }
    if (multi != NULL) {
        curl_multi_cleanup(multi);
    }
}

enum zkt_err
s3_calls_run(struct s3_server *server, const struct s3_key *key, struct s3_call *calls,
             size_t calls_count, struct problem *problem)
{
    struct uid random;
    uid_random(&random);
    struct run run = {
        .server = server,
        .key = key,
        .multi = take_line(server),
        .flights = xcalloc(calls_count + 1, sizeof(struct flight)),
        .flights_count = calls_count,
        .random_state = (unsigned)uid_hash(&random),
    };
    for (size_t i = 0; i < calls_count; i++) {
        run.flights[i].call = &calls[i];
        calls[i].err = ZKT_OK;
        calls[i].problem = (struct problem){.code = ZKT_OK};
    }
    run_all(&run);
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; i < calls_count; i++) {
        if (err == ZKT_OK && calls[i].err != ZKT_OK) {
            err = problem_set(problem, calls[i].err, "%s", calls[i].problem.text);
        }
        bytes_fini(&run.flights[i].url);
    }
    free(run.flights);
    give_line(server, run.multi);
    return err;
}

void
s3_call_fini(struct s3_call *call)
{
    bytes_fini(&call->answer);
}

void
s3_server_fini(struct s3_server *server)
{
    for (size_t i = 0; i < S3_CALL_LINES; i++) {
        CURLM *multi = atomic_exchange(&server->lines[i], NULL);
        if (multi != NULL) {
            curl_multi_cleanup(multi);
        }
    }
}
