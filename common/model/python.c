// Equality, order and remainder of Python's numbers, strings, lists and maps. Values are at most
// LIMIT_VALUE_DEPTH deep where they were decoded, so these functions may recurse.
#include "model/python.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/float_text.h"

struct value
python_undefined(void)
{
    return value_resource(UINT32_MAX);
}

bool
python_is_undefined(const struct value *value)
{
    return value->type == VALUE_RESOURCE && value->resource_index == UINT32_MAX;
}

// `a is b or a == b`, as containers compare their items.
static bool
is_same_or_equal(const struct value *a, const struct value *b, int64_t *steps)
{
    if (a->type == VALUE_DOUBLE && b->type == VALUE_DOUBLE && isnan(a->number) &&
        isnan(b->number)) {
        return true;
    }
    return python_equal(a, b, steps);
}

static bool
lists_equal(const struct value *a, const struct value *b, int64_t *steps)
{
    for (uint32_t item_index = 0; item_index < a->len; item_index++) {
        if (!is_same_or_equal(&a->items[item_index], &b->items[item_index], steps)) {
            return false;
        }
    }
    return true;
}

static bool
maps_equal(const struct value *a, const struct value *b, int64_t *steps)
{
    for (uint32_t member_index = 0; member_index < a->len; member_index++) {
        const struct member *member = &a->members[member_index];
        const struct member *twin = &b->members[member_index];
        const struct value *other = &twin->value;
        if (!value_equal(&member->key, &twin->key)) {
            *steps -= b->len; // a search
            if (*steps < 0) {
                return false;
            }
            other = value_get_n(b, member->key.text, member->key.len);
        }
        if (other == NULL || !is_same_or_equal(&member->value, other, steps)) {
            return false;
        }
    }
    return true;
}

bool
python_equal(const struct value *a, const struct value *b, int64_t *steps)
{
    if (--*steps < 0) {
        return false;
    }
    if (a->type == VALUE_LIST || a->type == VALUE_MAP) {
        if (a->type != b->type || a->len != b->len) {
            return false;
        }
        return a->type == VALUE_LIST ? lists_equal(a, b, steps) : maps_equal(a, b, steps);
    }
    return !python_is_undefined(a) && value_equal(a, b);
}

bool
python_contains(const struct value *list, const struct value *item, int64_t *steps)
{
    for (uint32_t item_index = 0; item_index < list->len && *steps >= 0; item_index++) {
        if (is_same_or_equal(&list->items[item_index], item, steps)) {
            return true;
        }
    }
    return false;
}

static enum python_order
order_of(int sign)
{
    return sign < 0 ? PYTHON_BELOW : sign > 0 ? PYTHON_ABOVE : PYTHON_SAME;
}

static enum python_order
reversed(enum python_order order)
{
    return order == PYTHON_BELOW ? PYTHON_ABOVE : order == PYTHON_ABOVE ? PYTHON_BELOW : order;
}

// Two integers as canonical decimal text.
static int
compare_digits(const char *a, size_t a_len, const char *b, size_t b_len)
{
    bool a_is_negative = a[0] == '-';
    bool b_is_negative = b[0] == '-';
    if (a_is_negative != b_is_negative) {
        return a_is_negative ? -1 : 1;
    }
    int sign = a_len != b_len ? (a_len < b_len ? -1 : 1) : memcmp(a, b, a_len);
    return a_is_negative ? -sign : sign;
}

static int
compare_integers(const struct value *a, const struct value *b)
{
    if (a->type != VALUE_BIGINT && b->type != VALUE_BIGINT) {
        int64_t left = value_small_integer(a);
        int64_t right = value_small_integer(b);
        return left < right ? -1 : left > right;
    }
    if (a->type == VALUE_BIGINT && b->type == VALUE_BIGINT) {
        return compare_digits(a->text, a->len, b->text, b->len);
    }
    // A bigint lies beyond every small integer.
    bool a_is_below = a->type == VALUE_BIGINT ? a->text[0] == '-' : b->text[0] != '-';
    return a_is_below ? -1 : 1;
}

