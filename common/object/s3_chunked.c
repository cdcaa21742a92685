#include "object/s3_chunked.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/memory.h"

enum { LINE_MAX_BYTES = 1024, TRAILERS_MAX = 8 };

#define SIGNED_KIND "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define SIGNED_TRAILER_KIND "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
#define UNSIGNED_TRAILER_KIND "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

enum place {
    AT_SIZE,     // a line with the size of the next chunk
    AT_DATA,     // so many bytes
    AT_DATA_END, // the end of the line behind them
    AT_TRAILER,  // a trailing header, or the empty line
    AT_END,
};

struct s3_chunked {
    struct s3_verified seed;
    bool is_signed;
    bool has_trailer;
    enum place place;
    int64_t left_bytes;  // of the whole body
    uint64_t chunk_left; // of this chunk
    bool is_last;        // the chunk of no bytes
    char signature[S3_HEX_SIZE];
    char claimed[S3_HEX_SIZE]; // of this chunk
    bool is_trailer_right;
    EVP_MD_CTX *digest; // of this chunk
    struct bytes line;  // so far
    struct bytes trailer;
    char *names[TRAILERS_MAX];
    char *values[TRAILERS_MAX];
    size_t trailers_count;
};

static enum s3_code
refuse(struct problem *problem, enum s3_code code, const char *why)
{
    problem_set(problem, s3_code_status(code) == 403 ? ZKT_DENIED : ZKT_INVALID, "%s", why);
    return code;
}

bool
s3_chunked_is_known(const char *payload)
{
    return strcmp(payload, SIGNED_KIND) == 0 || strcmp(payload, SIGNED_TRAILER_KIND) == 0 ||
           strcmp(payload, UNSIGNED_TRAILER_KIND) == 0;
}

struct s3_chunked *
s3_chunked_new(const struct s3_verified *seed, int64_t size)
{
    zkt_assert(s3_chunked_is_known(seed->payload));
    struct s3_chunked *chunked = xcalloc(1, sizeof(*chunked));
    chunked->seed = *seed;
    chunked->is_signed = strcmp(seed->payload, UNSIGNED_TRAILER_KIND) != 0;
    chunked->has_trailer = strcmp(seed->payload, SIGNED_KIND) != 0;
    chunked->left_bytes = size;
    chunked->digest = EVP_MD_CTX_new();
    zkt_assert(chunked->digest != NULL);
    memcpy(chunked->signature, seed->signature, sizeof(chunked->signature));
    return chunked;
}

void
s3_chunked_destroy(struct s3_chunked **chunked_p)
{
    struct s3_chunked *chunked = *chunked_p;
    if (chunked == NULL) {
        return;
    }
    for (size_t i = 0; i < chunked->trailers_count; i++) {
        free(chunked->names[i]);
        free(chunked->values[i]);
    }
    bytes_fini(&chunked->line);
    bytes_fini(&chunked->trailer);
    EVP_MD_CTX_free(chunked->digest);
    OPENSSL_cleanse(&chunked->seed, sizeof(chunked->seed));
    free(chunked);
    *chunked_p = NULL;
}

const char *
s3_chunked_trailer(const struct s3_chunked *chunked, const char *name)
{
    for (size_t i = 0; i < chunked->trailers_count; i++) {
        if (strcmp(chunked->names[i], name) == 0) {
            return chunked->values[i];
        }
    }
    return NULL;
}

// ---- Lines

static enum s3_code
take_size(struct s3_chunked *chunked, char *line, struct problem *problem)
{
    char *end = NULL;
    char *semicolon = strchr(line, ';');
    if (semicolon != NULL) {
        *semicolon++ = '\0';
    }
    size_t digits = strspn(line, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 15 || line[digits] != '\0') {
        return refuse(problem, S3_INVALID_REQUEST, "the size of a chunk cannot be read");
    }
    chunked->chunk_left = strtoull(line, &end, 16);
    if (chunked->chunk_left > (uint64_t)chunked->left_bytes) {
        return refuse(problem, S3_INCOMPLETE_BODY,
                      "the chunks have more bytes than x-amz-decoded-content-length");
    }
    if (chunked->is_signed) {
        static const char name[] = "chunk-signature=";
        if (semicolon == NULL || strncmp(semicolon, name, sizeof(name) - 1) != 0 ||
            strlen(semicolon + sizeof(name) - 1) != S3_HEX_SIZE - 1) {
            return refuse(problem, S3_SIGNATURE_DOES_NOT_MATCH, "a chunk is not signed");
        }
        memcpy(chunked->claimed, semicolon + sizeof(name) - 1, S3_HEX_SIZE);
    }
    EVP_DigestInit_ex(chunked->digest, EVP_sha256(), NULL);
    chunked->is_last = chunked->chunk_left == 0;
    chunked->place = AT_DATA;
    return S3_OK;
}

// A chunk has come: is it what was signed?
static enum s3_code
end_chunk(struct s3_chunked *chunked, struct problem *problem)
{
    uint8_t sha256[S3_DIGEST_BYTES];
    if (chunked->is_signed) {
        EVP_DigestFinal_ex(chunked->digest, sha256, NULL);
        s3_chunk_signature(&chunked->seed, chunked->signature, sha256, chunked->signature);
        if (CRYPTO_memcmp(chunked->signature, chunked->claimed, S3_HEX_SIZE - 1) != 0) {
            return refuse(problem, S3_SIGNATURE_DOES_NOT_MATCH,
                          "the signature of a chunk is wrong");
        }
    }
    chunked->place = chunked->is_last ? AT_TRAILER : AT_DATA_END;
    return S3_OK;
}

