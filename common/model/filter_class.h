// filter_class.h: a character class in Python's syntax, "[…]", read into ranges.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/problem.h"

// One range, or one of the escapes d D w W s S (then first and last are not used).
struct class_item {
    uint32_t first;
    uint32_t last;
    char escape; // 0: a range
};
struct class_set {
    bool is_negated;
    struct class_item *items;
    size_t items_count;
};

// class_parse reads the class whose '[' was at points[*at - 1] and steps behind its ']'.
// FILTER_INVALID: what Python's re refuses.
ZKT_MUST enum zkt_err
class_parse(const uint32_t *points, size_t len, size_t *at, struct arena *arena,
            struct class_set *set, struct problem *problem);
// regex_escape reads the number forms that classes and patterns share: \xHH \uHHHH \UHHHHHHHH and
// the letters \a \f \n \r \t \v and \\, *at standing behind the backslash. False: none of these, or
// wrong; then *at is where it was.
bool
regex_escape(const uint32_t *points, size_t len, size_t *at, uint32_t *point);
