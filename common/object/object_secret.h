// object_secret.h: small files of hex digits that are drawn at the first start and kept for ever.
// If one were lost, what it stands for would be too.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/problem.h"

enum { OBJECT_SECRET_MAX = 64 }; // digits

// object_secret_load reads the digits of the file (digits_count, even, at most OBJECT_SECRET_MAX)
// into hex, with a NUL behind; draws them if there is none. Its folder is made too (0700); the file
// is only its user's (0600), and is on disk under its name when this returns. IO; INSECURE: others
// can read it, and is_private.
ZKT_MUST enum zkt_err
object_secret_load(const char *path, size_t digits_count, bool is_private, char *hex,
                   struct problem *problem);
