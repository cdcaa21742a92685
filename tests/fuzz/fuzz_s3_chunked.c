// Bodies in aws-chunked. An input is the kind, the size of a step, and either the body itself, or
// ('c' or 'C') the sizes of chunks and changes to the body that they make, rightly signed. What is
// taken in one piece is taken in steps, and what is signed is taken unchanged only.
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "object/s3_chunked.h"

enum { CHUNKS_MAX = 4, STEP_BYTES = 4, HEADER_BYTES = 3 };

static const char *const KINDS[] = {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                                    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                                    "STREAMING-UNSIGNED-PAYLOAD-TRAILER"};
static const char CHECKSUM[] = "x-amz-checksum-crc32";

struct outcome {
    enum s3_code code;
    struct bytes decoded;
    char *checksum; // NULL: none
    bool has_extra;
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum s3_code
take(void *arg, const void *data, size_t len, struct problem *problem)
{
    (void)problem;
    bytes_append(arg, data, len);
    return S3_OK;
}

static void
decode(const struct s3_verified *seed, int64_t size, struct span body, size_t step,
       struct outcome *outcome)
{
    struct s3_chunked *chunked = s3_chunked_new(seed, size);
    struct problem problem = {.text = ""};
    *outcome = (struct outcome){.code = S3_OK};
    for (size_t at = 0; outcome->code == S3_OK && at < body.len; at += step) {
        // A copy, so that reading behind it is seen.
        size_t len = body.len - at < step ? body.len - at : step;
        uint8_t *piece = malloc(len);
        zkt_assert(piece != NULL);
        memcpy(piece, body.data + at, len);
        outcome->code = s3_chunked_feed(chunked, piece, len, take, &outcome->decoded, &problem);
        free(piece);
    }
    if (outcome->code == S3_OK) {
        outcome->code = s3_chunked_end(chunked, &problem);
    }
    zkt_assert((outcome->code == S3_OK) == (problem.text[0] == '\0'));
    zkt_assert((int64_t)outcome->decoded.len <= size);
    if (outcome->code == S3_OK) {
        const char *checksum = s3_chunked_trailer(chunked, CHECKSUM);
        outcome->checksum = checksum != NULL ? xstrdup(checksum) : NULL;
        outcome->has_extra = s3_chunked_trailer(chunked, "x-extra") != NULL;
        zkt_assert((int64_t)outcome->decoded.len == size);
    }
    s3_chunked_destroy(&chunked);
}

static void
outcome_fini(struct outcome *outcome)
{
    bytes_fini(&outcome->decoded);
    free(outcome->checksum);
}

static void
decode_both(const struct s3_verified *seed, int64_t size, struct span body, size_t step,
            struct outcome *whole)
{
    struct outcome steps;
    decode(seed, size, body, body.len + 1, whole);
    decode(seed, size, body, step, &steps);
    zkt_assert(whole->code == steps.code);
    zkt_assert(span_equal(bytes_span(&whole->decoded), bytes_span(&steps.decoded)));
    zkt_assert((whole->checksum == NULL) == (steps.checksum == NULL));
    outcome_fini(&steps);
}

static void
make_seed(const char *kind, struct s3_verified *seed)
{
    *seed = (struct s3_verified){
        .access = "AK", .date = "20231114T221320Z", .scope = "20231114/eu-1/s3/aws4_request"};
    memcpy(seed->payload, kind, strlen(kind) + 1);
    memset(seed->signature, 'a', S3_HEX_SIZE - 1);
    memset(seed->day_key, 0x5a, sizeof seed->day_key);
}

// ---- A signed body

static void
add_chunk(const struct s3_verified *seed, struct span chunk, char signature[S3_HEX_SIZE],
          struct bytes *body)
{
    uint8_t sha256[S3_DIGEST_BYTES];
    int done = EVP_Digest(chunk.data, chunk.len, sha256, NULL, EVP_sha256(), NULL);
    zkt_assert(done == 1);
    s3_chunk_signature(seed, signature, sha256, signature);
    bytes_printf(body, "%zx;chunk-signature=%s\r\n", chunk.len, signature);
    if (chunk.len > 0) {
        bytes_append(body, chunk.data, chunk.len);
        bytes_append_text(body, "\r\n");
    }
}

static void
make_body(const struct s3_verified *seed, const uint8_t *sizes, bool has_trailer,
          struct bytes *content, struct bytes *body)
{
    static const char trailer[] = "x-amz-checksum-crc32:AAAAAA==";
    char signature[S3_HEX_SIZE];
    memcpy(signature, seed->signature, sizeof signature);
    for (size_t i = 0; i < CHUNKS_MAX; i++) {
        size_t before = content->len;
        for (size_t at = 0; at < sizes[i]; at++) {
            bytes_append_byte(content, (uint8_t)('a' + (at + i) % 26));
        }
        if (sizes[i] > 0) {
            add_chunk(seed, span_of(content->data + before, sizes[i]), signature, body);
        }
    }
    add_chunk(seed, span_of("", 0), signature, body);
    if (has_trailer) {
        char line[sizeof trailer + 1];
        memcpy(line, trailer, sizeof trailer);
        line[sizeof trailer - 1] = '\n';
        s3_trailer_signature(seed, signature, span_of(line, sizeof trailer), signature);
        bytes_printf(body, "%s\r\nx-amz-trailer-signature:%s\r\n", trailer, signature);
    }
    bytes_append_text(body, "\r\n");
}

static void
insert(struct bytes *body, size_t at, const char *text)
{
    struct bytes changed = {0};
    bytes_append(&changed, body->data, at);
    bytes_append_text(&changed, text);
    bytes_append(&changed, body->data + at, body->len - at);
    bytes_fini(body);
    *body = changed;
}

static void
change(struct bytes *body, const uint8_t step[STEP_BYTES])
{
    static const char *const texts[] = {"x-extra:1\r\n",
                                        "\r\n",
                                        "0\r\n",
                                        "1;chunk-signature=",
                                        "x-amz-checksum-crc32:BBBBBB==\r\n",
                                        "x-amz-trailer-signature:"};
    size_t at = get_u16(step + 1) % (body->len + 1);
    switch (step[0] % 4) {
    case 0:
        body->data[at % body->len] = step[3];
        break;
    case 1: {
        size_t cut = step[3] < body->len - at ? step[3] : body->len - at;
        memmove(body->data + at, body->data + at + cut, body->len - at - cut);
        body->len -= cut;
        break;
    }
    case 2: // counted from the end, where the trailers are
        insert(body, body->len - at, texts[step[3] % (sizeof texts / sizeof texts[0])]);
        break;
    default:
        insert(body, at, texts[step[3] % (sizeof texts / sizeof texts[0])]);
        break;
    }
}

static void
check_changed(const struct s3_verified *seed, bool has_trailer, size_t step, const uint8_t *data,
              size_t size)
{
    struct bytes content = {0};
    struct bytes body = {0};
    struct outcome outcome;
    if (size < CHUNKS_MAX) {
        return;
    }
    make_body(seed, data, has_trailer, &content, &body);
    decode_both(seed, (int64_t)content.len, bytes_span(&body), step, &outcome);
    zkt_assert(outcome.code == S3_OK);
    outcome_fini(&outcome);
    for (size_t at = CHUNKS_MAX; at + STEP_BYTES <= size && body.len > 0; at += STEP_BYTES) {
        change(&body, data + at);
    }
    decode_both(seed, (int64_t)content.len, bytes_span(&body), step, &outcome);
    if (outcome.code == S3_OK) {
        zkt_assert(span_equal(bytes_span(&outcome.decoded), bytes_span(&content)));
        zkt_assert((outcome.checksum != NULL) == has_trailer);
        zkt_assert(!has_trailer || strcmp(outcome.checksum, "AAAAAA==") == 0);
        zkt_assert(!outcome.has_extra);
    }
    outcome_fini(&outcome);
    bytes_fini(&content);
    bytes_fini(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_verified seed;
    if (size < HEADER_BYTES) {
        return 0;
    }
    size_t step = (size_t)data[1] + 1;
    if (data[0] == 'c' || data[0] == 'C') {
        bool has_trailer = data[0] == 'C';
        make_seed(KINDS[has_trailer], &seed);
        check_changed(&seed, has_trailer, step, data + 2, size - 2);
        return 0;
    }
    struct outcome outcome;
    make_seed(KINDS[data[0] % 3], &seed);
    decode_both(&seed, data[2], span_of(data + HEADER_BYTES, size - HEADER_BYTES), step, &outcome);
    outcome_fini(&outcome);
    return 0;
}
