// bytes.h: borrowed spans and a growing buffer.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// A borrowed run of bytes. Who made it says how long it lives.
struct span {
    const uint8_t *data;
    size_t len;
};

// A growing buffer that owns its bytes. Zero-initialise it, or bytes_init; bytes_fini frees.
struct bytes {
    uint8_t *data;
    size_t len;
    size_t capacity;
};

static inline struct span
span_of(const void *data, size_t len)
{
    return (struct span){.data = data, .len = len};
}
struct span
span_of_text(const char *text);
bool
span_equal(struct span a, struct span b);
// span_compare orders as memcmp does, the shorter first.
int
span_compare(struct span a, struct span b);

void
bytes_init(struct bytes *bytes);
void
bytes_fini(struct bytes *bytes);
// bytes_clear empties, keeping the memory.
void
bytes_clear(struct bytes *bytes);
// bytes_reserve makes room for `more` bytes behind the end and returns where they start.
uint8_t *
bytes_reserve(struct bytes *bytes, size_t more);
void
bytes_append(struct bytes *bytes, const void *data, size_t len);
void
bytes_append_text(struct bytes *bytes, const char *text);
void
bytes_append_byte(struct bytes *bytes, uint8_t byte);
void
bytes_printf(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));
// bytes_text adds a NUL behind the content (not counted) and returns it.
char *
bytes_text(struct bytes *bytes);
struct span
bytes_span(const struct bytes *bytes);

// Big-endian fixed-width numbers, for keys and records.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "put_ and get_ swap");

static inline void
put_u16(uint8_t *at, uint16_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

static inline void
put_u32(uint8_t *at, uint32_t number)
{
    uint32_t swapped = __builtin_bswap32(number);
    memcpy(at, &swapped, sizeof swapped);
}

static inline void
put_u64(uint8_t *at, uint64_t number)
{
    uint64_t swapped = __builtin_bswap64(number);
    memcpy(at, &swapped, sizeof swapped);
}

static inline uint16_t
get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t
get_u32(const uint8_t *at)
{
    uint32_t swapped;
    memcpy(&swapped, at, sizeof swapped);
    return __builtin_bswap32(swapped);
}

static inline uint64_t
get_u64(const uint8_t *at)
{
    uint64_t swapped;
    memcpy(&swapped, at, sizeof swapped);
    return __builtin_bswap64(swapped);
}