static enum python_order
order_integer_double(const struct value *integer, double number)
{
    if (isnan(number)) {
        return PYTHON_UNORDERED;
    }
    if (isinf(number)) {
        return number > 0 ? PYTHON_BELOW : PYTHON_ABOVE;
    }
    if (integer->type == VALUE_BIGINT) {
        char text[320];
        int len = snprintf(text, sizeof text, "%.0f", trunc(number));
        return order_of(compare_digits(integer->text, integer->len, text, (size_t)len));
    }
    if (number >= 0x1p63) {
        return PYTHON_BELOW;
    }
    if (number < -0x1p63) {
        return PYTHON_ABOVE;
    }
    int64_t whole = (int64_t)floor(number);
    int64_t small = value_small_integer(integer);
    if (small != whole) {
        return small < whole ? PYTHON_BELOW : PYTHON_ABOVE;
    }
    return number > floor(number) ? PYTHON_BELOW : PYTHON_SAME;
}

static enum python_order
order_numbers(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_DOUBLE && b->type == VALUE_DOUBLE) {
        if (isnan(a->number) || isnan(b->number)) {
            return PYTHON_UNORDERED;
        }
        return order_of(a->number < b->number ? -1 : a->number > b->number);
    }
    if (b->type == VALUE_DOUBLE) {
        return order_integer_double(a, b->number);
    }
    if (a->type == VALUE_DOUBLE) {
        return reversed(order_integer_double(b, a->number));
    }
    return order_of(compare_integers(a, b));
}

static enum python_order
order_lists(const struct value *a, const struct value *b, int64_t *steps)
{
    uint32_t common_len = a->len < b->len ? a->len : b->len;
    for (uint32_t item_index = 0; item_index < common_len; item_index++) {
        const struct value *left = &a->items[item_index];
        const struct value *right = &b->items[item_index];
        if (!is_same_or_equal(left, right, steps)) {
            return python_order(left, right, steps);
        }
    }
    return order_of(a->len < b->len ? -1 : a->len > b->len);
}

enum python_order
python_order(const struct value *a, const struct value *b, int64_t *steps)
{
    if (--*steps < 0) {
        return PYTHON_NOT_COMPARABLE;
    }
    if (value_is_number(a) && value_is_number(b)) {
        return order_numbers(a, b);
    }
    if (a->type == VALUE_STRING && b->type == VALUE_STRING) {
        // The order of WTF-8 bytes is the order of code points.
        return order_of(span_compare(span_of(a->text, a->len), span_of(b->text, b->len)));
    }
    if (a->type == VALUE_LIST && b->type == VALUE_LIST) {
        return order_lists(a, b, steps);
    }
    return PYTHON_NOT_COMPARABLE;
}

static double
to_double(const struct value *number)
{
    if (number->type == VALUE_DOUBLE) {
        return number->number;
    }
    // float_parse rounds as Python does: to the nearest, ties to even.
    return number->type == VALUE_BIGINT ? float_parse(number->text)
                                        : (double)value_small_integer(number);
}

static bool
remainder_of_doubles(double dividend, double divisor, struct value *out)
{
    double rest = fmod(dividend, divisor);
    if (rest == 0) {
        rest = copysign(0.0, divisor);
    } else if ((divisor < 0) != (rest < 0)) {
        rest += divisor;
    }
    *out = value_double(rest);
    return true;
}

static int64_t
remainder_of_digits(const struct value *bigint, int64_t divisor)
{
    bool is_negative = bigint->text[0] == '-';
    __int128 rest = 0;
    for (uint32_t digit_index = is_negative; digit_index < bigint->len; digit_index++) {
        rest = (rest * 10 + (bigint->text[digit_index] - '0')) % divisor;
    }
    return (int64_t)(is_negative ? -rest : rest);
}

bool
python_remainder(const struct value *dividend, const struct value *divisor, struct value *out)
{
    zkt_assert(value_is_number(dividend));
    if (dividend->type == VALUE_DOUBLE || divisor->type == VALUE_DOUBLE) {
        double number = to_double(dividend);
        if (dividend->type == VALUE_BIGINT && isinf(number)) {
            return false;
        }
        return remainder_of_doubles(number, to_double(divisor), out);
    }
    int64_t by = value_small_integer(divisor);
    zkt_assert(by != 0);
    if (by == -1 || by == 1) {
        *out = value_int(0); // INT64_MIN % -1 traps
        return true;
    }
    int64_t rest = dividend->type == VALUE_BIGINT ? remainder_of_digits(dividend, by)
                                                  : value_small_integer(dividend) % by;
    if (rest != 0 && (rest < 0) != (by < 0)) {
        rest += by;
    }
    *out = value_int(rest);
    return true;
}
