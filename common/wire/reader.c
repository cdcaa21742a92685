#include "wire/reader.h"

#include <string.h>

struct reader
reader_of(struct span span)
{
    return (struct reader){.at = span.data, .end = span.data + span.len};
}

bool
reader_is_at_end(const struct reader *reader)
{
    return reader->at == reader->end;
}

static size_t
left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

// A big-endian number of size bytes; false: cut short.
static bool
take_number(struct reader *reader, size_t size, uint64_t *number)
{
    if (left(reader) < size) {
        return false;
    }
    switch (size) {
    case 1:
        *number = *reader->at;
        break;
    case 2:
        *number = get_u16(reader->at);
        break;
    case 4:
        *number = get_u32(reader->at);
        break;
    default:
        *number = get_u64(reader->at);
        break;
    }
    reader->at += size;
    return true;
}

static bool
take_data(struct reader *reader, struct token *token, enum token_type type, uint64_t len)
{
    if (left(reader) < len) {
        return false;
    }
    token->type = type;
    token->len = (uint32_t)len;
    token->data = reader->at;
    reader->at += len;
    return true;
}

static bool
take_sized_data(struct reader *reader, struct token *token, enum token_type type, size_t len_size)
{
    uint64_t len;
    if (!take_number(reader, len_size, &len)) {
        return false;
    }
    return take_data(reader, token, type, len);
}

static bool
take_ext(struct reader *reader, struct token *token, uint64_t len)
{
    uint64_t ext;
    if (!take_number(reader, 1, &ext)) {
        return false;
    }
    token->ext = (int8_t)(uint8_t)ext;
    return take_data(reader, token, TOKEN_EXT, len);
}

static bool
take_sized_ext(struct reader *reader, struct token *token, size_t len_size)
{
    uint64_t len;
    return take_number(reader, len_size, &len) && take_ext(reader, token, len);
}

static bool
take_container(struct reader *reader, struct token *token, enum token_type type, size_t len_size)
{
    uint64_t len;
    if (!take_number(reader, len_size, &len)) {
        return false;
    }
    token->type = type;
    token->len = (uint32_t)len;
    return true;
}

static bool
take_natural(struct reader *reader, struct token *token, size_t size)
{
    uint64_t number;
    if (!take_number(reader, size, &number)) {
        return false;
    }
    if (number > INT64_MAX) {
        token->type = TOKEN_UINT;
        token->natural = number;
    } else {
        token->type = TOKEN_INT;
        token->integer = (int64_t)number;
    }
    return true;
}

static bool
take_signed(struct reader *reader, struct token *token, size_t size)
{
    uint64_t number;
    if (!take_number(reader, size, &number)) {
        return false;
    }
    unsigned unused_bits = 64 - (unsigned)size * 8;
    token->type = TOKEN_INT;
    token->integer = (int64_t)(number << unused_bits) >> unused_bits;
    return true;
}

static bool
take_float(struct reader *reader, struct token *token, size_t size)
{
    uint64_t bits;
    if (!take_number(reader, size, &bits)) {
        return false;
    }
    token->type = TOKEN_DOUBLE;
    if (size == 8) {
        memcpy(&token->number, &bits, sizeof token->number);
        return true;
    }
    uint32_t half = (uint32_t)bits;
    float number;
    memcpy(&number, &half, sizeof number);
    token->number = (double)number;
    return true;
}

// The codes from 0xc0 to 0xdf.
static bool
take_coded(struct reader *reader, struct token *token, uint8_t code)
{
    switch (code) {
    case 0xc0:
        token->type = TOKEN_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        token->type = TOKEN_BOOL;
        token->boolean = code == 0xc3;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized_data(reader, token, TOKEN_BINARY, (size_t)1 << (code - 0xc4));
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized_ext(reader, token, (size_t)1 << (code - 0xc7));
    case 0xca:
        return take_float(reader, token, 4);
    case 0xcb:
        return take_float(reader, token, 8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_natural(reader, token, (size_t)1 << (code - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_signed(reader, token, (size_t)1 << (code - 0xd0));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_ext(reader, token, (uint64_t)1 << (code - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized_data(reader, token, TOKEN_STRING, (size_t)1 << (code - 0xd9));
    case 0xdc:
    case 0xdd:
        return take_container(reader, token, TOKEN_LIST, (size_t)2 << (code - 0xdc));
    case 0xde:
    case 0xdf:
        return take_container(reader, token, TOKEN_MAP, (size_t)2 << (code - 0xde));
    default:
        return false; // 0xc1 is never used
    }
}

bool
reader_next(struct reader *reader, struct token *token)
{
    if (reader->at == reader->end) {
        return false;
    }
    uint8_t code = *reader->at++;
    if (code < 0x80 || code >= 0xe0) {
        token->type = TOKEN_INT;
        token->integer = code < 0x80 ? code : (int64_t)code - 0x100;
        return true;
    }
    if (code >= 0xc0) {
        return take_coded(reader, token, code);
    }
    if (code >= 0xa0) {
        return take_data(reader, token, TOKEN_STRING, code & 0x1f);
    }
    token->type = code >= 0x90 ? TOKEN_LIST : TOKEN_MAP;
    token->len = code & 0x0f;
    return true;
}

bool
reader_skip(struct reader *reader)
{
    // Each value takes at least a byte, so `open` stays below twice the bytes of the message, or
    // the end comes first.
    for (uint64_t open = 1; open > 0; open--) {
        struct token token;
        if (!reader_next(reader, &token)) {
            return false;
        }
        if (token.type == TOKEN_LIST) {
            open += token.len;
        } else if (token.type == TOKEN_MAP) {
            open += (uint64_t)token.len * 2;
        }
    }
    return true;
}
