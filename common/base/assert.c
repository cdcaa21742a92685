#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void
zkt_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "ASSERTION %s:%d: %s: %s\n", file, line, function, condition);
    fflush(stderr);
    abort();
}
