#include "http/range.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/reply.h"

// Digits at *text; more than fit count as the largest number. False: no digit.
static bool
take_number(const char **text, int64_t *number)
{
    const char *start = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, **text - '0', number)) {
            *number = INT64_MAX;
        }
    }
    return *text != start;
}

static enum range_kind
last_bytes(const char *text, int64_t size, int64_t *from, int64_t *len)
{
    int64_t wanted;
    if (!take_number(&text, &wanted) || *text != '\0') {
        return RANGE_WHOLE;
    }
    if (wanted == 0 || size == 0) {
        return RANGE_NONE;
    }
    *len = wanted < size ? wanted : size;
    *from = size - *len;
    return RANGE_PART;
}

enum range_kind
range_parse(const char *text, int64_t size, int64_t *from, int64_t *len)
{
    static const char unit[] = "bytes=";
    int64_t first;
    int64_t last = INT64_MAX;
    *from = 0;
    *len = size;
    if (text == NULL || strncasecmp(text, unit, sizeof unit - 1) != 0) {
        return RANGE_WHOLE;
    }
    text += sizeof unit - 1;
    if (*text == '-') {
        return last_bytes(text + 1, size, from, len);
    }
    if (!take_number(&text, &first) || *text++ != '-') {
        return RANGE_WHOLE;
    }
    bool has_last = take_number(&text, &last);
    if (*text != '\0' || (has_last && last < first)) {
        return RANGE_WHOLE;
    }
    if (first >= size) {
        return RANGE_NONE;
    }
    if (!has_last || last >= size) {
        last = size - 1;
    }
    *from = first;
    *len = last - first + 1;
    return RANGE_PART;
}

enum range_kind
range_wanted(const char *range, const char *if_range, const char *etag, const char *modified,
             int64_t size, int64_t *from, int64_t *len)
{
    bool is_same = if_range == NULL || strcmp(if_range, etag) == 0 ||
                   (modified != NULL && strcmp(if_range, modified) == 0);
    return range_parse(is_same ? range : NULL, size, from, len);
}

void
range_add(struct MHD_Response *response, int64_t from, int64_t len, int64_t size)
{
    char text[96];
    if (len > 0) {
        snprintf(text, sizeof text, "bytes %" PRId64 "-%" PRId64 "/%" PRId64, from, from + len - 1,
                 size);
    } else {
        snprintf(text, sizeof text, "bytes */%" PRId64, size);
    }
    reply_add(response, MHD_HTTP_HEADER_CONTENT_RANGE, text);
}
