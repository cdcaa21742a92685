#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *
xmalloc(size_t size)
{
    void *block = malloc(size > 0 ? size : 1);
    zkt_assert(block != NULL);
    return block;
}

void *
xcalloc(size_t count, size_t size)
{
    void *block = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    zkt_assert(block != NULL);
    return block;
}

void *
xrealloc(void *block, size_t size)
{
    void *moved = realloc(block, size > 0 ? size : 1);
    zkt_assert(moved != NULL);
    return moved;
}

char *
xstrdup(const char *text)
{
    return xmemdup(text, strlen(text));
}

void *
xmemdup(const void *data, size_t size)
{
    char *copy = xmalloc(size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    copy[size] = '\0';
    return copy;
}

char *
xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    zkt_assert(len >= 0);
    return text;
}
