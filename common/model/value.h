// value.h: a JSON-like value, exactly as wide as Python's json (parity T3): integers of any size,
// NaN and infinities, text that is not valid Unicode (kept as WTF-8), plus the reference to a
// resource (T2). Nodes and texts live in an arena; nothing is freed by itself. Builders copy texts
// into the arena.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum value_type {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,    // fits int64_t, always; an integer that fits is never a VALUE_BIGINT
    VALUE_BIGINT, // canonical decimal text in `text`: optional '-', no leading zeros
    VALUE_DOUBLE,
    VALUE_STRING, // WTF-8 in `text`, may contain NUL
    VALUE_LIST,
    VALUE_MAP, // keys unique, in insertion order
    VALUE_RESOURCE,
};

struct member;

struct value {
    enum value_type type;
    uint32_t len; // items of a list, members of a map, bytes of text
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *text; // NUL behind the text, not counted
        struct value *items;
        struct member *members;
        uint32_t resource_index; // into the task's resource list
    };
};
struct member {
    struct value key; // VALUE_STRING
    struct value value;
};

struct value
value_null(void);
struct value
value_bool(bool boolean);
struct value
value_int(int64_t integer);
struct value
value_uint(struct arena *arena, uint64_t integer); // a bigint above INT64_MAX
struct value
value_double(double number);
// value_bigint accepts decimal text, normalises it (to VALUE_INT where it fits); false: not an
// integer or too long.
bool
value_bigint(struct arena *arena, const char *text, size_t len, struct value *out);
struct value
value_text(struct arena *arena, const char *text); // copies
struct value
value_string(struct arena *arena, const void *data, size_t len); // copies
struct value
value_resource(uint32_t resource_index);
struct value
value_list(void);
struct value
value_map(void);
// Append and put grow in the arena, amortised. value_put replaces the member of the same key in
// place.
void
value_append(struct arena *arena, struct value *list, struct value item);
void
value_put(struct arena *arena, struct value *map, const char *key, struct value item);
void
value_put_key(struct arena *arena, struct value *map, struct value key, struct value item);
// value_capacity is the room that an array of len items or members must have: who fills an array
// without value_append and value_put (a decoder) allocates this many.
uint32_t
value_capacity(uint32_t len);
bool
value_remove(struct value *map, const char *key); // false: was not there
bool
value_remove_n(struct value *map, const void *key, size_t key_len);
// value_get returns NULL when absent or not a map.
const struct value *
value_get(const struct value *map, const char *key);
const struct value *
value_get_n(const struct value *map, const void *key, size_t key_len);
// value_path walks "list.0.name": digits index lists; NULL when absent.
const struct value *
value_path(const struct value *value, const char *path);
// value_copy copies the whole tree, texts too, into arena.
struct value
value_copy(struct arena *arena, const struct value *value);
// value_equal is Python's ==: 1 == 1.0 == True, NaN != NaN (but [NaN] == [NaN], as json makes one
// NaN for all), maps without order, bigints exact against doubles.
bool
value_equal(const struct value *a, const struct value *b);
// value_same is identity of documents: type, sign of zero, NaN equal to NaN, order of members.
bool
value_same(const struct value *a, const struct value *b);
bool
value_is_text(const struct value *value, const char *text); // a string equal to text
bool
value_is_number(const struct value *value); // a Bool too, as in Python
// value_small_integer: of an Int or a Bool.
int64_t
value_small_integer(const struct value *value);
bool
text_is_utf8(const void *data, size_t len); // strict: no surrogates, no overlong forms
bool
text_is_wtf8(const void *data, size_t len); // UTF-8 plus lone surrogates
// text_escape_bytes appends text as WTF-8: each byte that is no UTF-8 becomes U+DC80…U+DCFF, as
// Python's surrogateescape has it.
void
text_escape_bytes(const char *text, size_t len, struct bytes *out);
// value_type_name: "null", "boolean", "integer", "number", "string", "list", "map", "resource".
const char *
value_type_name(const struct value *value);
