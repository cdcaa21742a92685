#include "base/utf8.h"

#include <stdbool.h>

size_t
utf8_character_len(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t len;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
                 {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    if (at[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (at[0] >= forms[i].first_min && at[0] <= forms[i].first_max) {
            bool is_right = at[1] >= forms[i].second_min && at[1] <= forms[i].second_max;
            for (size_t n = 2; is_right && n < forms[i].len; n++) {
                is_right = (at[n] & 0xc0) == 0x80;
            }
            return is_right ? forms[i].len : 0;
        }
    }
    return 0;
}
