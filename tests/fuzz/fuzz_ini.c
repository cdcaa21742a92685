// Configuration files: whatever stands in one, it is read or refused with its line.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "config/ini_read.h"

static enum zkt_err
take_section(void *user, const char *section, unsigned line, struct problem *problem)
{
    (void)user;
    (void)problem;
    zkt_assert(section[0] != '\0');
    zkt_assert(line > 0);
    return ZKT_OK;
}

static enum zkt_err
take_option(void *user, const char *section, const char *option, const char *value, unsigned line,
            struct problem *problem)
{
    (void)problem;
    size_t *options_count = user;
    zkt_assert(section[0] != '\0');
    zkt_assert(option[0] != '\0');
    zkt_assert(value[0] != ' ');
    zkt_assert(line > 0);
    ++*options_count;
    return ZKT_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problem problem = {.text = ""};
    size_t options_count = 0;
    struct ini_sink sink = {take_section, take_option, &options_count};
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    if (file == NULL) {
        return 0;
    }
    enum zkt_err err = ini_read(file, "x.ini", &sink, &problem);
    zkt_assert(err == ZKT_OK || err == ZKT_CONFIG_INVALID);
    zkt_assert(err == ZKT_OK || strncmp(problem.text, "x.ini:", 6) == 0);
    fclose(file);
    return 0;
}
