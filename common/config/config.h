// config.h: Karton's configuration (parity E1-E7): files in ini form, one over the other, then the
// environment, then the command line. Every value remembers where it came from. The options that
// zkarton knows stand in one table (schemas/options.json), which gives their types and defaults.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"

struct config;

struct config *
config_new(void);
void
config_destroy(struct config **config_p);

// config_load reads /etc/karton/karton.ini, ~/.config/karton/karton.ini, ./karton.ini, the file
// that KARTON_CONFIG_FILE names, the file at path (NULL: none) and the variables
// KARTON_<SECTION>_<OPTION>, later ones over earlier ones, then config_check. A named file that
// cannot be read is an error, the others may be missing. CONFIG_INVALID names file, line, section
// and option. Call it once.
ZKT_MUST enum zkt_err
config_load(struct config *config, const char *path, struct problem *problem);
// config_set puts value over what was loaded; origin says where it came from ("--broker"). Call
// config_check behind the last one.
void
config_set(struct config *config, const char *section, const char *option, const char *value,
           const char *origin);
// config_check refuses unknown options in our sections, and values that are not of their option's
// type. Unknown options of [karton] and [logging] become warnings; other sections are free.
ZKT_MUST enum zkt_err
config_check(struct config *config, struct problem *problem);
// config_warning returns the warning of that index, NULL behind the last one.
const char *
config_warning(const struct config *config, size_t warning_index);

bool
config_has_section(const struct config *config, const char *section);
// The value as configured, else the table's default, else fallback. A value that cannot be read as
// that type is the fallback; config_check has refused it if the option is in the table. Texts are
// borrowed until the next config_set.
const char *
config_text(const struct config *config, const char *section, const char *option,
            const char *fallback);
int64_t
config_int(const struct config *config, const char *section, const char *option, int64_t fallback);
bool
config_bool(const struct config *config, const char *section, const char *option, bool fallback);
int64_t
config_duration_ms(const struct config *config, const char *section, const char *option,
                   int64_t fallback_ms);
// Bytes.
int64_t
config_size(const struct config *config, const char *section, const char *option, int64_t fallback);
// config_origin: "./karton.ini:7", "environment KARTON_BROKER_ADDRESS", the origin given to
// config_set, "default" (of the table), or NULL: no such value.
const char *
config_origin(const struct config *config, const char *section, const char *option);

// The same readings for words of a command line; false: not of that form.
// "1500ms", "2s", "10m", "1h", "3d"; a bare number is seconds.
bool
duration_parse(const char *text, int64_t *duration_ms);
// "4096", "64KiB", "1GiB", "2G" (1024), "10MB" (1000); letters of any case.
bool
size_parse(const char *text, int64_t *size_bytes);
// 1, yes, true, on; 0, no, false, off; letters of any case (E4).
bool
bool_parse(const char *text, bool *out);
// A level of logging as Python names or numbers it (S15): "DEBUG" is 10, "INFO" 20, "25" is 25.
bool
level_parse(const char *text, int64_t *number);
// A decimal integer with optional sign, blanks around it allowed.
bool
int_parse(const char *text, int64_t *out);
