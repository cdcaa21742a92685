// What is asked, in AWS's words: a container's service by one GET; an instance's (IMDSv2) by a PUT
// for a session token, a GET for the name of the role and a GET for its keys. Both answer JSON.
#include "object/s3_credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "wire/json.h"

enum {
    CONNECT_TIMEOUT_MS = 1000,
    TOTAL_TIMEOUT_MS = 5000,
    ANSWER_MAX = 64 << 10,
    TOKEN_FILE_MAX = 16 << 10,
};

static const char CONTAINER_HOST[] = "http://169.254.170.2";
static const char INSTANCE_HOST[] = "http://169.254.169.254";
static const char TOKEN_PATH[] = "/latest/api/token";
static const char ROLE_PATH[] = "/latest/meta-data/iam/security-credentials/";

struct fetch {
    const char *method;
    char *url;    // owned
    char *header; // owned; NULL: none
    struct bytes answer;
    const atomic_bool *is_interrupted;
};

// ---- HTTP

static size_t
on_answer(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t len = size * count;
    if (fetch->answer.len + len > ANSWER_MAX) {
        return 0;
    }
    bytes_append(&fetch->answer, data, len);
    return len;
}

static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct fetch *fetch = arg;
    (void)a, (void)b, (void)c, (void)d;
    return fetch->is_interrupted != NULL && atomic_load(fetch->is_interrupted);
}

static enum zkt_err
fetch_run(struct fetch *fetch, struct problem *problem)
{
    CURL *easy = curl_easy_init();
    struct curl_slist *headers =
        fetch->header != NULL ? curl_slist_append(NULL, fetch->header) : NULL;
    long status = 0;
    zkt_assert(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_URL, fetch->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, fetch->method);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TOTAL_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, fetch);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        return problem_set(problem, ZKT_UNREACHABLE, "%s %s: %s", fetch->method, fetch->url,
                           curl_easy_strerror(code));
    }
    if (status < 200 || status > 299) {
        return problem_set(problem, status >= 500 ? ZKT_UNREACHABLE : ZKT_DENIED, "%s %s: HTTP %ld",
                           fetch->method, fetch->url, status);
    }
    return ZKT_OK;
}

static void
fetch_fini(struct fetch *fetch)
{
    free(fetch->url);
    free(fetch->header);
    OPENSSL_cleanse(fetch->answer.data, fetch->answer.len);
    bytes_fini(&fetch->answer);
}

// The first line of an answer of one word.
static char *
first_line(struct fetch *fetch)
{
    char *text = bytes_text(&fetch->answer);
    text[strcspn(text, "\r\n \t")] = '\0';
    return text;
}

// ---- Keys

static char *
copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
}

static struct s3_credentials *
credentials_new(const char *access, const char *secret, const char *token, const char *region)
{
    struct s3_credentials *credentials = xcalloc(1, sizeof *credentials);
    credentials->key = (struct s3_key){
        .access = xstrdup(access),
        .secret = xstrdup(secret),
        .region = xstrdup(region),
        .token = copy(token),
    };
    credentials->expires_ms = INT64_MAX;
    return credentials;
}

// The text of a member, or NULL; borrowed from the value's arena.
static const char *
member_text(const struct value *map, const char *name)
{
    const struct value *value = value_get(map, name);
    return value != NULL && value->type == VALUE_STRING ? value->text : NULL;
}

// "2026-11-24T15:00:00Z".
static bool
parse_time(const char *text, int64_t *time_ms)
{
    struct tm utc = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (end == NULL) {
        return false;
    }
    *time_ms = (int64_t)timegm(&utc) * 1000;
    return true;
}

static enum zkt_err
read_keys(struct fetch *fetch, const char *region, struct s3_credentials **credentials,
          struct problem *problem)
{
    struct arena arena;
    struct value answer;
    arena_init(&arena);
    enum zkt_err err = json_parse(bytes_span(&fetch->answer), &arena, &answer, problem);
    if (err == ZKT_OK && answer.type == VALUE_MAP) {
        const char *access = member_text(&answer, "AccessKeyId");
        const char *secret = member_text(&answer, "SecretAccessKey");
        const char *token = member_text(&answer, "Token");
        const char *expires = member_text(&answer, "Expiration");
        int64_t expires_ms = INT64_MAX;
        if (access == NULL || secret == NULL ||
            (expires != NULL && !parse_time(expires, &expires_ms))) {
            err = problem_set(problem, ZKT_INVALID, "%s: no keys in the answer", fetch->url);
        } else {
            *credentials = credentials_new(access, secret, token, region);
            (*credentials)->expires_ms = expires_ms;
        }
    } else {
        err = problem_set(problem, ZKT_INVALID, "%s: the answer is no JSON map", fetch->url);
    }
    arena_fini(&arena);
    return err;
}

