// Readings of one word: durations, sizes, booleans, integers.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config.h"

struct unit {
    const char *name;
    int64_t factor;
};

// "NUMBER UNIT" with one of units; the first unit stands for none.
static bool
parse_with_unit(const char *text, const struct unit *units, size_t units_count, int64_t *out)
{
    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    for (size_t unit_index = 0; unit_index < units_count; unit_index++) {
        if (strcasecmp(end, units[unit_index].name) == 0) {
            return !__builtin_mul_overflow((int64_t)number, units[unit_index].factor, out);
        }
    }
    return false;
}

bool
duration_parse(const char *text, int64_t *duration_ms)
{
    static const struct unit units[] = {
        {"", 1000},     {"ms", 1},      {"s", 1000},     {"sec", 1000},    {"m", 60000},
        {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000},
    };
    return parse_with_unit(text, units, sizeof units / sizeof *units, duration_ms);
}

bool
size_parse(const char *text, int64_t *size_bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1 << 10},
        {"KiB", 1 << 10},
        {"kB", 1000},
        {"M", 1 << 20},
        {"MiB", 1 << 20},
        {"MB", 1000000},
        {"G", 1 << 30},
        {"GiB", 1 << 30},
        {"GB", 1000000000},
        {"T", (int64_t)1 << 40},
        {"TiB", (int64_t)1 << 40},
        {"TB", 1000000000000},
    };
    return parse_with_unit(text, units, sizeof units / sizeof *units, size_bytes);
}

bool
bool_parse(const char *text, bool *out)
{
    static const char *const words[] = {"0", "1", "no", "yes", "false", "true", "off", "on"};
    for (size_t word_index = 0; word_index < sizeof words / sizeof *words; word_index++) {
        if (strcasecmp(text, words[word_index]) == 0) {
            *out = word_index % 2 == 1;
            return true;
        }
    }
    return false;
}

bool
int_parse(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || errno != 0) {
        return false;
    }
    while (isspace((unsigned char)*end)) {
        end++;
    }
    *out = number;
    return *end == '\0';
}

bool
level_parse(const char *text, int64_t *number)
{
    static const struct {
        const char *name;
        int number;
    } levels[] = {{"NOTSET", 0}, {"DEBUG", 10}, {"INFO", 20},     {"WARNING", 30},
                  {"WARN", 30},  {"ERROR", 40}, {"CRITICAL", 50}, {"FATAL", 50}};
    for (size_t level_index = 0; level_index < sizeof levels / sizeof *levels; level_index++) {
        if (strcasecmp(text, levels[level_index].name) == 0) {
            *number = levels[level_index].number;
            return true;
        }
    }
    return int_parse(text, number) && *number >= 0 && *number <= 1000;
}
