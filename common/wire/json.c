#include "wire/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_text.h"
#include "base/limits.h"

struct parser {
    const char *start;
    const char *at;
    const char *end;
    struct arena *arena;
    struct problem *problem;
    uint32_t nodes_count;
};

static enum zkt_err
refuse(struct parser *parser, enum zkt_err code, const char *why)
{
    unsigned line = 1;
    const char *line_start = parser->start;
    for (const char *at = parser->start; at < parser->at; at++) {
        if (*at == '\n') {
            line++;
            line_start = at + 1;
        }
    }
    return problem_set(parser->problem, code, "line %u column %zu: %s", line,
                       (size_t)(parser->at - line_start) + 1, why);
}

static void
skip_space(struct parser *parser)
{
    while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\t' ||
                                        *parser->at == '\n' || *parser->at == '\r')) {
        parser->at++;
    }
}

static bool
take(struct parser *parser, char expected)
{
    if (parser->at < parser->end && *parser->at == expected) {
        parser->at++;
        return true;
    }
    return false;
}

static bool
take_word(struct parser *parser, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(parser->end - parser->at) < len || memcmp(parser->at, word, len) != 0) {
        return false;
    }
    parser->at += len;
    return true;
}

static bool
take_hex4(struct parser *parser, uint32_t *unit)
{
    if (parser->end - parser->at < 4) {
        return false;
    }
    *unit = 0;
    for (int digit_index = 0; digit_index < 4; digit_index++) {
        char digit = *parser->at++;
        uint32_t digit_value = digit >= '0' && digit <= '9'   ? (uint32_t)(digit - '0')
                               : digit >= 'a' && digit <= 'f' ? (uint32_t)(digit - 'a' + 10)
                               : digit >= 'A' && digit <= 'F' ? (uint32_t)(digit - 'A' + 10)
                                                              : 16;
        if (digit_value == 16) {
            return false;
        }
        *unit = *unit << 4 | digit_value;
    }
    return true;
}

static char *
put_point(char *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xc0 | point >> 6);
        *to++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *to++ = (char)(0xe0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 0x3f));
        *to++ = (char)(0x80 | (point & 0x3f));
    } else {
        *to++ = (char)(0xf0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 0x3f));
        *to++ = (char)(0x80 | (point >> 6 & 0x3f));
        *to++ = (char)(0x80 | (point & 0x3f));
    }
    return to;
}

// Behind "\u". A high surrogate joins with a low one that follows at once, else stays alone.
static bool
take_escaped_point(struct parser *parser, char **to)
{
    uint32_t point;
    if (!take_hex4(parser, &point)) {
        return false;
    }
    if (point >= 0xd800 && point <= 0xdbff && parser->end - parser->at >= 6 &&
        parser->at[0] == '\\' && parser->at[1] == 'u') {
        const char *before = parser->at;
        uint32_t low;
        parser->at += 2;
        if (!take_hex4(parser, &low)) {
            return false;
        }
        if (low >= 0xdc00 && low <= 0xdfff) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        } else {
            parser->at = before;
        }
    }
    *to = put_point(*to, point);
    return true;
}

static bool
take_escape(struct parser *parser, char **to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    if (parser->at == parser->end) {
        return false;
    }
    char letter = *parser->at++;
    if (letter == 'u') {
        return take_escaped_point(parser, to);
    }
    const char *found = letter != '\0' ? strchr(from, letter) : NULL;
    if (found == NULL) {
        return false;
    }
    *(*to)++ = into[found - from];
    return true;
}

// Behind the opening quote.
static enum zkt_err
parse_string(struct parser *parser, struct value *out)
{
    const char *scan = parser->at;
    while (scan < parser->end && *scan != '"') {
        scan += *scan == '\\' && scan + 1 < parser->end ? 2 : 1;
    }
    if (scan >= parser->end) {
        return refuse(parser, ZKT_INVALID, "the string does not end");
    }
    char *text = arena_alloc(parser->arena, (size_t)(scan - parser->at) + 1);
    char *to = text;
    while (*parser->at != '"') {
        if ((unsigned char)*parser->at < ' ') {
            return refuse(parser, ZKT_INVALID, "a control character must be escaped");
        }
        if (*parser->at != '\\') {
            *to++ = *parser->at++;
            continue;
        }
        parser->at++;
        if (!take_escape(parser, &to)) {
            return refuse(parser, ZKT_INVALID, "this escape is none of JSON's");
        }
    }
    parser->at++;
    *to = '\0';
    size_t len = (size_t)(to - text);
    if (!text_is_wtf8(text, len)) {
        // Raw bytes that are no UTF-8; a raw surrogate half next to an escaped one cannot be text
        // either.
        return refuse(parser, ZKT_INVALID, "the string is not valid UTF-8");
    }
    *out = (struct value){.type = VALUE_STRING, .len = (uint32_t)len, .text = text};
    return ZKT_OK;
}

