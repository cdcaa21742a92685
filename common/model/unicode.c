#include "model/unicode.h"

#include "model/unicode_tables.h"

uint32_t
point_next(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *data = *at;
    uint32_t first = data[0];
    size_t need = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
    if (need == 1 || need > (size_t)(end - data)) {
        *at += 1;
        return first;
    }
    uint32_t point = first & (0xffu >> (need + 1));
    for (size_t byte_index = 1; byte_index < need; byte_index++) {
        point = point << 6 | (data[byte_index] & 0x3fu);
    }
    *at += need;
    return point;
}

void
point_append(struct bytes *out, uint32_t point)
{
    if (point < 0x80) {
        bytes_append_byte(out, (uint8_t)point);
    } else if (point < 0x800) {
        bytes_append_byte(out, (uint8_t)(0xc0 | point >> 6));
        bytes_append_byte(out, (uint8_t)(0x80 | (point & 0x3f)));
    } else if (point < 0x10000) {
        bytes_append_byte(out, (uint8_t)(0xe0 | point >> 12));
        bytes_append_byte(out, (uint8_t)(0x80 | (point >> 6 & 0x3f)));
        bytes_append_byte(out, (uint8_t)(0x80 | (point & 0x3f)));
    } else {
        bytes_append_byte(out, (uint8_t)(0xf0 | point >> 18));
        bytes_append_byte(out, (uint8_t)(0x80 | (point >> 12 & 0x3f)));
        bytes_append_byte(out, (uint8_t)(0x80 | (point >> 6 & 0x3f)));
        bytes_append_byte(out, (uint8_t)(0x80 | (point & 0x3f)));
    }
}

// The range that holds point, or NULL.
static const struct point_range *
find(const struct point_range *ranges, size_t count, uint32_t point)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < point) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && ranges[low].first <= point ? &ranges[low] : NULL;
}

bool
point_is_printable(uint32_t point)
{
    if (point < 0x80) {
        return point >= 0x20 && point != 0x7f;
    }
    return find(unicode_unprintable, unicode_unprintable_count, point) == NULL;
}

bool
point_is_space(uint32_t point)
{
    if (point < 0x80) {
        return (point >= 0x09 && point <= 0x0d) || (point >= 0x1c && point <= 0x20);
    }
    return find(unicode_spaces, unicode_spaces_count, point) != NULL;
}

int
point_digit(uint32_t point)
{
    if (point < 0x80) {
        return point >= '0' && point <= '9' ? (int)(point - '0') : -1;
    }
    const struct point_range *range = find(unicode_decimals, unicode_decimals_count, point);
    return range != NULL ? (int)((point - range->first) % 10) : -1;
}

bool
point_is_digit(uint32_t point)
{
    return point_digit(point) >= 0 ||
           find(unicode_other_digits, unicode_other_digits_count, point) != NULL;
}
