// utf8.h: the characters of a text.
#pragma once
#include <stddef.h>

// utf8_character_len answers the bytes of the character at text, which ends in NUL; 0: that is no
// UTF-8 (RFC 3629: no surrogates, nothing overlong).
size_t
utf8_character_len(const char *text);
