#include "options_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/address.h"
#include "object_stores.h"

static enum zkt_err
refuse(const struct broker_options *options, const char *section, const char *option,
       const char *why, struct problem *problem)
{
    const char *origin = config_origin(options->config, section, option);
    if (origin == NULL || strcmp(origin, "default") == 0) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "[%s] %s: %s", section, option, why);
    }
    return problem_set(problem, ZKT_CONFIG_INVALID, "%s: [%s] %s: %s", origin, section, option,
                       why);
}

static enum zkt_err
check_times(const struct broker_options *options, struct problem *problem)
{
    char why[128];
    if (options->expiry_ms <= options->heartbeat_ms) {
        snprintf(why, sizeof why, "%lld ms is not longer than heartbeat, %lld ms",
                 (long long)options->expiry_ms, (long long)options->heartbeat_ms);
        return refuse(options, "broker", "expiry", why, problem);
    }
    if (options->expiry_max_ms < options->expiry_ms) {
        snprintf(why, sizeof why, "%lld ms is below expiry, %lld ms",
                 (long long)options->expiry_max_ms, (long long)options->expiry_ms);
        return refuse(options, "broker", "max_expiry", why, problem);
    }
    return ZKT_OK;
}

static bool
climbs(const char *prefix)
{
    for (const char *at = prefix; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        size_t len = strcspn(at, "/");
        if ((len == 1 && at[0] == '.') || (len == 2 && memcmp(at, "..", 2) == 0)) {
            return true;
        }
    }
    return false;
}

enum zkt_err
options_check(const struct broker_options *options, struct problem *problem)
{
    const char *prefix = config_text(options->config, "object", "prefix", "");
    char why[256];
    enum zkt_err err = check_times(options, problem);
    const char *form =
        options->public_address[0] != '\0' ? address_url_form(options->public_address) : NULL;
    if (err == ZKT_OK && form != NULL) {
        snprintf(why, sizeof why, "\"%.64s\" is not %s", options->public_address, form);
        err = refuse(options, "object", "public_address", why, problem);
    }
    if (err == ZKT_OK && (climbs(prefix) || prefix[0] == '/')) {
        snprintf(why, sizeof why, "\"%.64s\" must not begin with / or hold . or .. as a name",
                 prefix);
        err = refuse(options, "object", "prefix", why, problem);
    }
    return err == ZKT_OK ? object_stores_check(options, problem) : err;
}