static void
skip_digits(struct parser *parser)
{
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9') {
        parser->at++;
    }
}

static enum zkt_err
parse_number(struct parser *parser, struct value *out)
{
    const char *start = parser->at;
    take(parser, '-');
    const char *digits = parser->at;
    skip_digits(parser);
    if (parser->at == digits || (*digits == '0' && parser->at - digits > 1)) {
        parser->at = start;
        return refuse(parser, ZKT_INVALID, "no JSON value begins like this");
    }
    const char *whole_end = parser->at;
    if (take(parser, '.')) {
        const char *fraction = parser->at;
        skip_digits(parser);
        if (parser->at == fraction) {
            return refuse(parser, ZKT_INVALID, "digits must follow the point");
        }
    }
    if (parser->at < parser->end && (*parser->at == 'e' || *parser->at == 'E')) {
        parser->at++;
        if (!take(parser, '-')) {
            take(parser, '+');
        }
        const char *exponent = parser->at;
        skip_digits(parser);
        if (parser->at == exponent) {
            return refuse(parser, ZKT_INVALID, "digits must follow the exponent");
        }
    }
    if (parser->at == whole_end) {
        return value_bigint(parser->arena, start, (size_t)(whole_end - start), out)
                   ? ZKT_OK
                   : refuse(parser, ZKT_TOO_LARGE, "the integer has too many digits");
    }
    // The text may end right behind the number: float_parse gets a copy with an end of its own.
    const char *copy = arena_copy(parser->arena, start, (size_t)(parser->at - start));
    *out = value_double(float_parse(copy));
    return ZKT_OK;
}

static enum zkt_err
parse_value(struct parser *parser, unsigned depth, struct value *out);

static enum zkt_err
parse_list(struct parser *parser, unsigned depth, struct value *out)
{
    *out = value_list();
    skip_space(parser);
    if (take(parser, ']')) {
        return ZKT_OK;
    }
    for (;;) {
        struct value item;
        enum zkt_err err = parse_value(parser, depth + 1, &item);
        if (err != ZKT_OK) {
            return err;
        }
        value_append(parser->arena, out, item);
        skip_space(parser);
        if (take(parser, ']')) {
            return ZKT_OK;
        }
        if (!take(parser, ',')) {
            return refuse(parser, ZKT_INVALID, "expected \",\" or \"]\"");
        }
    }
}

// The last of equal keys wins, at the place of the first, as in a Python dict. Many keys are
// compared sorted.
static void
drop_doubles(struct parser *parser, struct value *map);

static enum zkt_err
parse_members(struct parser *parser, unsigned depth, struct member **members, uint32_t *len)
{
    uint32_t capacity = 4;
    *members = arena_alloc(parser->arena, capacity * sizeof **members);
    *len = 0;
    for (;;) {
        struct member member;
        skip_space(parser);
        if (!take(parser, '"')) {
            return refuse(parser, ZKT_INVALID, "expected a key in double quotes");
        }
        enum zkt_err err = parse_string(parser, &member.key);
        if (err != ZKT_OK) {
            return err;
        }
        skip_space(parser);
        if (!take(parser, ':')) {
            return refuse(parser, ZKT_INVALID, "expected \":\"");
        }
        err = parse_value(parser, depth + 1, &member.value);
        if (err != ZKT_OK) {
            return err;
        }
        if (*len == capacity) {
            struct member *moved = arena_alloc(parser->arena, (size_t)capacity * 2 * sizeof *moved);
            memcpy(moved, *members, capacity * sizeof *moved);
            *members = moved;
            capacity *= 2;
        }
        (*members)[(*len)++] = member;
        skip_space(parser);
        if (take(parser, '}')) {
            return ZKT_OK;
        }
        if (!take(parser, ',')) {
            return refuse(parser, ZKT_INVALID, "expected \",\" or \"}\"");
        }
    }
}

