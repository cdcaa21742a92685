// Lone surrogates in patterns and subjects: PCRE2 takes none, so they are matched as characters of
// a private plane.
#include <string.h>

#include "model/filter_regex.h"
#include "model/unicode.h"

static const uint32_t SURROGATE_FIRST = 0xd800;
static const uint32_t SURROGATE_LAST = 0xdfff;
static const uint32_t SURROGATE_STAND_IN = 0x10f800; // private use, plane 16

void
regex_append_text(struct bytes *out, const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    const uint8_t *end = at + len;
    while (at < end) {
        uint32_t point = point_next(&at, end);
        bool is_surrogate = point >= SURROGATE_FIRST && point <= SURROGATE_LAST;
        point_append(out, is_surrogate ? point - SURROGATE_FIRST + SURROGATE_STAND_IN : point);
    }
}

bool
regex_has_surrogates(const char *text, size_t len)
{
    const char *at = text;
    const char *end = text + len;
    while ((at = memchr(at, 0xed, (size_t)(end - at))) != NULL) {
        if (end - at >= 2 && (uint8_t)at[1] >= 0xa0) {
            return true;
        }
        at++;
    }
    return false;
}
