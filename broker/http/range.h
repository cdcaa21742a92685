// range.h: the headers Range and If-Range (RFC 9110 §13.1.5, §14), one range of bytes.
#pragma once
#include <microhttpd.h>
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
// range_wanted is range_parse of what a request asks for: the whole object unless If-Range, when it
// comes, is the object's ETag (quoted, strong) or exactly its Last-Modified (NULL: has none).
enum range_kind
range_wanted(const char *range, const char *if_range, const char *etag, const char *modified,
             int64_t size, int64_t *from, int64_t *len);
// range_add says which part of size bytes is sent; len 0: none of it could be (416).
void
range_add(struct MHD_Response *response, int64_t from, int64_t len, int64_t size);
