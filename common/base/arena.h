// arena.h: a bump allocator. What it hands out lives until arena_clear or arena_fini.
#pragma once
#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; // newest first
    size_t used_bytes;          // handed out since the last clear, for limits
};

void
arena_init(struct arena *arena);
void
arena_fini(struct arena *arena);
// arena_clear forgets all content but keeps one chunk of memory for reuse.
void
arena_clear(struct arena *arena);
// arena_alloc returns size bytes aligned to 8, not zeroed.
void *
arena_alloc(struct arena *arena, size_t size);
// arena_copy copies and adds a NUL byte behind the copy.
char *
arena_copy(struct arena *arena, const void *data, size_t len);
char *
arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
// arena_adopt moves everything that `from` holds into `arena`; `from` is empty afterwards.
void
arena_adopt(struct arena *arena, struct arena *from);
