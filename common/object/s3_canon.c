// What is signed: the canonical form of a request, and the chain of keys, as AWS documents them.
#include "object/s3_sign_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "base/hex.h"

enum { DAY_KEY_FROM_BYTES = 256 }; // longer ones are made anew each time

static bool
is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.' || byte == '~';
}

void
s3_escape(struct bytes *out, const char *text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        const unsigned char *start = at;
        while (is_plain(*at) || (keep_slash && *at == '/')) {
            at++;
        }
        bytes_append(out, start, (size_t)(at - start));
        if (*at != '\0') {
            const char escaped[] = {'%', digits[*at >> 4], digits[*at & 15]};
            bytes_append(out, escaped, sizeof(escaped));
            at++;
        }
    }
}

void
s3_sha256(struct span body, char hex[S3_HEX_SIZE])
{
    uint8_t digest[S3_DIGEST_BYTES];
    int done = EVP_Digest(body.data, body.len, digest, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    hex_format(digest, S3_DIGEST_BYTES, hex);
}

// ---- Keys

static void
hmac(const void *key, size_t key_len, const void *data, size_t data_len,
     uint8_t digest[S3_DIGEST_BYTES])
{
    unsigned digest_len = 0;
    unsigned char *done =
        HMAC(EVP_sha256(), key, (int)key_len, data, data_len, digest, &digest_len);
    zkt_assert(done != NULL);
    zkt_assert(digest_len == S3_DIGEST_BYTES);
}

static void
hmac_text(uint8_t key[S3_DIGEST_BYTES], const char *text)
{
    uint8_t next[S3_DIGEST_BYTES];
    hmac(key, S3_DIGEST_BYTES, text, strlen(text), next);
    memcpy(key, next, S3_DIGEST_BYTES);
    OPENSSL_cleanse(next, sizeof(next));
}

// Each thread keeps the last key that it made: the loop signs thousands of URLs with one.
void
s3_day_key(const char *secret, const char *date, const char *region, uint8_t out[S3_DIGEST_BYTES])
{
    static _Thread_local char last_from[DAY_KEY_FROM_BYTES];
    static _Thread_local uint8_t last_key[S3_DIGEST_BYTES];
    char from[DAY_KEY_FROM_BYTES];
    int len = snprintf(from, sizeof(from), "%.8s\n%s\n%s", date, region, secret);
    bool fits = len > 0 && (size_t)len < sizeof(from);
    if (fits && strcmp(from, last_from) == 0) {
        memcpy(out, last_key, S3_DIGEST_BYTES);
        OPENSSL_cleanse(from, sizeof(from));
        return;
    }
    struct bytes first = {0};
    bytes_printf(&first, "AWS4%s", secret);
    hmac(first.data, first.len, date, 8, out);
    OPENSSL_cleanse(first.data, first.len);
    bytes_fini(&first);
    hmac_text(out, region);
    hmac_text(out, "s3");
    hmac_text(out, "aws4_request");
    if (fits) {
        memcpy(last_from, from, sizeof(from));
        memcpy(last_key, out, S3_DIGEST_BYTES);
    }
    OPENSSL_cleanse(from, sizeof(from));
}

// ---- The canonical request

// The order of the escaped texts: what has to be escaped begins with '%', which comes before every
// plain character.
static int
compare_escaped(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    unsigned char left = (unsigned char)*a;
    unsigned char right = (unsigned char)*b;
    if (left == '\0' || right == '\0' || is_plain(left) == is_plain(right)) {
        return left - right;
    }
    return is_plain(left) ? 1 : -1;
}

static int
compare_params(const void *a, const void *b)
{
    const struct s3_param *left = a;
    const struct s3_param *right = b;
    int order = compare_escaped(left->name, right->name);
    return order != 0 ? order : compare_escaped(left->value, right->value);
}

void
s3_query(struct bytes *out, struct s3_param *params, size_t params_count)
{
    if (params_count > 0) {
        qsort(params, params_count, sizeof(*params), compare_params);
    }
    for (size_t i = 0; i < params_count; i++) {
        if (i > 0) {
            bytes_append_byte(out, '&');
        }
        s3_escape(out, params[i].name, false);
        bytes_append_byte(out, '=');
        s3_escape(out, params[i].value, false);
    }
}

// Blanks at the ends go, runs of them become one.
void
s3_header_line(struct bytes *out, const char *name, const char *value)
{
    for (const char *at = name; *at != '\0'; at++) {
        bytes_append_byte(out, (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at));
    }
    bytes_append_byte(out, ':');
    bool has_blank = false;
    size_t start = out->len;
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == ' ' || *at == '\t') {
            has_blank = out->len > start;
            continue;
        }
        if (has_blank) {
            bytes_append_byte(out, ' ');
            has_blank = false;
        }
        bytes_append_byte(out, (uint8_t)*at);
    }
    bytes_append_byte(out, '\n');
}

