#include "object_stores.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "config/address.h"
#include "object/object_dir.h"
#include "object/object_moving.h"
#include "object/object_s3.h"
#include "object/object_secret.h"

enum { OWN_DIGITS = 12 };

// ---- The prefix of keys

// The digits that tell this broker's keys from those of others, made at the first start. If they
// were lost, its objects would be too.
static enum zkt_err
own_prefix(const char *data_path, char **prefix, struct problem *problem)
{
    char digits[OWN_DIGITS + 1] = "";
    char *path = xasprintf("%s/keys/object.prefix", data_path);
    enum zkt_err err = object_secret_load(path, OWN_DIGITS, false, digits, problem);
    *prefix = xasprintf("zkt-%s/", digits);
    free(path);
    return err;
}

// ---- One store

enum zkt_err
object_stores_open_dir(const struct broker_options *options, bool is_guest,
                       struct object_store **store, struct problem *problem)
{
    char *secret_path = xasprintf("%s/keys/object.secret", options->data_path);
    char *own_path = xasprintf("%s/objects", options->data_path);
    char *keys_path = xasprintf("%s/keys/s3.keys", options->data_path);
    struct object_dir_options dir = {
        .path = config_text(options->config, "object", "path", own_path),
        .secret_path = secret_path,
        .address = "",
        .is_guest = is_guest,
        .url_ttl_s = options->url_ttl_ms / 1000,
        .keys_path = keys_path,
        // Tasks still come in when files do not any more.
        .reserve_bytes = 2 * options->free_min_bytes,
    };
    enum zkt_err err = object_dir_open(&dir, store, problem);
    free(keys_path);
    free(own_path);
    free(secret_path);
    return err;
}

// The value of [s3] or of Karton's older [minio], else of the variables.
static const char *
s3_text(const struct broker_options *options, const char *option, const char *const *variables)
{
    const char *text = config_text(options->config, "s3", option, NULL);
    if (text == NULL) {
        text = config_text(options->config, "minio", option, NULL);
    }
    for (; text == NULL && *variables != NULL; variables++) {
        text = getenv(*variables);
    }
    return text != NULL && text[0] != '\0' ? text : NULL;
}