// The token of a container's request; NULL: none. For the caller to free.
static enum zkt_err
container_token(const struct s3_credential_options *options, char **token, struct problem *problem)
{
    char text[TOKEN_FILE_MAX];
    *token = copy(options->container_token);
    if (options->container_token_file == NULL) {
        return ZKT_OK;
    }
    int fd = open(options->container_token_file, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd != -1 ? read(fd, text, sizeof text - 1) : -1;
    enum zkt_err err = ZKT_OK;
    if (len == -1) {
        err =
            problem_set(problem, ZKT_IO, "%s: %s", options->container_token_file, strerror(errno));
    } else {
        text[len] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        free(*token);
        *token = xstrdup(text);
    }
    if (fd != -1) {
        close(fd);
    }
    return err;
}

static enum zkt_err
ask_container(const struct s3_credential_options *options, const atomic_bool *is_interrupted,
              struct s3_credentials **credentials, struct problem *problem)
{
    struct fetch fetch = {.method = "GET", .is_interrupted = is_interrupted};
    char *token = NULL;
    fetch.url = options->container_relative_uri != NULL
                    ? xasprintf("%s%s", CONTAINER_HOST, options->container_relative_uri)
                    : xstrdup(options->container_full_uri);
    enum zkt_err err = container_token(options, &token, problem);
    if (err == ZKT_OK && token != NULL) {
        fetch.header = xasprintf("Authorization: %s", token);
    }
    if (err == ZKT_OK) {
        err = fetch_run(&fetch, problem);
    }
    if (err == ZKT_OK) {
        err = read_keys(&fetch, options->region, credentials, problem);
    }
    if (err == ZKT_OK) {
        (*credentials)->source = "container";
    }
    free(token);
    fetch_fini(&fetch);
    return err;
}

static enum zkt_err
ask_instance(const struct s3_credential_options *options, const atomic_bool *is_interrupted,
             struct s3_credentials **credentials, struct problem *problem)
{
    const char *host =
        options->metadata_endpoint != NULL ? options->metadata_endpoint : INSTANCE_HOST;
    struct fetch token = {.method = "PUT", .is_interrupted = is_interrupted};
    struct fetch role = {.method = "GET", .is_interrupted = is_interrupted};
    struct fetch keys = {.method = "GET", .is_interrupted = is_interrupted};
    token.url = xasprintf("%s%s", host, TOKEN_PATH);
    token.header = xstrdup("X-aws-ec2-metadata-token-ttl-seconds: 300");
    enum zkt_err err = fetch_run(&token, problem);
    if (err == ZKT_OK) {
        role.url = xasprintf("%s%s", host, ROLE_PATH);
        role.header = xasprintf("X-aws-ec2-metadata-token: %s", first_line(&token));
        err = fetch_run(&role, problem);
    }
    if (err == ZKT_OK) {
        keys.url = xasprintf("%s%s%s", host, ROLE_PATH, first_line(&role));
        keys.header = xstrdup(role.header);
        err = fetch_run(&keys, problem);
    }
    if (err == ZKT_OK) {
        err = read_keys(&keys, options->region, credentials, problem);
    }
    if (err == ZKT_OK) {
        (*credentials)->source = "instance";
    }
    fetch_fini(&token);
    fetch_fini(&role);
    fetch_fini(&keys);
    return err;
}

enum zkt_err
s3_credentials_fetch(const struct s3_credential_options *options, const atomic_bool *is_interrupted,
                     struct s3_credentials **credentials, struct problem *problem)
{
    bool has_container =
        options->container_relative_uri != NULL || options->container_full_uri != NULL;
    enum zkt_err err = ZKT_CONFIG_INVALID;
    *credentials = NULL;
    if (options->uses_roles && has_container) {
        err = ask_container(options, is_interrupted, credentials, problem);
    }
    if (options->uses_roles && err != ZKT_OK) {
        struct problem second = {.code = ZKT_OK};
        enum zkt_err instance_err = ask_instance(options, is_interrupted, credentials, &second);
        if (instance_err != ZKT_OK && has_container) {
            problem_in(&second, "%s; ", problem->text);
        }
        if (instance_err != ZKT_OK) {
            problem_set(problem, instance_err, "%s", second.text);
        }
        err = instance_err;
    }
    if (err != ZKT_OK && options->access != NULL && options->secret != NULL) {
        *credentials =
            credentials_new(options->access, options->secret, options->token, options->region);
        (*credentials)->source = "keys";
        return ZKT_OK;
    }
    if (err == ZKT_CONFIG_INVALID) {
        problem_set(problem, err,
                    "[s3] access_key and secret_key are missing. Write them, set "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set iam_auth = yes");
    }
    return err;
}

static void
wipe(const char *text)
{
    if (text != NULL) {
        char *own = (char *)(uintptr_t)text;
        OPENSSL_cleanse(own, strlen(own));
        free(own);
    }
}

void
s3_credentials_destroy(struct s3_credentials **credentials_p)
{
    struct s3_credentials *credentials = *credentials_p;
    *credentials_p = NULL;
    while (credentials != NULL) {
        struct s3_credentials *older = credentials->older;
        wipe(credentials->key.access);
        wipe(credentials->key.secret);
        wipe(credentials->key.region);
        wipe(credentials->key.token);
        free(credentials);
        credentials = older;
    }
}
