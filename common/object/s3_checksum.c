#include "object/s3_checksum.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"

// Reflected polynomials.
static const struct {
    const char *header;
    uint64_t polynomial; // 0: a digest of OpenSSL
    size_t bytes;
} kinds[] = {
    {"x-amz-checksum-crc32", 0xedb88320, 4},
    {"x-amz-checksum-crc32c", 0x82f63b78, 4},
    {"x-amz-checksum-crc64nvme", 0x9a6c9329ac4bc9b5, 8},
    {"x-amz-checksum-sha1", 0, 20},
    {"x-amz-checksum-sha256", 0, 32},
    {"content-md5", 0, 16},
};

struct s3_checksum {
    size_t kind;
    uint64_t crc;
    uint64_t table[256];
    EVP_MD_CTX *digest; // NULL: a CRC
};

static const EVP_MD *
digest_of(size_t bytes)
{
    switch (bytes) {
    case 16:
        return EVP_md5();
    case 20:
        return EVP_sha1();
    default:
        return EVP_sha256();
    }
}

struct s3_checksum *
s3_checksum_new(const char *header)
{
    size_t kind = 0;
    while (kind < sizeof(kinds) / sizeof(kinds[0]) && strcasecmp(kinds[kind].header, header) != 0) {
        kind++;
    }
    if (kind == sizeof(kinds) / sizeof(kinds[0])) {
        return NULL;
    }
    struct s3_checksum *checksum = xcalloc(1, sizeof(*checksum));
    checksum->kind = kind;
    checksum->crc = UINT64_MAX >> (kinds[kind].bytes == 4 ? 32 : 0);
    if (kinds[kind].polynomial == 0) {
        checksum->digest = EVP_MD_CTX_new();
        zkt_assert(checksum->digest != NULL);
        EVP_DigestInit_ex(checksum->digest, digest_of(kinds[kind].bytes), NULL);
    }
    for (size_t i = 0; i < 256; i++) {
        uint64_t value = i;
        for (unsigned bit = 0; bit < 8; bit++) {
            value = (value >> 1) ^ ((value & 1) != 0 ? kinds[kind].polynomial : 0);
        }
        checksum->table[i] = value;
    }
    return checksum;
}

void
s3_checksum_update(struct s3_checksum *checksum, const void *data, size_t len)
{
    const uint8_t *at = data;
    if (checksum->digest != NULL) {
        EVP_DigestUpdate(checksum->digest, data, len);
        return;
    }
    uint64_t crc = checksum->crc;
    for (size_t i = 0; i < len; i++) {
        crc = checksum->table[(crc ^ at[i]) & 255] ^ (crc >> 8);
    }
    checksum->crc = crc;
}

void
s3_checksum_text(struct s3_checksum *checksum, char text[S3_CHECKSUM_TEXT_SIZE])
{
    uint8_t result[EVP_MAX_MD_SIZE];
    size_t len = kinds[checksum->kind].bytes;
    if (checksum->digest != NULL) {
        EVP_DigestFinal_ex(checksum->digest, result, NULL);
    } else if (len == 4) {
        put_u32(result, (uint32_t)~checksum->crc);
    } else {
        put_u64(result, ~checksum->crc);
    }
    int text_len = EVP_EncodeBlock((unsigned char *)text, result, (int)len);
    zkt_assert(text_len < S3_CHECKSUM_TEXT_SIZE);
}

const char *
s3_checksum_header(const struct s3_checksum *checksum)
{
    return kinds[checksum->kind].header;
}

void
s3_checksum_destroy(struct s3_checksum **checksum_p)
{
    if (*checksum_p != NULL) {
        EVP_MD_CTX_free((*checksum_p)->digest);
        free(*checksum_p);
        *checksum_p = NULL;
    }
}
