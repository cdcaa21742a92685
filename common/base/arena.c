#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

enum { CHUNK_BYTES = 1024 }; // of the first chunk

struct arena_chunk {
    struct arena_chunk *next; // older
    size_t capacity;
    size_t used;
    _Alignas(8) uint8_t data[];
};

void
arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

static void
free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void
arena_fini(struct arena *arena)
{
    free_chunks(arena->chunks);
    arena_init(arena);
}

void
arena_clear(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunks;
    if (kept != NULL && kept->capacity > (1 << 20)) {
        free_chunks(kept);
        arena->chunks = kept = NULL;
    }
    if (kept != NULL) {
        free_chunks(kept->next);
        kept->next = NULL;
        kept->used = 0;
    }
    arena->used_bytes = 0;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    zkt_assert(size <= SIZE_MAX / 4);
    size = (size + 7) & ~(size_t)7;
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < size) {
        // Chunks double, so that a large document costs few of them.
        size_t capacity =
            chunk != NULL && chunk->capacity < (1 << 20) ? chunk->capacity * 2 : CHUNK_BYTES;
        capacity = capacity > size ? capacity : size;
        chunk = xmalloc(sizeof *chunk + capacity);
        chunk->capacity = capacity;
        chunk->used = 0;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    void *at = chunk->data + chunk->used;
    chunk->used += size;
    arena->used_bytes += size;
    return at;
}

char *
arena_copy(struct arena *arena, const void *data, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    copy[len] = '\0';
    return copy;
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    zkt_assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

void
arena_adopt(struct arena *arena, struct arena *from)
{
    if (from->chunks != NULL) {
        struct arena_chunk **end = &arena->chunks;
        while (*end != NULL) {
            end = &(*end)->next;
        }
        *end = from->chunks;
        arena->used_bytes += from->used_bytes;
    }
    arena_init(from);
}
