// shape.h: maps of the protocol as tables: a shape lists the fields of a struct, and one reader and
// one writer serve all. Internal to wire/.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problem.h"
#include "wire/packer.h"
#include "wire/reader.h"

enum field_kind {
    FIELD_U32,
    FIELD_U64,
    FIELD_I64,
    FIELD_BOOL,
    FIELD_TEXT,    // struct span, valid UTF-8
    FIELD_STRING,  // struct span, UTF-8 or ext 2 (WTF-8)
    FIELD_BINARY,  // struct span
    FIELD_UID,     // struct uid: bin of 16 bytes
    FIELD_SHA256,  // uint8_t[32]; has_offset, if set, is a bool that says that it is there
    FIELD_CODE,    // enum zkt_err
    FIELD_NAME,    // an enum by name: `names`
    FIELD_VALUE,   // struct value; `value_type` -1: any
    FIELD_STRUCT,  // `shape`, in place; has_offset as above
    FIELD_LIST,    // const T *, count at has_offset (size_t), items of `shape`
    FIELD_NUMBERS, // const uint64_t *, count at has_offset
};
enum field_flags {
    FIELD_REQUIRED = 1,
    FIELD_OMIT_ZERO = 2,    // not written when zero, none, empty or false
    FIELD_BYTES = 8,        // a value that may hold bytes
    FIELD_SUBMIT = 4,       // a list whose frame is bounded as SUBMIT is
    FIELD_KEEP_PACKED = 16, // a value whose packed form is wanted too, as a span at has_offset
};
enum { NO_OFFSET = 0xffff, NAME_LEN_MAX = 31 };
// The name of a field and its length, in the table.
#define NAMED(text) .name = (text), .name_len = sizeof(text) - 1

struct shape;

struct field {
    const char *name;
    uint8_t name_len; // at most NAME_LEN_MAX
    uint8_t kind;
    uint8_t flags;
    uint16_t offset;
    uint16_t has_offset;
    int8_t value_type;
    uint32_t max; // largest length, count or number; 0: as far as the kind goes
    const struct shape *shape;
    const char *const *names; // ends with NULL
};

struct shape {
    const struct field *fields;
    size_t fields_count;
    size_t size; // of the struct
};

struct decoder {
    struct reader reader;
    struct arena *arena;
    struct problem *problem;
    bool is_delivery; // headers have grown by what the broker added: their limit was SUBMIT's
    size_t frame_len; // of the whole message; 0 where FIELD_SUBMIT does not occur
};

// shape_read fills out (zeroed by the caller) from the map that comes next. Errors name the field.
ZKT_MUST enum zkt_err
shape_read(struct decoder *decoder, const struct shape *shape, void *out);
// shape_read_fields is shape_read of pairs_count pairs that stand without the head of their map.
ZKT_MUST enum zkt_err
shape_read_fields(struct decoder *decoder, const struct shape *shape, uint32_t pairs_count,
                  void *out);
// A map whose pairs are counted while they are written: map_begin leaves room for the head, map_end
// fills it in. At most MAP_PAIRS_MAX pairs; no shape has more fields.
enum { MAP_PAIRS_MAX = 15 };
size_t
map_begin(msgpack_packer *packer);
void
map_end(msgpack_packer *packer, size_t head, uint32_t pairs_count);
void
shape_write(msgpack_packer *packer, const struct shape *shape, const void *from);
// shape_write_fields writes the fields without the map's head, and returns how many they are.
uint32_t
shape_write_fields(msgpack_packer *packer, const struct shape *shape, const void *from);
