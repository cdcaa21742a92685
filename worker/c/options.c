// The public face of the configuration.
#include "options.h"

#include <stdlib.h>

#include "base/memory.h"

enum zkt_err
zkt_config_load(const char *path, zkt_config_t **config_out)
{
    struct zkt_config *config = xcalloc(1, sizeof *config);
    config->config = config_new();
    *config_out = config;
    return config_load(config->config, path, &config->problem);
}

const char *
zkt_config_get(const zkt_config_t *config, const char *section, const char *option,
               const char *fallback)
{
    return config_text(config->config, section, option, fallback);
}

int64_t
zkt_config_getint(const zkt_config_t *config, const char *section, const char *option,
                  int64_t fallback)
{
    return config_int(config->config, section, option, fallback);
}

bool
zkt_config_getbool(const zkt_config_t *config, const char *section, const char *option,
                   bool fallback)
{
    return config_bool(config->config, section, option, fallback);
}

int64_t
zkt_config_getduration(const zkt_config_t *config, const char *section, const char *option,
                       int64_t fallback_ms)
{
    return config_duration_ms(config->config, section, option, fallback_ms);
}

const char *
zkt_config_origin(const zkt_config_t *config, const char *section, const char *option)
{
    return config_origin(config->config, section, option);
}

void
zkt_config_set(zkt_config_t *config, const char *section, const char *option, const char *value)
{
    config_set(config->config, section, option, value, "the program");
    if (config->problem.code == ZKT_OK) {
        enum zkt_err err = config_check(config->config, &config->problem);
        config->problem.code = err;
    }
}

const char *
zkt_config_error(const zkt_config_t *config)
{
    return config->problem.code == ZKT_OK ? NULL : config->problem.text;
}

void
zkt_config_destroy(zkt_config_t **config_p)
{
    if (*config_p != NULL) {
        config_destroy(&(*config_p)->config);
        free(*config_p);
        *config_p = NULL;
    }
}
