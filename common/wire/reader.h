// reader.h: a bounded cursor over msgpack. It never reads behind the end, allocates nothing and
// does not recurse.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum token_type {
    TOKEN_NIL,
    TOKEN_BOOL,
    TOKEN_INT,  // fits int64_t: `integer`
    TOKEN_UINT, // above INT64_MAX: `natural`
    TOKEN_DOUBLE,
    TOKEN_STRING,
    TOKEN_BINARY,
    TOKEN_EXT, // `ext` and text
    TOKEN_LIST,
    TOKEN_MAP,
};

struct token {
    enum token_type type;
    int8_t ext;
    uint32_t len; // items, pairs, or bytes of data
    union {
        bool boolean;
        int64_t integer;
        uint64_t natural;
        double number;
        const uint8_t *data; // borrowed from the message
    };
};

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

struct reader
reader_of(struct span span);
// reader_next takes one token (of a list or map only its head); false: cut short or not msgpack.
bool
reader_next(struct reader *reader, struct token *token);
// reader_skip takes one whole value; false as reader_next.
bool
reader_skip(struct reader *reader);
bool
reader_is_at_end(const struct reader *reader);
