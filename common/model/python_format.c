// Whether "…%d…" % number works. Only that is asked: the text it would give is never equal to a
// number.
#include <math.h>
#include <string.h>

#include "model/python.h"

enum { WIDTH_DIGITS_MAX = 9 }; // what is longer does not work for lack of memory, or at all

struct format {
    const char *at;
    const char *end;
    bool is_taken; // the only argument
};

static bool
accept(struct format *format, const char *wanted)
{
    if (format->at == format->end || *format->at == '\0' || strchr(wanted, *format->at) == NULL) {
        return false;
    }
    format->at++;
    return true;
}

// A width or precision: digits, or '*', which takes the argument.
static bool
read_size(struct format *format, const struct value *argument)
{
    if (accept(format, "*")) {
        if (format->is_taken || argument->type != VALUE_INT) {
            return false;
        }
        format->is_taken = true;
        return true;
    }
    const char *start = format->at;
    while (accept(format, "0123456789")) {
    }
    return format->at - start <= WIDTH_DIGITS_MAX;
}

static bool
converts(char conversion, const struct value *argument)
{
    bool is_double = argument->type == VALUE_DOUBLE;
    switch (conversion) {
    case 's':
    case 'r':
    case 'a':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        return true;
    case 'd':
    case 'i':
    case 'u':
        return !is_double || isfinite(argument->number);
    case 'o':
    case 'x':
    case 'X':
        return !is_double;
    case 'c':
        return !is_double && argument->integer >= 0 && argument->integer <= 0x10ffff;
    default:
        return false;
    }
}

// Behind a '%'.
static bool
read_conversion(struct format *format, const struct value *argument)
{
    while (accept(format, "-+ #0")) {
    }
    if (!read_size(format, argument)) {
        return false;
    }
    if (accept(format, ".") && !read_size(format, argument)) {
        return false;
    }
    (void)accept(format, "hlL");
    if (format->at == format->end) {
        return false;
    }
    char conversion = *format->at++;
    if (conversion == '%') {
        return true;
    }
    bool works = !format->is_taken && converts(conversion, argument);
    format->is_taken = true;
    return works;
}

bool
python_format(const struct value *format, const struct value *argument)
{
    struct value number = *argument;
    if (number.type == VALUE_BOOL) {
        number = value_int(argument->boolean);
    }
    struct format state = {.at = format->text, .end = format->text + format->len};
    while (state.at < state.end) {
        if (*state.at++ == '%' && !read_conversion(&state, &number)) {
            return false;
        }
    }
    return state.is_taken;
}
