#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/option_table.h"
#include "config/store.h"

enum { WARNINGS_MAX = 64, WARNING_BYTES = 512 };

struct config *
config_new(void)
{
    return xcalloc(1, sizeof(struct config));
}

void
config_destroy(struct config **config_p)
{
    struct config *config = *config_p;
    if (config == NULL) {
        return;
    }
    free(config->raw.rows);
    free(config->final.rows);
    free(config->sections);
    free(config->warnings);
    arena_fini(&config->arena);
    free(config);
    *config_p = NULL;
}

struct setting *
settings_find(const struct settings *settings, const char *section, const char *name)
{
    for (size_t row_index = 0; row_index < settings->len; row_index++) {
        struct setting *row = &settings->rows[row_index];
        if (strcmp(row->name, name) == 0 && strcmp(row->section, section) == 0) {
            return row;
        }
    }
    return NULL;
}

void
settings_put(struct settings *settings, const struct setting *setting)
{
    struct setting *row = settings_find(settings, setting->section, setting->name);
    if (row == NULL) {
        if (settings->len == settings->capacity) {
            settings->capacity = settings->capacity * 2 + 32;
            settings->rows = xrealloc(settings->rows, settings->capacity * sizeof *settings->rows);
        }
        row = &settings->rows[settings->len++];
    }
    *row = *setting;
}

static struct section_seen *
find_section(const struct config *config, const char *section)
{
    for (size_t section_index = 0; section_index < config->sections_len; section_index++) {
        if (strcmp(config->sections[section_index].name, section) == 0) {
            return &config->sections[section_index];
        }
    }
    return NULL;
}

struct section_seen *
config_see(struct config *config, const char *section)
{
    struct section_seen *seen = find_section(config, section);
    if (seen != NULL) {
        return seen;
    }
    if (config->sections_len == config->sections_capacity) {
        config->sections_capacity = config->sections_capacity * 2 + 16;
        config->sections =
            xrealloc(config->sections, config->sections_capacity * sizeof *config->sections);
    }
    seen = &config->sections[config->sections_len++];
    *seen = (struct section_seen){.name = arena_copy(&config->arena, section, strlen(section))};
    return seen;
}

void
config_warn(struct config *config, const char *format, ...)
{
    if (config->warnings_len == WARNINGS_MAX) {
        return;
    }
    if (config->warnings == NULL) {
        config->warnings = xmalloc(WARNINGS_MAX * sizeof *config->warnings);
    }
    char text[WARNING_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    config->warnings[config->warnings_len++] = arena_copy(&config->arena, text, strlen(text));
}

void
config_set(struct config *config, const char *section, const char *option, const char *value,
           const char *origin)
{
    struct arena *arena = &config->arena;
    settings_put(&config->final, &(struct setting){
                                     .section = config_see(config, section)->name,
                                     .name = arena_copy(arena, option, strlen(option)),
                                     .value = arena_copy(arena, value, strlen(value)),
                                     .origin = arena_copy(arena, origin, strlen(origin)),
                                 });
}

const char *
config_warning(const struct config *config, size_t warning_index)
{
    return warning_index < config->warnings_len ? config->warnings[warning_index] : NULL;
}

bool
config_has_section(const struct config *config, const char *section)
{
    return find_section(config, section) != NULL;
}

const char *
config_text(const struct config *config, const char *section, const char *option,
            const char *fallback)
{
    const struct setting *setting = settings_find(&config->final, section, option);
    if (setting != NULL) {
        return setting->value;
    }
    const struct option_row *row = option_row_find(section, option);
    return row != NULL && row->default_text != NULL ? row->default_text : fallback;
}

int64_t
config_int(const struct config *config, const char *section, const char *option, int64_t fallback)
{
    const char *text = config_text(config, section, option, NULL);
    int64_t number;
    return text != NULL && int_parse(text, &number) ? number : fallback;
}

bool
config_bool(const struct config *config, const char *section, const char *option, bool fallback)
{
    const char *text = config_text(config, section, option, NULL);
    bool is_on;
    return text != NULL && bool_parse(text, &is_on) ? is_on : fallback;
}

int64_t
config_duration_ms(const struct config *config, const char *section, const char *option,
                   int64_t fallback_ms)
{
    const char *text = config_text(config, section, option, NULL);
    int64_t duration_ms;
    return text != NULL && duration_parse(text, &duration_ms) ? duration_ms : fallback_ms;
}

int64_t
config_size(const struct config *config, const char *section, const char *option, int64_t fallback)
{
    const char *text = config_text(config, section, option, NULL);
    int64_t size_bytes;
    return text != NULL && size_parse(text, &size_bytes) ? size_bytes : fallback;
}

const char *
config_origin(const struct config *config, const char *section, const char *option)
{
    const struct setting *setting = settings_find(&config->final, section, option);
    if (setting != NULL) {
        return setting->origin;
    }
    const struct option_row *row = option_row_find(section, option);
    return row != NULL && row->default_text != NULL ? "default" : NULL;
}
