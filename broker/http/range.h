// range.h: the Range header (RFC 9110 §14), one range of bytes.
#pragma once
#include <stdint.h>

enum range_kind {
    RANGE_WHOLE, // none, several, or not understood: the whole object
    RANGE_PART,
    RANGE_NONE, // nothing of the object lies in it: 416
};

// range_parse sets *from and *len (of what is to be sent) for RANGE_WHOLE and RANGE_PART. text may
// be NULL.
enum range_kind
range_parse(const char *text, int64_t size, int64_t *from, int64_t *len);
