// Signature Version 4 as AWS documents it for query authentication. The canonical request is
// rebuilt from decoded parameters, so that it does not matter how a client escaped them.
#include "object/s3_sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

enum { DIGEST_BYTES = 32, DIGEST_HEX_SIZE = 65, DATE_SIZE = 17, SCOPE_SIZE = 128, OWN_PARAMS = 6 };

static const char ALGORITHM[] = "AWS4-HMAC-SHA256";

static void
append_escaped(struct bytes *out, const char *text, bool keep_slash)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool is_plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                        (*at >= '0' && *at <= '9') || *at == '-' || *at == '_' || *at == '.' ||
                        *at == '~' || (keep_slash && *at == '/');
        if (is_plain) {
            bytes_append_byte(out, *at);
        } else {
            bytes_printf(out, "%%%02X", *at);
        }
    }
}

static void
to_hex(const uint8_t digest[DIGEST_BYTES], char hex[DIGEST_HEX_SIZE])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

static void
hmac(const void *key, size_t key_len, const void *data, size_t data_len,
     uint8_t digest[DIGEST_BYTES])
{
    unsigned digest_len = 0;
    unsigned char *done =
        HMAC(EVP_sha256(), key, (int)key_len, data, data_len, digest, &digest_len);
    zkt_assert(done != NULL);
    zkt_assert(digest_len == DIGEST_BYTES);
}

static void
hmac_text(uint8_t key[DIGEST_BYTES], const char *text)
{
    uint8_t next[DIGEST_BYTES];
    hmac(key, DIGEST_BYTES, text, strlen(text), next);
    memcpy(key, next, DIGEST_BYTES);
}

// The key of one day, region and service.
static void
signing_key(const struct s3_key *key, const char *date, uint8_t out[DIGEST_BYTES])
{
    struct bytes first = {0};
    char day[9];
    snprintf(day, sizeof(day), "%.8s", date);
    bytes_printf(&first, "AWS4%s", key->secret);
    hmac(first.data, first.len, day, strlen(day), out);
    OPENSSL_cleanse(first.data, first.len);
    bytes_fini(&first);
    hmac_text(out, key->region);
    hmac_text(out, "s3");
    hmac_text(out, "aws4_request");
}

// Names and values are compared as they are escaped, which for them is the order of bytes.
static int
compare_params(const void *a, const void *b)
{
    const struct s3_param *left = a;
    const struct s3_param *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : strcmp(left->value, right->value);
}

static void
append_query(struct bytes *out, struct s3_param *params, size_t params_count)
{
    qsort(params, params_count, sizeof(*params), compare_params);
    for (size_t i = 0; i < params_count; i++) {
        if (i > 0) {
            bytes_append_byte(out, '&');
        }
        append_escaped(out, params[i].name, false);
        bytes_append_byte(out, '=');
        append_escaped(out, params[i].value, false);
    }
}

// params: all but the signature; sorted here.
static void
signature_of(const struct s3_key *key, const struct s3_request *request, struct s3_param *params,
             size_t params_count, char hex[DIGEST_HEX_SIZE])
{
    const struct s3_request sorted = {.params = params, .params_count = params_count};
    const char *date = s3_param_value(&sorted, "X-Amz-Date");
    struct bytes text = {0};
    uint8_t digest[DIGEST_BYTES];
    uint8_t day_key[DIGEST_BYTES];
    bytes_printf(&text, "%s\n", request->method);
    append_escaped(&text, request->path, true);
    bytes_append_byte(&text, '\n');
    append_query(&text, params, params_count);
    bytes_printf(&text, "\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", request->host);
    int done = EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    to_hex(digest, hex);
    bytes_clear(&text);
    bytes_printf(&text, "%s\n%s\n%.8s/%s/s3/aws4_request\n%s", ALGORITHM, date, date, key->region,
                 hex);
    signing_key(key, date, day_key);
    hmac(day_key, sizeof(day_key), text.data, text.len, digest);
    to_hex(digest, hex);
    OPENSSL_cleanse(day_key, sizeof(day_key));
    bytes_fini(&text);
}

void
s3_presign(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
           int64_t expires_s, struct bytes *url)
{
    zkt_assert(request->params_count + OWN_PARAMS <= S3_PARAMS_MAX);
    zkt_assert(expires_s > 0);
    zkt_assert(expires_s <= S3_EXPIRES_MAX_S);
    struct s3_param params[S3_PARAMS_MAX];
    char date[DATE_SIZE];
    char credential[SCOPE_SIZE];
    char expires[24];
    char hex[DIGEST_HEX_SIZE];
    struct tm utc;
    time_t now = (time_t)now_s;
    gmtime_r(&now, &utc);
    strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &utc);
    snprintf(credential, sizeof(credential), "%s/%.8s/%s/s3/aws4_request", key->access, date,
             key->region);
    snprintf(expires, sizeof(expires), "%" PRId64, expires_s);
    size_t count = request->params_count;
    if (count > 0) {
        memcpy(params, request->params, count * sizeof(*params));
    }
    params[count++] = (struct s3_param){"X-Amz-Algorithm", ALGORITHM};
    params[count++] = (struct s3_param){"X-Amz-Credential", credential};
    params[count++] = (struct s3_param){"X-Amz-Date", date};
    params[count++] = (struct s3_param){"X-Amz-Expires", expires};
    params[count++] = (struct s3_param){"X-Amz-SignedHeaders", "host"};
    signature_of(key, request, params, count, hex);
    append_escaped(url, request->path, true);
    bytes_append_byte(url, '?');
    append_query(url, params, count);
    bytes_printf(url, "&X-Amz-Signature=%s", hex);
}

