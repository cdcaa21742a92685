// The S3 store: opening, URLs, credentials. What it guarantees: presigning never waits; keys of the
// server never leave the broker. What it does not: that the server checked what a client sent. It
// would break if two brokers had the same prefix in one bucket: each would sweep the other's.
#include "object/object_s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "object/object_s3_internal.h"

enum {
    PREFIX_MAX = 512,
    RENEW_BEFORE_MS = 300000, // keys are renewed so long before they end
    RENEW_AGAIN_MS = 30000,
    CHECK_AGAIN_MS = 10000,
};

// ---- Names

void
object_s3_key(const struct object_s3 *s3, const struct uid *uid, char key[S3_KEY_SIZE])
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    snprintf(key, S3_KEY_SIZE, "%s%s", s3->prefix, text);
}

void
object_s3_path(const struct object_s3 *s3, const struct uid *uid, char path[S3_PATH_SIZE])
{
    char key[S3_KEY_SIZE];
    object_s3_key(s3, uid, key);
    snprintf(path, S3_PATH_SIZE, "/%s/%s", s3->bucket, key);
}

void
object_s3_bucket_path(const struct object_s3 *s3, char path[S3_PATH_SIZE])
{
    snprintf(path, S3_PATH_SIZE, "/%s", s3->bucket);
}

bool
object_s3_uid(const struct object_s3 *s3, struct span key, struct uid *uid)
{
    size_t prefix_len = strlen(s3->prefix);
    char text[UID_TEXT_SIZE];
    if (key.len != prefix_len + UID_TEXT_SIZE - 1 ||
        memcmp(key.data, s3->prefix, prefix_len) != 0 ||
        !uid_parse((const char *)key.data + prefix_len, UID_TEXT_SIZE - 1, uid)) {
        return false;
    }
    uid_format(uid, text); // a key in capital letters is another key
    return memcmp(text, key.data + prefix_len, UID_TEXT_SIZE - 1) == 0;
}

bool
object_s3_time(const char *text, int64_t *time_ms)
{
    struct tm utc = {0};
    if (strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) == NULL) {
        return false;
    }
    *time_ms = (int64_t)timegm(&utc) * 1000;
    return true;
}

// ---- Requests

static const struct s3_key *
key_of(const struct object_s3 *s3)
{
    return &atomic_load(&s3->credentials)->key;
}

enum zkt_err
object_s3_run(struct object_s3 *s3, struct s3_call *calls, size_t calls_count,
              struct problem *problem)
{
    return s3_calls_run(&s3->server, key_of(s3), calls, calls_count, problem);
}

enum zkt_err
object_s3_head(struct object_store *store, const struct uid *uid, struct object_info *info,
               struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    char path[S3_PATH_SIZE];
    object_s3_path(s3, uid, path);
    struct s3_call call = {.method = "HEAD", .path = path, .may_miss = true};
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK && (call.length < 0 || call.modified_s < 0)) {
        err = problem_set(problem, ZKT_IO, "HEAD %s: no Content-Length or Last-Modified", path);
    } else if (err == ZKT_OK) {
        *info = (struct object_info){
            .uid = *uid, .size = call.length, .modified_ms = call.modified_s * 1000};
    }
    s3_call_fini(&call);
    return err;
}

// ---- URLs

void
object_s3_presign(struct object_s3 *s3, const char *method, const struct uid *uid,
                  const struct s3_param *params, size_t params_count, int64_t now_s,
                  struct bytes *url)
{
    char path[S3_PATH_SIZE];
    object_s3_path(s3, uid, path);
    const struct s3_request request = {
        .method = method,
        .host = s3->public_host,
        .path = path,
        .params = params,
        .params_count = params_count,
    };
    bytes_append_text(url, s3->public_address);
    s3_presign(key_of(s3), &request, now_s, s3->url_ttl_s, url);
}

static enum zkt_err
presign_put(struct object_store *store, const struct object_info *object, const uint8_t sha256[32],
            int64_t now_s, struct bytes *url)
{
    (void)sha256;
    object_s3_presign(object_s3_of(store), "PUT", &object->uid, NULL, 0, now_s, url);
    return ZKT_OK;
}

static enum zkt_err
presign_get(struct object_store *store, const struct uid *uid, int64_t now_s, struct bytes *url)
{
    object_s3_presign(object_s3_of(store), "GET", uid, NULL, 0, now_s, url);
    return ZKT_OK;
}

// ---- Keys and the bucket over time

// New keys come to the front; the others stay for who is still using them.
static void
use_credentials(struct object_s3 *s3, struct s3_credentials *credentials)
{
    credentials->older = atomic_load(&s3->credentials);
    atomic_store(&s3->credentials, credentials);
    log_info("OBJECT-CREDENTIALS", "source=%s access=\"%s\" expires_ms=%" PRId64,
             credentials->source, credentials->key.access,
             credentials->expires_ms == INT64_MAX ? 0 : credentials->expires_ms);
}

