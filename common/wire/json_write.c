#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "wire/json.h"

struct writer {
    struct bytes *out;
    unsigned style;
    unsigned indent;
};

static uint32_t
next_point(const char **at)
{
    const uint8_t *data = (const uint8_t *)*at;
    uint32_t first = data[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    uint32_t point = len == 1 ? first : first & (0xffu >> (len + 1));
    for (size_t byte_index = 1; byte_index < len; byte_index++) {
        point = point << 6 | (data[byte_index] & 0x3fu);
    }
    *at += len;
    return point;
}

static void
write_point(struct bytes *out, uint32_t point)
{
    if (point > 0xffff) {
        point -= 0x10000;
        bytes_printf(out, "\\u%04x\\u%04x", 0xd800 + (point >> 10), 0xdc00 + (point & 0x3ff));
        return;
    }
    bytes_printf(out, "\\u%04x", point);
}

static void
write_special(struct bytes *out, uint32_t point)
{
    static const char escapes[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'},
                                      {'\t', 't'}, {'\f', 'f'},  {'\b', 'b'}};
    for (size_t escape_index = 0; escape_index < sizeof escapes / sizeof *escapes; escape_index++) {
        if ((uint32_t)escapes[escape_index][0] == point) {
            bytes_append_byte(out, '\\');
            bytes_append_byte(out, (uint8_t)escapes[escape_index][1]);
            return;
        }
    }
    write_point(out, point);
}

static void
write_string(struct bytes *out, const struct value *string)
{
    const char *at = string->text;
    const char *end = at + string->len;
    bytes_append_byte(out, '"');
    while (at < end) {
        const char *start = at;
        while (at < end && *at >= ' ' && *at < 0x7f && *at != '"' && *at != '\\') {
            at++;
        }
        bytes_append(out, start, (size_t)(at - start));
        if (at < end) {
            write_special(out, next_point(&at));
        }
    }
    bytes_append_byte(out, '"');
}

static void
write_double(struct bytes *out, double number)
{
    if (isnan(number)) {
        bytes_append_text(out, "NaN");
    } else if (isinf(number)) {
        bytes_append_text(out, number < 0 ? "-Infinity" : "Infinity");
    } else {
        float_repr(number, out);
    }
}

static void
write_break(const struct writer *writer, unsigned depth)
{
    if (writer->indent == 0) {
        return;
    }
    bytes_append_byte(writer->out, '\n');
    for (unsigned space_index = 0; space_index < writer->indent * depth; space_index++) {
        bytes_append_byte(writer->out, ' ');
    }
}

static void
write_comma(const struct writer *writer)
{
    bool is_bare = writer->indent > 0 || (writer->style & JSON_COMPACT) != 0;
    bytes_append_text(writer->out, is_bare ? "," : ", ");
}

// Order of code points, as Python sorts texts. WTF-8 bytes sort the same way.
static int
compare_members(const void *a, const void *b)
{
    const struct member *const *left = a;
    const struct member *const *right = b;
    return span_compare(span_of((*left)->key.text, (*left)->key.len),
                        span_of((*right)->key.text, (*right)->key.len));
}

static void
write_value(const struct writer *writer, const struct value *value, unsigned depth);

static void
write_list(const struct writer *writer, const struct value *list, unsigned depth)
{
    bytes_append_byte(writer->out, '[');
    for (uint32_t item_index = 0; item_index < list->len; item_index++) {
        if (item_index > 0) {
            write_comma(writer);
        }
        write_break(writer, depth + 1);
        write_value(writer, &list->items[item_index], depth + 1);
    }
    if (list->len > 0) {
        write_break(writer, depth);
    }
    bytes_append_byte(writer->out, ']');
}

static void
write_map(const struct writer *writer, const struct value *map, unsigned depth)
{
    const struct member **members = xmalloc((map->len + 1) * sizeof(const struct member *));
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        members[member_index] = &map->members[member_index];
    }
    if ((writer->style & JSON_SORTED) != 0) {
        qsort(members, map->len, sizeof(const struct member *), compare_members);
    }
    bytes_append_byte(writer->out, '{');
    for (uint32_t member_index = 0; member_index < map->len; member_index++) {
        if (member_index > 0) {
            write_comma(writer);
        }
        write_break(writer, depth + 1);
        write_string(writer->out, &members[member_index]->key);
        bytes_append_text(writer->out, (writer->style & JSON_COMPACT) != 0 ? ":" : ": ");
        write_value(writer, &members[member_index]->value, depth + 1);
    }
    if (map->len > 0) {
        write_break(writer, depth);
    }
    bytes_append_byte(writer->out, '}');
    free(members);
}

static void
write_value(const struct writer *writer, const struct value *value, unsigned depth)
{
    struct bytes *out = writer->out;
    switch (value->type) {
    case VALUE_NULL:
        bytes_append_text(out, "null");
        break;
    case VALUE_BOOL:
        bytes_append_text(out, value->boolean ? "true" : "false");
        break;
    case VALUE_INT:
        bytes_printf(out, "%lld", (long long)value->integer);
        break;
    case VALUE_BIGINT:
        bytes_append(out, value->text, value->len);
        break;
    case VALUE_DOUBLE:
        write_double(out, value->number);
        break;
    case VALUE_STRING:
        write_string(out, value);
        break;
    case VALUE_LIST:
        write_list(writer, value, depth);
        break;
    case VALUE_MAP:
        write_map(writer, value, depth);
        break;
    case VALUE_RESOURCE:
        bytes_printf(out, "{\"__karton_resource__\": %u}", value->resource_index);
        break;
    }
}

void
json_write(const struct value *value, struct bytes *out, unsigned style)
{
    unsigned indent = (style & JSON_INDENT2) != 0 ? 2 : (style & JSON_INDENT4) != 0 ? 4 : 0;
    struct writer writer = {.out = out, .style = style, .indent = indent};
    write_value(&writer, value, 0);
}
