// python.h: values as Python compares and spells them, for filters that must mean what they mean in
// Karton. Every function that may walk a large value takes a budget of steps and lowers it; below
// zero the answer is "no" and the caller has to give up.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "model/value.h"

// The value that stands for "there is nothing there" while a filter is evaluated: equal to nothing,
// of no type.
struct value
python_undefined(void);
bool
python_is_undefined(const struct value *value);
// python_equal is a == b. Inside lists and maps NaN equals NaN, since json makes one object of it.
bool
python_equal(const struct value *a, const struct value *b, int64_t *steps);
// python_contains is `item in list`.
bool
python_contains(const struct value *list, const struct value *item, int64_t *steps);

enum python_order {
    PYTHON_BELOW,
    PYTHON_SAME,
    PYTHON_ABOVE,
    PYTHON_UNORDERED,      // a NaN
    PYTHON_NOT_COMPARABLE, // TypeError
};
enum python_order
python_order(const struct value *a, const struct value *b, int64_t *steps);
// python_remainder is dividend % divisor of numbers, divisor an INT or DOUBLE other than zero.
// False: OverflowError.
bool
python_remainder(const struct value *dividend, const struct value *divisor, struct value *out);

// python_format tells whether format % argument works for a string and an INT or DOUBLE.
bool
python_format(const struct value *format, const struct value *argument);

// python_str appends str(value); false: the text depends on an address.
bool
python_str(const struct value *value, struct bytes *out, int64_t *steps);
// python_json appends value as JSON for people to read: cut after `len_max` bytes, with "…".
void
python_json(const struct value *value, size_t len_max, struct bytes *out);