// When the keys are to be renewed, in wall time: early, but at most halfway of short-lived ones.
static int64_t
renewal_ms(const struct s3_credentials *credentials, int64_t wall_ms)
{
    int64_t left_ms = credentials->expires_ms - wall_ms;
    return left_ms > 2 * RENEW_BEFORE_MS ? credentials->expires_ms - RENEW_BEFORE_MS
                                         : wall_ms + left_ms / 2;
}

static enum zkt_err
renew(struct object_s3 *s3, int64_t *next_ms, struct problem *problem)
{
    const struct s3_credentials *current = atomic_load(&s3->credentials);
    struct s3_credentials *fresh = NULL;
    enum zkt_err err =
        s3_credentials_fetch(&s3->credential_options, &s3->server.is_interrupted, &fresh, problem);
    // The fixed keys are for a start without a role, not for the middle of one.
    if (err == ZKT_OK && strcmp(fresh->source, current->source) != 0 &&
        strcmp(fresh->source, "keys") == 0) {
        s3_credentials_destroy(&fresh);
        err = problem_set(problem, ZKT_UNREACHABLE, "no service of roles answers");
    }
    if (err != ZKT_OK) {
        log_warn("OBJECT-CREDENTIALS-FAILED", "source=%s reason=\"%s\"", current->source,
                 problem->text);
        *next_ms = RENEW_AGAIN_MS;
        return err;
    }
    use_credentials(s3, fresh);
    int64_t wall_ms = clock_wall_ms();
    *next_ms = renewal_ms(fresh, wall_ms) - wall_ms;
    *next_ms = *next_ms > 1000 ? *next_ms : 1000;
    return ZKT_OK;
}

static enum zkt_err
tend(struct object_store *store, int64_t *due_ms, struct problem *problem)
{
    struct object_s3 *s3 = object_s3_of(store);
    const struct s3_credentials *credentials = atomic_load(&s3->credentials);
    int64_t next_ms = INT64_MAX; // from now
    enum zkt_err err = ZKT_OK;
    if (credentials->expires_ms != INT64_MAX) {
        next_ms = s3->next_renewal_ms - clock_monotonic_ms();
        if (next_ms <= 0) {
            err = renew(s3, &next_ms, problem);
            s3->next_renewal_ms = clock_monotonic_ms() + next_ms;
        }
    }
    if (err == ZKT_OK && !atomic_load(&s3->is_checked)) {
        err = object_s3_check(s3, problem);
        if (err != ZKT_OK) {
            log_error("OBJECT-STORE-AWAY", "address=%s bucket=%s reason=\"%s\"", s3->address,
                      s3->bucket, problem->text);
            next_ms = next_ms < CHECK_AGAIN_MS ? next_ms : CHECK_AGAIN_MS;
        }
    }
    if (next_ms != INT64_MAX) {
        *due_ms = clock_monotonic_ms() + next_ms;
    }
    return err;
}

// ---- Life

static void
interrupt(struct object_store *store)
{
    atomic_store(&object_s3_of(store)->server.is_interrupted, true);
}

static void
credential_options_fini(struct s3_credential_options *options)
{
    const char *const texts[] = {
        options->access,
        options->secret,
        options->token,
        options->region,
        options->container_token,
        options->container_relative_uri,
        options->container_full_uri,
        options->container_token_file,
        options->metadata_endpoint,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free((void *)(uintptr_t)texts[i]);
    }
}

static const char *
copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? xstrdup(text) : NULL;
}

static struct s3_credential_options
credential_options_copy(const struct s3_credential_options *options)
{
    return (struct s3_credential_options){
        .access = copy(options->access),
        .secret = copy(options->secret),
        .token = copy(options->token),
        .region = xstrdup(options->region),
        .uses_roles = options->uses_roles,
        .container_relative_uri = copy(options->container_relative_uri),
        .container_full_uri = copy(options->container_full_uri),
        .container_token = copy(options->container_token),
        .container_token_file = copy(options->container_token_file),
        .metadata_endpoint = copy(options->metadata_endpoint),
    };
}

static void
destroy(struct object_store *store)
{
    struct object_s3 *s3 = object_s3_of(store);
    struct s3_credentials *credentials = atomic_load(&s3->credentials);
    s3_server_fini(&s3->server);
    s3_credentials_destroy(&credentials);
    credential_options_fini(&s3->credential_options);
    free(s3->address);
    free(s3->host);
    free(s3->public_address);
    free(s3->public_host);
    free(s3->bucket);
    free(s3->prefix);
    free(s3->ca_file);
    free(s3);
}

