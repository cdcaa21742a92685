// Making signatures. Everything that a request has is signed, in the order that AWS wants.
#include "object/s3_sign_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/assert.h"

enum { OWN_PARAMS = 7, OWN_HEADERS = 4 };

static void
format_date(int64_t now_s, char date[S3_DATE_SIZE])
{
    struct tm utc;
    time_t now = (time_t)now_s;
    gmtime_r(&now, &utc);
    strftime(date, S3_DATE_SIZE, "%Y%m%dT%H%M%SZ", &utc);
}

static int
compare_names(const void *a, const void *b)
{
    return strcasecmp(((const struct s3_param *)a)->name, ((const struct s3_param *)b)->name);
}

// The lines and the names of headers; sorts them.
static void
header_lines(struct s3_param *headers, size_t headers_count, struct bytes *lines,
             struct bytes *names)
{
    qsort(headers, headers_count, sizeof(*headers), compare_names);
    for (size_t i = 0; i < headers_count; i++) {
        s3_header_line(lines, headers[i].name, headers[i].value);
        if (i > 0) {
            bytes_append_byte(names, ';');
        }
        for (const char *at = headers[i].name; *at != '\0'; at++) {
            bytes_append_byte(names, (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at));
        }
    }
}

static size_t
copy_headers(const struct s3_request *request, struct s3_param headers[S3_HEADERS_MAX])
{
    zkt_assert(request->headers_count + OWN_HEADERS <= S3_HEADERS_MAX);
    for (size_t i = 0; i < request->headers_count; i++) {
        headers[i] = request->headers[i];
    }
    headers[request->headers_count] = (struct s3_param){"host", request->host};
    return request->headers_count + 1;
}

static size_t
copy_params(const struct s3_request *request, struct s3_param params[S3_PARAMS_MAX])
{
    zkt_assert(request->params_count + OWN_PARAMS <= S3_PARAMS_MAX);
    for (size_t i = 0; i < request->params_count; i++) {
        params[i] = request->params[i];
    }
    return request->params_count;
}

static void
format_scope(const struct s3_key *key, const char *date, char scope[S3_SCOPE_SIZE])
{
    snprintf(scope, S3_SCOPE_SIZE, "%.8s/%s/s3/aws4_request", date, key->region);
}

void
s3_target(const struct s3_request *request, struct bytes *out)
{
    struct s3_param params[S3_PARAMS_MAX];
    size_t count = copy_params(request, params);
    s3_escape(out, request->path, true);
    if (count > 0) {
        bytes_append_byte(out, '?');
        s3_query(out, params, count);
    }
}

void
s3_presign(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
           int64_t expires_s, struct bytes *url)
{
    zkt_assert(expires_s > 0);
    zkt_assert(expires_s <= S3_EXPIRES_MAX_S);
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_param headers[S3_HEADERS_MAX];
    struct bytes lines = {0};
    struct bytes names = {0};
    char date[S3_DATE_SIZE];
    char scope[S3_SCOPE_SIZE];
    char credential[2 * S3_SCOPE_SIZE];
    char expires[24];
    char hex[S3_HEX_SIZE];
    uint8_t day_key[S3_DIGEST_BYTES];
    size_t count = copy_params(request, params);
    header_lines(headers, copy_headers(request, headers), &lines, &names);
    format_date(now_s, date);
    format_scope(key, date, scope);
    snprintf(credential, sizeof(credential), "%s/%s", key->access, scope);
    snprintf(expires, sizeof(expires), "%" PRId64, expires_s);
    params[count++] = (struct s3_param){"X-Amz-Algorithm", S3_ALGORITHM};
    params[count++] = (struct s3_param){"X-Amz-Credential", credential};
    params[count++] = (struct s3_param){"X-Amz-Date", date};
    params[count++] = (struct s3_param){"X-Amz-Expires", expires};
    if (key->token != NULL) {
        params[count++] = (struct s3_param){"X-Amz-Security-Token", key->token};
    }
    params[count++] = (struct s3_param){"X-Amz-SignedHeaders", bytes_text(&names)};
    s3_day_key(key->secret, date, key->region, day_key);
    const struct s3_terms terms = {.method = request->method,
                                   .path = request->path,
                                   .params = params,
                                   .params_count = count,
                                   .lines = &lines,
                                   .signed_names = bytes_text(&names),
                                   .payload = S3_UNSIGNED,
                                   .date = date,
                                   .scope = scope,
                                   .day_key = day_key};
    s3_signature(&terms, hex);
    s3_escape(url, request->path, true);
    bytes_append_byte(url, '?');
    s3_query(url, params, count);
    bytes_append_text(url, "&X-Amz-Signature=");
    bytes_append_text(url, hex);
    OPENSSL_cleanse(day_key, sizeof(day_key));
    bytes_fini(&lines);
    bytes_fini(&names);
}

static void
tell(void (*add)(void *arg, const char *line), void *arg, const char *name, const char *value)
{
    struct bytes line = {0};
    bytes_printf(&line, "%s: %s", name, value);
    add(arg, bytes_text(&line));
    bytes_fini(&line);
}

static void
tell_authorization(const struct s3_key *key, const struct s3_terms *terms,
                   void (*add)(void *arg, const char *line), void *arg)
{
    struct bytes line = {0};
    char hex[S3_HEX_SIZE];
    s3_signature(terms, hex);
    bytes_printf(&line, S3_ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s", key->access,
                 terms->scope, terms->signed_names, hex);
    tell(add, arg, "Authorization", bytes_text(&line));
    bytes_fini(&line);
}

void
s3_sign_headers(const struct s3_key *key, const struct s3_request *request, const char *payload,
                int64_t now_s, void (*add)(void *arg, const char *line), void *arg)
{
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_param headers[S3_HEADERS_MAX];
    struct bytes lines = {0};
    struct bytes names = {0};
    char date[S3_DATE_SIZE];
    char scope[S3_SCOPE_SIZE];
    uint8_t day_key[S3_DIGEST_BYTES];
    size_t count = copy_headers(request, headers);
    format_date(now_s, date);
    format_scope(key, date, scope);
    headers[count++] = (struct s3_param){"x-amz-content-sha256", payload};
    headers[count++] = (struct s3_param){"x-amz-date", date};
    if (key->token != NULL) {
        headers[count++] = (struct s3_param){"x-amz-security-token", key->token};
    }
    header_lines(headers, count, &lines, &names);
    s3_day_key(key->secret, date, key->region, day_key);
    const struct s3_terms terms = {.method = request->method,
                                   .path = request->path,
                                   .params = params,
                                   .params_count = copy_params(request, params),
                                   .lines = &lines,
                                   .signed_names = bytes_text(&names),
                                   .payload = payload,
                                   .date = date,
                                   .scope = scope,
                                   .day_key = day_key};
    tell(add, arg, "x-amz-content-sha256", payload);
    tell(add, arg, "x-amz-date", date);
    if (key->token != NULL) {
        tell(add, arg, "x-amz-security-token", key->token);
    }
    tell_authorization(key, &terms, add, arg);
    OPENSSL_cleanse(day_key, sizeof(day_key));
    bytes_fini(&lines);
    bytes_fini(&names);
}
