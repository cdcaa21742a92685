// hex.h: bytes as hexadecimal digits.
#pragma once
#include <stddef.h>

// hex_format writes two lower-case digits for each of the `len` bytes, and NUL: text has room for
// 2 * len + 1.
void
hex_format(const void *data, size_t len, char *text);
