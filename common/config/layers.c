// Files, then the environment (S22-S24, E1-E3). All files are read before a "%" is interpreted, as
// in configparser: %(name)s sees the options of all of them.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "config/ini_read.h"
#include "config/store.h"

enum { INTERPOLATION_DEPTH = 10, VALUE_BYTES = 1 << 20, SETTINGS_MAX = 16384 };

static const char *const defaults_name = "DEFAULT";

// ---- Reading one file

struct file_reader {
    struct config *config;
    const char *name;
    unsigned number;
};

static enum zkt_err
take_section(void *user, const char *section, unsigned line, struct problem *problem)
{
    (void)line;
    struct file_reader *reader = user;
    struct section_seen *seen = config_see(reader->config, section);
    if (seen->file_number == reader->number && strcmp(section, defaults_name) != 0) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "[%s]: twice in this file", section);
    }
    seen->file_number = reader->number;
    return ZKT_OK;
}

static enum zkt_err
take_option(void *user, const char *section, const char *option, const char *value, unsigned line,
            struct problem *problem)
{
    struct file_reader *reader = user;
    struct config *config = reader->config;
    const struct setting *earlier = settings_find(&config->raw, section, option);
    if (earlier != NULL && earlier->file_number == reader->number) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "[%s] %s: twice in this file", section,
                           option);
    }
    if (config->raw.len == SETTINGS_MAX) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "more than %d options", SETTINGS_MAX);
    }
    settings_put(&config->raw,
                 &(struct setting){
                     .section = config_see(config, section)->name,
                     .name = arena_copy(&config->arena, option, strlen(option)),
                     .value = arena_copy(&config->arena, value, strlen(value)),
                     .origin = arena_printf(&config->arena, "%s:%u", reader->name, line),
                     .file_number = reader->number,
                 });
    return ZKT_OK;
}

static enum zkt_err
read_path(struct file_reader *reader, const char *path, bool must_exist, struct problem *problem)
{
    FILE *file = fopen(path, "re");
    if (file == NULL && must_exist) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "configuration file %s: %s", path,
                           strerror(errno));
    }
    if (file == NULL) {
        if (errno != ENOENT && errno != ENOTDIR) {
            config_warn(reader->config, "%s: not read: %s", path, strerror(errno));
        }
        return ZKT_OK;
    }
    reader->name = path;
    reader->number++;
    struct ini_sink sink = {.section = take_section, .option = take_option, .user = reader};
    enum zkt_err err = ini_read(file, path, &sink, problem);
    fclose(file);
    return err;
}

static enum zkt_err
read_files(struct config *config, const char *path, struct problem *problem)
{
    const char *home = getenv("HOME");
    const char *named = getenv("KARTON_CONFIG_FILE");
    struct file_reader reader = {.config = config};
    enum zkt_err err = read_path(&reader, "/etc/karton/karton.ini", false, problem);
    if (err == ZKT_OK && home != NULL && home[0] != '\0') {
        char *in_home = arena_printf(&config->arena, "%s/.config/karton/karton.ini", home);
        err = read_path(&reader, in_home, false, problem);
    }
    if (err == ZKT_OK) {
        err = read_path(&reader, "./karton.ini", false, problem);
    }
    if (err == ZKT_OK && named != NULL && named[0] != '\0') {
        err = read_path(&reader, named, true, problem);
    }
    if (err == ZKT_OK && path != NULL) {
        err = read_path(&reader, path, true, problem);
    }
    return err;
}

// ---- "%", as BasicInterpolation

struct interpolation {
    const struct settings *raw;
    const char *section;
    struct bytes out;
    const char *mistake;
};

// The option that %(name)s means: of this section, else of [DEFAULT].
static const struct setting *
referred(const struct interpolation *interpolation, const char *name, size_t len)
{
    char lower[256];
    if (len >= sizeof lower) {
        return NULL;
    }
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        char byte = name[byte_index];
        lower[byte_index] = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
    }
    lower[len] = '\0';
    const struct setting *found = settings_find(interpolation->raw, interpolation->section, lower);
    return found != NULL ? found : settings_find(interpolation->raw, defaults_name, lower);
}

static void
interpolate(struct interpolation *interpolation, const char *value, unsigned depth);

