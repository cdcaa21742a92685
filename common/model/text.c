// Checks of UTF-8 and WTF-8 (RFC 3629; surrogates allowed one by one in WTF-8, never as a pair).
#include <string.h>

#include "base/bytes.h"
#include "model/value.h"

// Length of the sequence at data, 0: wrong. *point is its code point.
static size_t
sequence(const uint8_t *data, size_t len, uint32_t *point)
{
    uint8_t first = data[0];
    size_t need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (first < 0xc2 || first > 0xf4 || need > len) {
        return 0;
    }
    uint32_t bits = first & (0xffu >> (need + 1));
    for (size_t byte_index = 1; byte_index < need; byte_index++) {
        if ((data[byte_index] & 0xc0) != 0x80) {
            return 0;
        }
        bits = bits << 6 | (data[byte_index] & 0x3fu);
    }
    *point = bits;
    return bits >= least[need] && bits <= 0x10ffff ? need : 0;
}

// Fewer than 8 bytes, in two overlapping halves.
static bool
is_ascii_tail(const uint8_t *data, size_t len)
{
    if (len >= 4) {
        uint32_t first;
        uint32_t last;
        memcpy(&first, data, 4);
        memcpy(&last, data + len - 4, 4);
        return ((first | last) & 0x80808080) == 0;
    }
    return ((data[0] | data[len / 2] | data[len - 1]) & 0x80) == 0;
}

static bool
check(const uint8_t *data, size_t len, bool surrogates_allowed)
{
    bool was_high = false;
    while (len > 0) {
        uint64_t word;
        if (len >= 8 && (memcpy(&word, data, 8), (word & 0x8080808080808080) == 0)) {
            data += 8;
            len -= 8;
            was_high = false;
            continue;
        }
        if (len < 8 && is_ascii_tail(data, len)) {
            return true;
        }
        uint32_t point = data[0];
        size_t used = data[0] < 0x80 ? 1 : sequence(data, len, &point);
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        if (used == 0 || (is_surrogate && !surrogates_allowed)) {
            return false;
        }
        if (was_high && point >= 0xdc00 && point <= 0xdfff) {
            return false; // a pair is written as one character
        }
        was_high = point >= 0xd800 && point <= 0xdbff;
        data += used;
        len -= used;
    }
    return true;
}

bool
text_is_utf8(const void *data, size_t len)
{
    return check(data, len, false);
}

bool
text_is_wtf8(const void *data, size_t len)
{
    return check(data, len, true);
}

void
text_escape_bytes(const char *text, size_t len, struct bytes *out)
{
    const uint8_t *data = (const uint8_t *)text;
    for (size_t at = 0; at < len;) {
        uint32_t point = data[at];
        size_t used = data[at] < 0x80 ? 1 : sequence(data + at, len - at, &point);
        if (used > 0 && (point < 0xd800 || point > 0xdfff)) {
            bytes_append(out, data + at, used);
            at += used;
            continue;
        }
        uint8_t escaped[3] = {0xed, (uint8_t)(0xb0 | (data[at] >> 6 & 3)),
                              (uint8_t)(0x80 | (data[at] & 0x3f))};
        bytes_append(out, escaped, sizeof escaped);
        at++;
    }
}
