// store.h: the inside of struct config, shared by its files.
#pragma once
#include "base/arena.h"
#include "config/config.h"

// One option of one layer. Texts live in the arena of the config.
struct setting {
    const char *section;
    const char *name;
    const char *value;
    const char *origin;
    unsigned file_number; // of the file it was last set in; 0: not from a file
    bool is_inherited;    // from [DEFAULT]
};
struct settings {
    struct setting *rows;
    size_t len;
    size_t capacity;
};
struct section_seen {
    const char *name;
    unsigned file_number; // of the file it was last seen in
};

struct config {
    struct arena arena;
    struct settings raw;   // of the files, "%" not interpreted
    struct settings final; // everything
    struct section_seen *sections;
    size_t sections_len;
    size_t sections_capacity;
    const char **warnings;
    size_t warnings_len;
    size_t load_warnings_len; // of reading the files; the others are config_check's
};

// settings_find returns NULL when it is not there.
struct setting *
settings_find(const struct settings *settings, const char *section, const char *name);
// settings_put replaces the setting of the same section and name in place. Texts are borrowed.
void
settings_put(struct settings *settings, const struct setting *setting);
// config_see notes that a section exists.
struct section_seen *
config_see(struct config *config, const char *section);
void
config_warn(struct config *config, const char *format, ...) __attribute__((format(printf, 2, 3)));