// At "%"; returns what follows the reference, NULL after a mistake.
static const char *
interpolate_one(struct interpolation *interpolation, const char *at, unsigned depth)
{
    if (at[1] == '%') {
        bytes_append_byte(&interpolation->out, '%');
        return at + 2;
    }
    const char *end = at[1] == '(' ? strchr(at, ')') : NULL;
    if (end == NULL || end == at + 2 || end[1] != 's') {
        interpolation->mistake = "\"%\" must be written twice";
        return NULL;
    }
    const struct setting *found = referred(interpolation, at + 2, (size_t)(end - at - 2));
    if (found == NULL) {
        interpolation->mistake = "%(…)s names an option that is not there";
        return NULL;
    }
    interpolate(interpolation, found->value, depth + 1);
    return end + 2;
}

static void
interpolate(struct interpolation *interpolation, const char *value, unsigned depth)
{
    if (depth > INTERPOLATION_DEPTH && strchr(value, '%') != NULL) {
        interpolation->mistake = "%(…)s is nested too deep";
        return;
    }
    while (value != NULL && interpolation->mistake == NULL) {
        const char *mark = strchrnul(value, '%');
        bytes_append(&interpolation->out, value, (size_t)(mark - value));
        if (interpolation->out.len > VALUE_BYTES) {
            interpolation->mistake = "the value becomes too long";
        }
        if (*mark == '\0') {
            return;
        }
        value = interpolate_one(interpolation, mark, depth);
    }
}

static enum zkt_err
settle_one(struct config *config, const char *section, const struct setting *raw,
           struct problem *problem)
{
    struct interpolation interpolation = {.raw = &config->raw, .section = section};
    interpolate(&interpolation, raw->value, 1);
    enum zkt_err err = ZKT_OK;
    if (interpolation.mistake != NULL) {
        err = problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: %s", raw->origin, section,
                          raw->name, interpolation.mistake);
    } else {
        struct setting final = *raw;
        final.section = section;
        final.value = arena_copy(&config->arena, interpolation.out.data, interpolation.out.len);
        final.is_inherited = strcmp(raw->section, section) != 0;
        settings_put(&config->final, &final);
    }
    bytes_fini(&interpolation.out);
    return err;
}

// Each section gets the options of [DEFAULT] that it does not have itself.
static enum zkt_err
settle_section(struct config *config, const char *section, struct problem *problem)
{
    for (size_t row_index = 0; row_index < config->raw.len; row_index++) {
        const struct setting *raw = &config->raw.rows[row_index];
        bool is_own = strcmp(raw->section, section) == 0;
        bool is_inherited = !is_own && strcmp(raw->section, defaults_name) == 0 &&
                            settings_find(&config->raw, section, raw->name) == NULL;
        if (!is_own && !is_inherited) {
            continue;
        }
        enum zkt_err err = settle_one(config, section, raw, problem);
        if (err != ZKT_OK) {
            return err;
        }
    }
    return ZKT_OK;
}

// ---- The environment

static bool
is_word(const char *text, size_t len, const char *extra)
{
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        char byte = text[byte_index];
        bool is_plain = (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        if (!is_plain && strchr(extra, byte) == NULL) {
            return false;
        }
    }
    return len > 0;
}

static char *
lower_copy(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_copy(arena, text, len);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    return copy;
}

// KARTON_([A-Z0-9\-\.]+)_([A-Z0-9_]+): the section has no underscore (E2).
static void
take_variable(struct config *config, const char *variable)
{
    static const char prefix[] = "KARTON_";
    const char *equals = strchr(variable, '=');
    if (equals == NULL || strncmp(variable, prefix, sizeof prefix - 1) != 0) {
        return;
    }
    const char *section = variable + sizeof prefix - 1;
    const char *underscore = strchr(section, '_');
    if (underscore == NULL || underscore > equals) {
        return;
    }
    const char *option = underscore + 1;
    size_t section_len = (size_t)(underscore - section);
    size_t option_len = (size_t)(equals - option);
    if (!is_word(section, section_len, "-.") || !is_word(option, option_len, "_")) {
        return;
    }
    config_set(
        config, lower_copy(&config->arena, section, section_len),
        lower_copy(&config->arena, option, option_len), equals + 1,
        arena_printf(&config->arena, "environment %.*s", (int)(equals - variable), variable));
}

enum zkt_err
config_load(struct config *config, const char *path, struct problem *problem)
{
    enum zkt_err err = read_files(config, path, problem);
    config->load_warnings_len = config->warnings_len;
    for (size_t section_index = 0; err == ZKT_OK && section_index < config->sections_len;
         section_index++) {
        err = settle_section(config, config->sections[section_index].name, problem);
    }
    if (err != ZKT_OK) {
        return err;
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        take_variable(config, *variable);
    }
    return config_check(config, problem);
}
