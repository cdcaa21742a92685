// The check of every value against the row of its option.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/address.h"
#include "config/option_table.h"
#include "config/store.h"

const struct option_row *
option_row_find(const char *section, const char *name)
{
    for (size_t row_index = 0; row_index < option_table_len; row_index++) {
        const struct option_row *row = &option_table[row_index];
        if (strcmp(row->name, name) == 0 && strcmp(row->section, section) == 0) {
            return row;
        }
    }
    return NULL;
}

const struct section_row *
section_row_find(const char *section)
{
    for (size_t row_index = 0; row_index < section_table_len; row_index++) {
        if (strcmp(section_table[row_index].name, section) == 0) {
            return &section_table[row_index];
        }
    }
    return NULL;
}

// ---- Values

static bool
is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);
    while (*choices != '\0') {
        const char *end = strchrnul(choices, '|');
        if ((size_t)(end - choices) == len && memcmp(choices, value, len) == 0) {
            return true;
        }
        choices = *end == '|' ? end + 1 : end;
    }
    return false;
}

// Texts that are addresses. What only the broker uses of [s3] and [object] is its own to check.
static const char *
expected_address(const struct option_row *row, const char *value)
{
    bool is_broker = strcmp(row->section, "broker") == 0;
    if (is_broker && (strcmp(row->name, "address") == 0 || strcmp(row->name, "listen") == 0 ||
                      strcmp(row->name, "events_listen") == 0)) {
        return address_peer_form(value);
    }
    bool is_http = strcmp(row->section, "http") == 0 && strcmp(row->name, "listen") == 0;
    return is_http ? address_http_form(value) : NULL;
}

// What a value of this row must be, in words; NULL: it is.
static const char *
expected_form(const struct option_row *row, const char *value, int64_t *number, bool *has_number)
{
    bool is_on;
    *has_number = false;
    switch (row->type) {
    case OPTION_TEXT:
        return expected_address(row, value);
    case OPTION_INTEGER_OR_AUTO:
        if (strcmp(value, "auto") == 0) {
            return NULL;
        }
        *has_number = int_parse(value, number);
        return *has_number ? NULL : "an integer or auto";
    case OPTION_INTEGER:
        *has_number = int_parse(value, number);
        return *has_number ? NULL : "an integer";
    case OPTION_BOOLEAN:
        return bool_parse(value, &is_on) ? NULL : "yes or no";
    case OPTION_DURATION:
        *has_number = duration_parse(value, number);
        return *has_number ? NULL : "a duration like 500ms, 2s, 10m, 1h or 3d";
    case OPTION_SIZE:
        *has_number = size_parse(value, number);
        return *has_number ? NULL : "a size like 64KiB or 1GiB";
    case OPTION_CHOICE:
        return is_choice(row->choices, value) ? NULL : row->choices;
    case OPTION_LEVEL:
        return level_parse(value, number) ? NULL
                                          : "DEBUG, INFO, WARNING, ERROR, CRITICAL or a number";
    }
    return NULL;
}

static enum zkt_err
check_value(const struct option_row *row, const struct setting *setting, struct problem *problem)
{
    int64_t number;
    bool has_number;
    const char *form = expected_form(row, setting->value, &number, &has_number);
    if (form != NULL) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: \"%.64s\" is not %s",
                           setting->origin, row->section, row->name, setting->value, form);
    }
    const char *unit = row->type == OPTION_DURATION ? " ms" : row->type == OPTION_SIZE ? " B" : "";
    if (has_number && number < row->min) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: \"%.64s\" is below %lld%s",
                           setting->origin, row->section, row->name, setting->value,
                           (long long)row->min, unit);
    }
    if (has_number && number > row->max) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: \"%.64s\" is above %lld%s",
                           setting->origin, row->section, row->name, setting->value,
                           (long long)row->max, unit);
    }
    return ZKT_OK;
}

// ---- Names

// The advice behind an unknown option: "", or ". Did you mean …?" from the rows of its section.
static void
advise(const struct setting *setting, char *text, size_t size)
{
    enum { CANDIDATES_MAX = 64 };
    const char *candidates[CANDIDATES_MAX];
    size_t candidates_count = 0;
    for (size_t row_index = 0; row_index < option_table_len && candidates_count < CANDIDATES_MAX;
         row_index++) {
        if (strcmp(option_table[row_index].section, setting->section) == 0) {
            candidates[candidates_count++] = option_table[row_index].name;
        }
    }
    const char *close = nearest(setting->name, candidates, candidates_count);
    snprintf(text, size, close != NULL ? ". Did you mean \"%s\"?" : "%s",
             close != NULL ? close : "");
}

// Orchestrators announce a service called "karton-broker" to every container as
// KARTON_BROKER_SERVICE_HOST, KARTON_BROKER_PORT_5570_TCP and so on: those are no options.
static bool
is_service_link(const struct setting *setting)
{
    return strncmp(setting->origin, "environment ", 12) == 0 &&
           (strncmp(setting->name, "service_", 8) == 0 || strcmp(setting->name, "port") == 0 ||
            strncmp(setting->name, "port_", 5) == 0);
}

static enum zkt_err
check_unknown(struct config *config, const struct setting *setting, struct problem *problem)
{
    const struct section_row *section = section_row_find(setting->section);
    if (section == NULL || setting->is_inherited || is_service_link(setting)) {
        return ZKT_OK;
    }
    char advice[128];
    advise(setting, advice, sizeof advice);
    if (section->refuses_unknown) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: unknown%s", setting->origin,
                           setting->section, setting->name, advice);
    }
    config_warn(config, "%s: [%s] %s: unknown%s", setting->origin, setting->section, setting->name,
                advice);
    return ZKT_OK;
}

enum zkt_err
config_check(struct config *config, struct problem *problem)
{
    config->warnings_len = config->load_warnings_len;
    for (size_t row_index = 0; row_index < config->final.len; row_index++) {
        const struct setting *setting = &config->final.rows[row_index];
        const struct option_row *row = option_row_find(setting->section, setting->name);
        enum zkt_err err = row != NULL ? check_value(row, setting, problem)
                                       : check_unknown(config, setting, problem);
        if (err != ZKT_OK) {
            return err;
        }
    }
    return ZKT_OK;
}