static enum s3_code
take_signature(struct s3_chunked *chunked, const char *claimed, struct problem *problem)
{
    char signature[S3_HEX_SIZE];
    s3_trailer_signature(&chunked->seed, chunked->signature, bytes_span(&chunked->trailer),
                         signature);
    chunked->is_trailer_right = strlen(claimed) == S3_HEX_SIZE - 1 &&
                                CRYPTO_memcmp(signature, claimed, S3_HEX_SIZE - 1) == 0;
    return chunked->is_trailer_right ? S3_OK
                                     : refuse(problem, S3_SIGNATURE_DOES_NOT_MATCH,
                                              "the signature of the trailing headers is wrong");
}

static enum s3_code
take_trailer(struct s3_chunked *chunked, char *line, struct problem *problem)
{
    char *value = strchr(line, ':');
    if (chunked->is_trailer_right) {
        return refuse(problem, S3_INVALID_REQUEST,
                      "a trailing header comes behind their signature");
    }
    if (value == NULL || chunked->trailers_count == TRAILERS_MAX ||
        chunked->trailer.len > S3_TRAILER_MAX) {
        return refuse(problem, S3_INVALID_REQUEST, "the trailing headers cannot be read");
    }
    *value++ = '\0';
    for (char *at = line; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    }
    value += strspn(value, " ");
    if (strcmp(line, "x-amz-trailer-signature") == 0) {
        return take_signature(chunked, value, problem);
    }
    if (chunked->is_signed && !chunked->has_trailer) {
        return refuse(problem, S3_INVALID_REQUEST, "trailing headers were not announced");
    }
    bytes_printf(&chunked->trailer, "%s:%s\n", line, value);
    chunked->names[chunked->trailers_count] = xstrdup(line);
    chunked->values[chunked->trailers_count++] = xstrdup(value);
    return S3_OK;
}

static enum s3_code
end_body(struct s3_chunked *chunked, struct problem *problem)
{
    if (chunked->is_signed && chunked->has_trailer && !chunked->is_trailer_right) {
        return refuse(problem, S3_SIGNATURE_DOES_NOT_MATCH, "the trailing headers are not signed");
    }
    chunked->place = AT_END;
    return S3_OK;
}

static enum s3_code
take_line(struct s3_chunked *chunked, struct problem *problem)
{
    char *line = bytes_text(&chunked->line);
    size_t len = strlen(line);
    if (len != chunked->line.len) {
        return refuse(problem, S3_INVALID_REQUEST, "a line of a chunk has a NUL");
    }
    if (len > 0 && line[len - 1] == '\r') {
        line[--len] = '\0';
    }
    switch (chunked->place) {
    case AT_SIZE:
        return take_size(chunked, line, problem);
    case AT_DATA_END:
        chunked->place = AT_SIZE;
        return len == 0 ? S3_OK
                        : refuse(problem, S3_INVALID_REQUEST, "a chunk is longer than it says");
    case AT_TRAILER:
        return len == 0 ? end_body(chunked, problem) : take_trailer(chunked, line, problem);
    default:
        return refuse(problem, S3_INVALID_REQUEST, "something comes behind the last chunk");
    }
}

// ---- Bytes

// Takes up to the end of the line; answers how much.
static size_t
feed_line(struct s3_chunked *chunked, const char *data, size_t len, enum s3_code *code,
          struct problem *problem)
{
    const char *end = memchr(data, '\n', len);
    size_t taken = end != NULL ? (size_t)(end - data) : len;
    if (chunked->line.len + taken > LINE_MAX_BYTES) {
        *code = refuse(problem, S3_INVALID_REQUEST, "a line of a chunk is too long");
        return len;
    }
    bytes_append(&chunked->line, data, taken);
    if (end == NULL) {
        return len;
    }
    *code = take_line(chunked, problem);
    bytes_clear(&chunked->line);
    return taken + 1;
}

static size_t
feed_data(struct s3_chunked *chunked, const char *data, size_t len, s3_sink_fn sink, void *arg,
          enum s3_code *code, struct problem *problem)
{
    size_t step = len < chunked->chunk_left ? len : (size_t)chunked->chunk_left;
    if (step > 0) {
        if (chunked->is_signed) {
            EVP_DigestUpdate(chunked->digest, data, step);
        }
        chunked->chunk_left -= step;
        chunked->left_bytes -= (int64_t)step;
        *code = sink(arg, data, step, problem);
    }
    if (*code == S3_OK && chunked->chunk_left == 0) {
        *code = end_chunk(chunked, problem);
    }
    return step;
}

enum s3_code
s3_chunked_feed(struct s3_chunked *chunked, const void *data, size_t len, s3_sink_fn sink,
                void *arg, struct problem *problem)
{
    const char *at = data;
    enum s3_code code = S3_OK;
    while (code == S3_OK && len > 0) {
        size_t taken = chunked->place == AT_DATA
                           ? feed_data(chunked, at, len, sink, arg, &code, problem)
                           : feed_line(chunked, at, len, &code, problem);
        at += taken;
        len -= taken;
        // The last chunk has no bytes to wait for.
        if (code == S3_OK && chunked->place == AT_DATA && chunked->chunk_left == 0) {
            code = end_chunk(chunked, problem);
        }
    }
    return code;
}

enum s3_code
s3_chunked_end(const struct s3_chunked *chunked, struct problem *problem)
{
    if (chunked->place != AT_END || chunked->left_bytes != 0) {
        return refuse(problem, S3_INCOMPLETE_BODY,
                      "the chunks end before x-amz-decoded-content-length");
    }
    return S3_OK;
}