// [minio] has its address without a scheme, and `secure` beside it (on unless told).
static char *
s3_address(const struct broker_options *options)
{
    static const char *const variables[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", NULL};
    const char *address = s3_text(options, "address", variables);
    if (address == NULL) {
        return xstrdup("");
    }
    bool is_old = config_text(options->config, "s3", "address", NULL) == NULL &&
                  config_text(options->config, "minio", "address", NULL) != NULL;
    bool is_secure = config_bool(options->config, "minio", "secure", true);
    return is_old && strstr(address, "://") == NULL
               ? xasprintf("%s://%s", is_secure ? "https" : "http", address)
               : xstrdup(address);
}

static const char *
variable(const char *name)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool
is_written(const struct broker_options *options, const char *option)
{
    static const char *const none[] = {NULL};
    return s3_text(options, option, none) != NULL;
}

// A token belongs to its keys: it is taken from where the name of the key is.
static const char *
session_token(const struct broker_options *options)
{
    static const char *const none[] = {NULL};
    return is_written(options, "access_key") ? s3_text(options, "session_token", none)
                                             : variable("AWS_SESSION_TOKEN");
}

static struct s3_credential_options
credential_options(const struct broker_options *options)
{
    static const char *const access[] = {"AWS_ACCESS_KEY_ID", NULL};
    static const char *const secret[] = {"AWS_SECRET_ACCESS_KEY", NULL};
    static const char *const region[] = {"AWS_REGION", "AWS_DEFAULT_REGION", NULL};
    struct s3_credential_options credentials = {
        .access = s3_text(options, "access_key", access),
        .secret = s3_text(options, "secret_key", secret),
        .token = session_token(options),
        .region = s3_text(options, "region", region),
        .uses_roles = config_bool(options->config, "s3", "iam_auth", false),
        .container_relative_uri = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        .container_full_uri = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        .container_token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        .container_token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        .metadata_endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    };
    if (credentials.region == NULL) {
        credentials.region = "us-east-1";
    }
    return credentials;
}

enum zkt_err
object_stores_open_s3(const struct broker_options *options, struct object_store **store,
                      struct problem *problem)
{
    static const char *const none[] = {NULL};
    const char *prefix = config_text(options->config, "object", "prefix", NULL);
    const char *bucket = s3_text(options, "bucket", none);
    char *own = NULL;
    char *address = s3_address(options);
    enum zkt_err err = ZKT_OK;
    if (prefix == NULL) {
        err = own_prefix(options->data_path, &own, problem);
        prefix = own;
    }
    struct object_s3_options s3 = {
        .address = address,
        .public_address = options->public_address,
        .bucket = bucket != NULL ? bucket : "",
        .prefix = prefix,
        .ca_file = config_text(options->config, "s3", "ca_file", NULL),
        .url_ttl_s = options->url_ttl_ms / 1000,
        .makes_bucket = options->makes_bucket,
        .deletes_null_versions =
            config_bool(options->config, "object", "delete_null_versions", false),
        .credentials = credential_options(options),
    };
    if (err == ZKT_OK && is_written(options, "session_token") &&
        !is_written(options, "access_key")) {
        err = problem_set(problem, ZKT_CONFIG_INVALID,
                          "[s3] session_token: it belongs to an access_key and a secret_key. Write "
                          "them beside it");
    }
    if (err == ZKT_OK) {
        err = object_s3_open(&s3, store, problem);
    }
    free(address);
    free(own);
    return err;
}

// ---- What the broker uses

enum zkt_err
object_stores_check(const struct broker_options *options, struct problem *problem)
{
    static const char *const none[] = {NULL};
    if (strcmp(config_text(options->config, "object", "kind", ""), "s3") != 0) {
        return ZKT_OK;
    }
    char *address = s3_address(options);
    const char *form = address_url_form(address);
    const char *origin = config_origin(options->config, "s3", "address");
    enum zkt_err err = ZKT_OK;
    if (address[0] == '\0') {
        err =
            problem_set(problem, ZKT_CONFIG_INVALID,
                        "[s3] address is missing, and [object] kind is s3. Write http://HOST:PORT");
    } else if (form != NULL) {
        err = problem_set(problem, ZKT_CONFIG_INVALID, "%s%s[s3] address: \"%.64s\" is not %s",
                          origin != NULL ? origin : "", origin != NULL ? ": " : "", address, form);
    } else if (s3_text(options, "bucket", none) == NULL) {
        err = problem_set(problem, ZKT_CONFIG_INVALID,
                          "[s3] bucket is missing, and [object] kind is s3. Write the name of a "
                          "bucket");
    }
    free(address);
    return err;
}

static bool
is_text(const struct broker_options *options, const char *option, const char *word)
{
    return strcmp(config_text(options->config, "object", option, ""), word) == 0;
}

enum object_sweep
object_stores_sweep_mode(const struct broker_options *options)
{
    const char *prefix = config_text(options->config, "object", "prefix", NULL);
    bool is_shared = is_text(options, "kind", "s3") && prefix != NULL && prefix[0] == '\0';
    if (is_text(options, "sweep", "all")) {
        return OBJECT_SWEEP_ALL;
    }
    // Without a prefix nothing tells the broker's keys from those of others.
    return is_text(options, "sweep", "off") || is_shared ? OBJECT_SWEEP_OFF : OBJECT_SWEEP_OWN;
}

enum zkt_err
object_stores_open(const struct broker_options *options, struct object_stores *stores,
                   struct problem *problem)
{
    bool is_s3 = is_text(options, "kind", "s3");
    bool is_moving = is_s3 && is_text(options, "migrate_from", "dir");
    enum zkt_err err = ZKT_OK;
    *stores = (struct object_stores){0};
    if (!is_s3 && is_text(options, "migrate_from", "dir")) {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[object] migrate_from: \"dir\" is the store in use. Write kind = s3, "
                           "or take migrate_from out");
    }
    if (is_s3) {
        err = object_stores_open_s3(options, &stores->s3, problem);
    }
    if (err == ZKT_OK && (!is_s3 || is_moving)) {
        err = object_stores_open_dir(options, false, &stores->dir, problem);
    }
    if (err == ZKT_OK) {
        stores->is_moving = is_moving;
        stores->store = is_moving ? object_moving_new(stores->dir, stores->s3)
                        : is_s3   ? stores->s3
                                  : stores->dir;
    } else {
        object_stores_close(stores);
    }
    return err;
}

void
object_stores_close(struct object_stores *stores)
{
    if (stores->is_moving) {
        object_store_destroy(&stores->store);
    }
    object_store_destroy(&stores->dir);
    object_store_destroy(&stores->s3);
    *stores = (struct object_stores){0};
}