static const struct object_store_ops s3_ops = {
    .presign_put = presign_put,
    .presign_get = presign_get,
    .head = object_s3_head,
    .delete = object_s3_delete,
    .list = object_s3_list,
    .multipart_begin = object_s3_begin,
    .presign_part = object_s3_presign_part,
    .multipart_complete = object_s3_complete,
    .multipart_abort = object_s3_abort,
    .list_pending = object_s3_list_pending,
    .delete_foreign = object_s3_delete_foreign,
    .tend = tend,
    .interrupt = interrupt,
    .destroy = destroy,
};

struct object_s3 *
object_s3_of(struct object_store *store)
{
    zkt_assert(store->ops == &s3_ops);
    return (struct object_s3 *)store;
}

// Splits "http://host:80/" into the address without the slash and the host that is signed: without
// the port if it is the default one, as libcurl sends it.
static enum zkt_err
split_address(const char *option, const char *text, char **address, char **host,
              struct problem *problem)
{
    bool is_plain = strncasecmp(text, "http://", 7) == 0;
    bool is_tls = strncasecmp(text, "https://", 8) == 0;
    const char *from = text + (is_tls ? 8 : 7);
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/') {
        len--;
    }
    if ((!is_plain && !is_tls) || text + len <= from ||
        memchr(from, '/', len - (size_t)(from - text)) || strpbrk(from, "?#@ ") != NULL) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "%s \"%s\": write http://HOST:PORT", option,
                           text);
    }
    *address = xmemdup(text, len);
    *host = xmemdup(from, len - (size_t)(from - text));
    char *port = strrchr(*host, ':');
    if (port != NULL && strcmp(port, is_tls ? ":443" : ":80") == 0) {
        *port = '\0';
    }
    return ZKT_OK;
}

static bool
is_bucket_name(const char *name)
{
    return name[0] != '\0' && strlen(name) <= 63 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
               strlen(name);
}

static enum zkt_err
take_options(struct object_s3 *s3, const struct object_s3_options *options, struct problem *problem)
{
    const char *public_address = options->public_address;
    if (options->address == NULL || options->address[0] == '\0') {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[s3] address is missing. Write http://HOST:PORT");
    }
    if (!is_bucket_name(options->bucket)) {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[s3] bucket \"%s\": write the name of a bucket", options->bucket);
    }
    if (strlen(options->prefix) > PREFIX_MAX || options->prefix[0] == '/') {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[object] prefix: at most %d characters, no slash in front", PREFIX_MAX);
    }
    enum zkt_err err =
        split_address("[s3] address", options->address, &s3->address, &s3->host, problem);
    if (err == ZKT_OK) {
        err = split_address("[object] public_address",
                            public_address != NULL && public_address[0] != '\0' ? public_address
                                                                                : options->address,
                            &s3->public_address, &s3->public_host, problem);
    }
    s3->bucket = xstrdup(options->bucket);
    s3->prefix = xstrdup(options->prefix);
    s3->ca_file =
        options->ca_file != NULL && options->ca_file[0] != '\0' ? xstrdup(options->ca_file) : NULL;
    s3->url_ttl_s = options->url_ttl_s < S3_EXPIRES_MAX_S ? options->url_ttl_s : S3_EXPIRES_MAX_S;
    s3->makes_bucket = options->makes_bucket;
    s3->deletes_null_versions = options->deletes_null_versions;
    s3->credential_options = credential_options_copy(&options->credentials);
    s3->server.address = s3->address;
    s3->server.host = s3->host;
    s3->server.ca_file = s3->ca_file;
    return err;
}

static enum zkt_err
look(struct object_s3 *s3, struct problem *problem)
{
    enum zkt_err err = object_s3_check(s3, problem);
    if (err == ZKT_UNREACHABLE) {
        log_error("OBJECT-STORE-AWAY", "address=%s bucket=%s reason=\"%s\"", s3->address,
                  s3->bucket, problem->text);
        return ZKT_OK;
    }
    return err;
}

enum zkt_err
object_s3_open(const struct object_s3_options *options, struct object_store **store,
               struct problem *problem)
{
    zkt_assert(options->url_ttl_s > 0);
    struct object_s3 *s3 = xcalloc(1, sizeof *s3);
    struct s3_credentials *credentials = NULL;
    s3->store = (struct object_store){.ops = &s3_ops, .kind = "s3"};
    *store = &s3->store;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum zkt_err err = take_options(s3, options, problem);
    if (err == ZKT_OK) {
        err = s3_credentials_fetch(&s3->credential_options, &s3->server.is_interrupted,
                                   &credentials, problem);
    }
    if (err == ZKT_OK) {
        use_credentials(s3, credentials);
        int64_t wall_ms = clock_wall_ms();
        if (credentials->expires_ms != INT64_MAX) {
            s3->next_renewal_ms = clock_monotonic_ms() + renewal_ms(credentials, wall_ms) - wall_ms;
        }
        err = look(s3, problem);
    }
    if (err != ZKT_OK) {
        object_store_destroy(store);
    }
    return err;
}
