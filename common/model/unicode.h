// unicode.h: code points of WTF-8 text, and the classes of characters that Python tells apart.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

// point_next returns the code point at *at and steps over it; *at < end. A byte that begins no
// sequence counts as a point of its own, so that the walk always ends.
uint32_t
point_next(const uint8_t **at, const uint8_t *end);
// point_append writes a code point, a lone surrogate too, as WTF-8.
void
point_append(struct bytes *out, uint32_t point);
bool
point_is_printable(uint32_t point); // str.isprintable()
bool
point_is_space(uint32_t point); // str.isspace()
// point_digit returns 0 to 9 for str.isdecimal(), -1 otherwise.
int
point_digit(uint32_t point);
bool
point_is_digit(uint32_t point); // str.isdigit(), which knows more than decimals
