// Answers the lines of stdin as `zkarton match --jsonl` does, for tests that need no command line.
#include <stdio.h>
#include <stdlib.h>

#include "wire/match_jsonl.h"

int
main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    struct bytes out = {0};
    while ((len = getline(&line, &capacity, stdin)) != -1) {
        bytes_clear(&out);
        match_jsonl_line(span_of(line, (size_t)len), &out);
        fwrite(out.data, 1, out.len, stdout);
    }
    bytes_fini(&out);
    free(line);
    return 0;
}