static void
append_lines(struct bytes *out, const char *const *lines, size_t lines_count)
{
    for (size_t i = 0; i < lines_count; i++) {
        if (i > 0) {
            bytes_append_byte(out, '\n');
        }
        bytes_append_text(out, lines[i]);
    }
}

void
s3_signature(const struct s3_terms *terms, char hex[S3_HEX_SIZE])
{
    struct bytes text = {0};
    uint8_t digest[S3_DIGEST_BYTES];
    bytes_append_text(&text, terms->method);
    bytes_append_byte(&text, '\n');
    s3_escape(&text, terms->path, true);
    bytes_append_byte(&text, '\n');
    s3_query(&text, terms->params, terms->params_count);
    bytes_append_byte(&text, '\n');
    bytes_append(&text, terms->lines->data, terms->lines->len);
    append_lines(&text, (const char *[]){"", terms->signed_names, terms->payload}, 3);
    int done = EVP_Digest(text.data, text.len, digest, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    hex_format(digest, S3_DIGEST_BYTES, hex);
    bytes_clear(&text);
    append_lines(&text, (const char *[]){S3_ALGORITHM, terms->date, terms->scope, hex}, 4);
    hmac(terms->day_key, S3_DIGEST_BYTES, text.data, text.len, digest);
    hex_format(digest, S3_DIGEST_BYTES, hex);
    bytes_fini(&text);
}

// ---- Streamed bodies

static void
chain(const struct s3_verified *seed, const char *kind, const char *previous, const char *hashes,
      char out[S3_HEX_SIZE])
{
    struct bytes text = {0};
    uint8_t digest[S3_DIGEST_BYTES];
    bytes_printf(&text, S3_ALGORITHM "-%s\n%s\n%s\n%s\n%s", kind, seed->date, seed->scope, previous,
                 hashes);
    hmac(seed->day_key, S3_DIGEST_BYTES, text.data, text.len, digest);
    hex_format(digest, S3_DIGEST_BYTES, out);
    bytes_fini(&text);
}

void
s3_chunk_signature(const struct s3_verified *seed, const char *previous,
                   const uint8_t sha256[S3_DIGEST_BYTES], char out[S3_HEX_SIZE])
{
    char hex[S3_HEX_SIZE];
    char hashes[2 * S3_HEX_SIZE];
    hex_format(sha256, S3_DIGEST_BYTES, hex);
    snprintf(hashes, sizeof(hashes), S3_EMPTY_SHA256 "\n%s", hex);
    chain(seed, "PAYLOAD", previous, hashes, out);
}

void
s3_trailer_signature(const struct s3_verified *seed, const char *previous, struct span trailer,
                     char out[S3_HEX_SIZE])
{
    uint8_t digest[S3_DIGEST_BYTES];
    char hex[S3_HEX_SIZE];
    int done = EVP_Digest(trailer.data, trailer.len, digest, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    hex_format(digest, S3_DIGEST_BYTES, hex);
    chain(seed, "TRAILER", previous, hex, out);
}
