// float_text.h: floats as Python spells them.
#pragma once
#include "base/bytes.h"

// float_repr appends Python's repr of a float: the shortest digits that read back the same, and of
// those the nearest.
void
float_repr(double number, struct bytes *out);
// float_parse reads a number like "-1.5e3", whatever the locale of the program is: the nearest
// double, infinity beyond the largest.
double
float_parse(const char *text);
