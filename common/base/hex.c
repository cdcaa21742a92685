#include "base/hex.h"

#include <stdint.h>

void
hex_format(const void *data, size_t len, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        text[2 * byte_index] = digits[bytes[byte_index] >> 4];
        text[2 * byte_index + 1] = digits[bytes[byte_index] & 15];
    }
    text[2 * len] = '\0';
}