const char *
s3_param_value(const struct s3_request *request, const char *name)
{
    for (size_t i = 0; i < request->params_count; i++) {
        if (strcmp(request->params[i].name, name) == 0) {
            return request->params[i].value;
        }
    }
    return NULL;
}

static bool
parse_number(const char *text, size_t len, int64_t max, int64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *number = *number * 10 + (text[i] - '0');
        if (*number > max) {
            return false;
        }
    }
    return len > 0;
}

// "20130524T000000Z" as seconds.
static bool
parse_date(const char *text, int64_t *date_s)
{
    static const struct {
        size_t at;
        size_t len;
    } parts[] = {{0, 4}, {4, 2}, {6, 2}, {9, 2}, {11, 2}, {13, 2}};
    int64_t numbers[6];
    if (strlen(text) != DATE_SIZE - 1 || text[8] != 'T' || text[15] != 'Z') {
        return false;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parse_number(text + parts[i].at, parts[i].len, 9999, &numbers[i])) {
            return false;
        }
    }
    if (numbers[0] < 1970 || numbers[1] < 1 || numbers[1] > 12 || numbers[2] < 1 ||
        numbers[2] > 31 || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 60) {
        return false;
    }
    struct tm utc = {
        .tm_year = (int)numbers[0] - 1900,
        .tm_mon = (int)numbers[1] - 1,
        .tm_mday = (int)numbers[2],
        .tm_hour = (int)numbers[3],
        .tm_min = (int)numbers[4],
        .tm_sec = (int)numbers[5],
    };
    *date_s = timegm(&utc);
    return true;
}

static enum zkt_err
denied(struct problem *problem, const char *why)
{
    return problem_set(problem, ZKT_DENIED, "%s", why);
}

// Everything but the signature itself.
static enum zkt_err
check_terms(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
            struct problem *problem)
{
    const char *algorithm = s3_param_value(request, "X-Amz-Algorithm");
    const char *credential = s3_param_value(request, "X-Amz-Credential");
    const char *date = s3_param_value(request, "X-Amz-Date");
    const char *expires = s3_param_value(request, "X-Amz-Expires");
    const char *headers = s3_param_value(request, "X-Amz-SignedHeaders");
    char own_credential[SCOPE_SIZE];
    int64_t date_s = 0;
    int64_t expires_s = 0;
    if (algorithm == NULL || credential == NULL || date == NULL || expires == NULL ||
        headers == NULL) {
        return denied(problem, "the URL is not signed");
    }
    if (strcmp(algorithm, ALGORITHM) != 0 || strcmp(headers, "host") != 0) {
        return denied(problem, "the URL is signed in another way");
    }
    if (!parse_date(date, &date_s) ||
        !parse_number(expires, strlen(expires), S3_EXPIRES_MAX_S, &expires_s)) {
        return denied(problem, "the dates of the URL are malformed");
    }
    snprintf(own_credential, sizeof(own_credential), "%s/%.8s/%s/s3/aws4_request", key->access,
             date, key->region);
    if (strcmp(credential, own_credential) != 0) {
        return denied(problem, "the URL is signed with another key");
    }
    if (date_s > now_s + S3_SKEW_S) {
        return denied(problem, "the URL is not good yet");
    }
    if (now_s > date_s + expires_s) {
        return denied(problem, "the URL has expired");
    }
    return ZKT_OK;
}

enum zkt_err
s3_verify(const struct s3_key *key, const struct s3_request *request, int64_t now_s,
          struct problem *problem)
{
    const char *signature = s3_param_value(request, "X-Amz-Signature");
    struct s3_param params[S3_PARAMS_MAX];
    size_t params_count = 0;
    char hex[DIGEST_HEX_SIZE];
    if (request->params_count > S3_PARAMS_MAX) {
        return denied(problem, "the URL has too many parameters");
    }
    if (signature == NULL || strlen(signature) != DIGEST_HEX_SIZE - 1) {
        return denied(problem, "the URL is not signed");
    }
    enum zkt_err err = check_terms(key, request, now_s, problem);
    if (err != ZKT_OK) {
        return err;
    }
    for (size_t i = 0; i < request->params_count; i++) {
        if (strcmp(request->params[i].name, "X-Amz-Signature") != 0) {
            params[params_count++] = request->params[i];
        }
    }
    signature_of(key, request, params, params_count, hex);
    if (CRYPTO_memcmp(hex, signature, DIGEST_HEX_SIZE - 1) != 0) {
        return denied(problem, "the signature of the URL is wrong");
    }
    return ZKT_OK;
}

static int
hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Decodes in place. False: a bad escape, or an escaped NUL, behind which a C string would end.
static bool
unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '+') {
            *to++ = ' ';
        } else if (*at == '%') {
            int high = hex_digit(at[1]);
            int low = high == -1 ? -1 : hex_digit(at[2]);
            if (low == -1 || (high == 0 && low == 0)) {
                return false;
            }
            *to++ = (char)(high << 4 | low);
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return true;
}

bool
s3_query_parse(char *query, struct s3_param params[S3_PARAMS_MAX], size_t *params_count)
{
    *params_count = 0;
    while (query != NULL && *query != '\0') {
        char *next = strchr(query, '&');
        if (next != NULL) {
            *next++ = '\0';
        }
        char *value = strchr(query, '=');
        if (value != NULL) {
            *value++ = '\0';
        } else {
            value = query + strlen(query);
        }
        if (*params_count == S3_PARAMS_MAX || !unescape(query) || !unescape(value)) {
            return false;
        }
        params[(*params_count)++] = (struct s3_param){query, value};
        query = next;
    }
    return true;
}