static enum zkt_err
parse_map(struct parser *parser, unsigned depth, struct value *out)
{
    *out = value_map();
    skip_space(parser);
    if (take(parser, '}')) {
        return ZKT_OK;
    }
    enum zkt_err err = parse_members(parser, depth, &out->members, &out->len);
    if (err == ZKT_OK) {
        drop_doubles(parser, out);
    }
    return err;
}

static enum zkt_err
parse_value(struct parser *parser, unsigned depth, struct value *out)
{
    skip_space(parser);
    if (depth > LIMIT_VALUE_DEPTH) {
        _Static_assert(LIMIT_VALUE_DEPTH == 64, "as the text says");
        return refuse(parser, ZKT_TOO_LARGE, "nested more than 64 deep");
    }
    if (++parser->nodes_count > LIMIT_VALUE_COUNT) {
        return refuse(parser, ZKT_TOO_LARGE, "too many values");
    }
    if (take(parser, '{')) {
        return parse_map(parser, depth, out);
    }
    if (take(parser, '[')) {
        return parse_list(parser, depth, out);
    }
    if (take(parser, '"')) {
        return parse_string(parser, out);
    }
    if (take_word(parser, "null")) {
        *out = value_null();
    } else if (take_word(parser, "true")) {
        *out = value_bool(true);
    } else if (take_word(parser, "false")) {
        *out = value_bool(false);
    } else if (take_word(parser, "NaN")) {
        *out = value_double((double)NAN);
    } else if (take_word(parser, "Infinity")) {
        *out = value_double((double)INFINITY);
    } else if (take_word(parser, "-Infinity")) {
        *out = value_double(-(double)INFINITY);
    } else {
        return parse_number(parser, out);
    }
    return ZKT_OK;
}

enum zkt_err
json_parse(struct span text, struct arena *arena, struct value *out, struct problem *problem)
{
    struct parser parser = {.start = (const char *)text.data, .arena = arena, .problem = problem};
    parser.at = parser.start;
    parser.end = parser.start + text.len;
    if (text.len > LIMIT_JSON_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE, "%zu bytes of JSON, limit %d", text.len,
                           LIMIT_JSON_BYTES);
    }
    enum zkt_err err = parse_value(&parser, 0, out);
    if (err != ZKT_OK) {
        return err;
    }
    skip_space(&parser);
    return parser.at == parser.end ? ZKT_OK
                                   : refuse(&parser, ZKT_INVALID, "something follows the document");
}

// ---- Doubles

static int
compare_keys(const void *a, const void *b)
{
    const struct member *const *left = a;
    const struct member *const *right = b;
    int order = span_compare(span_of((*left)->key.text, (*left)->key.len),
                             span_of((*right)->key.text, (*right)->key.len));
    return order != 0 ? order : (*left > *right) - (*left < *right);
}

static void
drop_doubles(struct parser *parser, struct value *map)
{
    struct member **sorted = arena_alloc(parser->arena, map->len * sizeof(struct member *));
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        sorted[member_index] = &map->members[member_index];
    }
    qsort(sorted, map->len, sizeof(struct member *), compare_keys);
    bool has_doubles = false;
    for (uint32_t member_index = 1; member_index < map->len; member_index++) {
        struct member *earlier = sorted[member_index - 1];
        struct member *later = sorted[member_index];
        if (earlier->key.len == later->key.len &&
            memcmp(earlier->key.text, later->key.text, later->key.len) == 0) {
            earlier->value = later->value;
            later->key.type = VALUE_NULL; // marks it
            sorted[member_index] = earlier;
            has_doubles = true;
        }
    }
    uint32_t kept_count = 0;
    for (uint32_t member_index = 0; has_doubles && member_index < map->len; member_index++) {
        if (map->members[member_index].key.type != VALUE_NULL) {
            map->members[kept_count++] = map->members[member_index];
        }
    }
    map->len = has_doubles ? kept_count : map->len;
    struct member *exact = arena_alloc(parser->arena, value_capacity(map->len) * sizeof *exact);
    memcpy(exact, map->members, map->len * sizeof *exact);
    map->members = exact;
}
