// option_table.h: the rows behind docs/configuration.md, made from schemas/options.json.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_TEXT,
    OPTION_INTEGER,
    OPTION_INTEGER_OR_AUTO,
    OPTION_BOOLEAN,
    OPTION_DURATION,
    OPTION_SIZE,
    OPTION_CHOICE,
    OPTION_LEVEL, // of Python's logging: a name or a number
};

struct option_row {
    const char *section;
    const char *name;
    enum option_type type;
    const char *default_text; // NULL: none
    int64_t min;              // of numbers, durations in ms, sizes in bytes
    int64_t max;
    const char *choices; // "dir|s3"
};

struct section_row {
    const char *name;
    bool refuses_unknown; // false: an unknown option is a warning
};

extern const struct option_row option_table[];
extern const size_t option_table_len;
extern const struct section_row section_table[];
extern const size_t section_table_len;

// option_row_find and section_row_find return NULL for what is not in the table.
const struct option_row *
option_row_find(const char *section, const char *name);
const struct section_row *
section_row_find(const char *section);
