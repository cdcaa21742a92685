// memory.h: allocation of program-sized objects; running out of memory aborts.
#pragma once
#include <stddef.h>

// xmalloc returns size bytes, never NULL. xcalloc zeroes. xrealloc keeps the content.
void *
xmalloc(size_t size);
void *
xcalloc(size_t count, size_t size);
void *
xrealloc(void *block, size_t size);
// xstrdup and xmemdup copy; the caller frees. xmemdup adds a NUL byte behind the copy.
char *
xstrdup(const char *text);
void *
xmemdup(const void *data, size_t size);
// xasprintf formats into a fresh string; the caller frees.
char *
xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
