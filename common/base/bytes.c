#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

struct span
span_of_text(const char *text)
{
    return span_of(text, strlen(text));
}

bool
span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int
span_compare(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

void
bytes_init(struct bytes *bytes)
{
    *bytes = (struct bytes){0};
}

void
bytes_fini(struct bytes *bytes)
{
    free(bytes->data);
    bytes_init(bytes);
}

void
bytes_clear(struct bytes *bytes)
{
    bytes->len = 0;
}

uint8_t *
bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->capacity - bytes->len < more) {
        size_t capacity = bytes->capacity > 0 ? bytes->capacity : 64;
        while (capacity - bytes->len < more) {
            zkt_assert(capacity <= SIZE_MAX / 2);
            capacity *= 2;
        }
        bytes->data = xrealloc(bytes->data, capacity);
        bytes->capacity = capacity;
    }
    return bytes->data != NULL ? bytes->data + bytes->len : NULL;
}

void
bytes_append(struct bytes *bytes, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    memcpy(bytes_reserve(bytes, len), data, len);
    bytes->len += len;
}

void
bytes_append_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text));
}

void
bytes_append_byte(struct bytes *bytes, uint8_t byte)
{
    *bytes_reserve(bytes, 1) = byte;
    bytes->len++;
}

void
bytes_printf(struct bytes *bytes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    zkt_assert(len >= 0);
    char *at = (char *)bytes_reserve(bytes, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    bytes->len += (size_t)len;
}

char *
bytes_text(struct bytes *bytes)
{
    *bytes_reserve(bytes, 1) = '\0';
    return (char *)bytes->data;
}

struct span
bytes_span(const struct bytes *bytes)
{
    return span_of(bytes->data, bytes->len);
}
