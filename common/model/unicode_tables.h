// unicode_tables.h: what Python knows of characters above ASCII, as sorted ranges.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct point_range {
    uint32_t first;
    uint32_t last;
};

extern const struct point_range unicode_unprintable[]; // not str.isprintable()
extern const size_t unicode_unprintable_count;
extern const struct point_range unicode_spaces[]; // str.isspace()
extern const size_t unicode_spaces_count;
extern const struct point_range unicode_decimals[]; // str.isdecimal(): runs of zero to nine
extern const size_t unicode_decimals_count;
extern const struct point_range unicode_other_digits[]; // str.isdigit() but not a decimal
extern const size_t unicode_other_digits_count;
