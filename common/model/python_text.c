// str() and repr() of Python, and a short JSON for explanations.
#include <inttypes.h>
#include <string.h>

#include "base/float_text.h"
#include "model/python.h"
#include "model/unicode.h"

enum spelling { SPELL_PYTHON, SPELL_JSON };

struct spelled {
    struct bytes *out;
    enum spelling spelling;
    size_t end_max; // no more is appended beyond this length
    int64_t *steps;
};

static void
append_escaped(struct bytes *out, uint32_t point, enum spelling spelling)
{
    if (point == '\n' || point == '\r' || point == '\t') {
        bytes_printf(out, "\\%c", point == '\n' ? 'n' : point == '\r' ? 'r' : 't');
    } else if (spelling == SPELL_JSON && point <= 0xffff) {
        bytes_printf(out, "\\u%04x", point);
    } else if (point <= 0xff) {
        bytes_printf(out, "\\x%02x", point);
    } else {
        bytes_printf(out, point <= 0xffff ? "\\u%04x" : "\\U%08x", point);
    }
}

static void
append_string(const struct value *string, struct spelled *spelled)
{
    struct bytes *out = spelled->out;
    bool has_single = memchr(string->text, '\'', string->len) != NULL;
    bool has_double = memchr(string->text, '"', string->len) != NULL;
    bool is_double = spelled->spelling == SPELL_JSON || (has_single && !has_double);
    uint32_t quote = is_double ? '"' : '\'';
    const uint8_t *at = (const uint8_t *)string->text;
    const uint8_t *end = at + string->len;
    *spelled->steps -= string->len / 8;
    bytes_append_byte(out, (uint8_t)quote);
    while (at < end && out->len <= spelled->end_max) {
        uint32_t point = point_next(&at, end);
        if (point == quote || point == '\\') {
            bytes_append_byte(out, '\\');
            bytes_append_byte(out, (uint8_t)point);
        } else if (point_is_printable(point)) {
            point_append(out, point);
        } else {
            append_escaped(out, point, spelled->spelling);
        }
    }
    bytes_append_byte(out, (uint8_t)quote);
}

static bool
append_value(const struct value *value, struct spelled *spelled);

static bool
append_items(const struct value *value, struct spelled *spelled)
{
    bool is_map = value->type == VALUE_MAP;
    bool is_known = true;
    bytes_append_byte(spelled->out, is_map ? '{' : '[');
    for (uint32_t item_index = 0; item_index < value->len; item_index++) {
        if (spelled->out->len > spelled->end_max || *spelled->steps < 0) {
            return false;
        }
        if (item_index > 0) {
            bytes_append_text(spelled->out, ", ");
        }
        if (is_map) {
            append_string(&value->members[item_index].key, spelled);
            bytes_append_text(spelled->out, ": ");
        }
        const struct value *item =
            is_map ? &value->members[item_index].value : &value->items[item_index];
        is_known = append_value(item, spelled) && is_known;
    }
    bytes_append_byte(spelled->out, is_map ? '}' : ']');
    return is_known;
}

static void
append_double(double number, struct spelled *spelled)
{
    static const struct {
        const char *python;
        const char *json;
    } words[] = {{"nan", "NaN"}, {"inf", "Infinity"}, {"-inf", "-Infinity"}};
    size_t start = spelled->out->len;
    float_repr(number, spelled->out);
    const char *text = bytes_text(spelled->out) + start;
    for (size_t index = 0; spelled->spelling == SPELL_JSON && index < 3; index++) {
        if (strcmp(text, words[index].python) == 0) {
            spelled->out->len = start;
            bytes_append_text(spelled->out, words[index].json);
            return;
        }
    }
}

static bool
append_value(const struct value *value, struct spelled *spelled)
{
    bool is_json = spelled->spelling == SPELL_JSON;
    --*spelled->steps;
    switch (value->type) {
    case VALUE_NULL:
        bytes_append_text(spelled->out, is_json ? "null" : "None");
        return true;
    case VALUE_BOOL:
        bytes_append_text(spelled->out, value->boolean ? (is_json ? "true" : "True")
                                                       : (is_json ? "false" : "False"));
        return true;
    case VALUE_INT:
        bytes_printf(spelled->out, "%" PRId64, value->integer);
        return true;
    case VALUE_BIGINT:
        bytes_append(spelled->out, value->text, value->len);
        return true;
    case VALUE_DOUBLE:
        append_double(value->number, spelled);
        return true;
    case VALUE_STRING:
        append_string(value, spelled);
        return true;
    case VALUE_LIST:
    case VALUE_MAP:
        return append_items(value, spelled);
    case VALUE_RESOURCE:
        break;
    }
    bytes_append_text(spelled->out, "<object>");
    return false;
}

bool
python_str(const struct value *value, struct bytes *out, int64_t *steps)
{
    if (value->type == VALUE_STRING) {
        bytes_append(out, value->text, value->len);
        return true;
    }
    struct spelled spelled = {
        .out = out, .spelling = SPELL_PYTHON, .end_max = SIZE_MAX, .steps = steps};
    return append_value(value, &spelled) && *steps >= 0;
}

void
python_json(const struct value *value, size_t len_max, struct bytes *out)
{
    int64_t steps = INT64_MAX;
    size_t start = out->len;
    struct spelled spelled = {
        .out = out, .spelling = SPELL_JSON, .end_max = start + len_max, .steps = &steps};
    (void)append_value(value, &spelled);
    if (out->len <= start + len_max) {
        return;
    }
    size_t end = start + len_max;
    while (end > start && (out->data[end] & 0xc0) == 0x80) {
        end--; // not within a character
    }
    out->len = end;
    bytes_append_text(out, "…");
}
