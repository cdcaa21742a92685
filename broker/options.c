#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "options_check.h"

static const char usage[] =
    "usage: zkarton-broker [-c FILE] [--data DIR] [--listen ADDRESS] [--events-listen ADDRESS]\n"
    "                      [--http-listen HOST:PORT] [--port N] [--log-file FILE] [--log-level LEVEL]\n"
    "                      [--setup-bucket] [--dev] [--check-config] [--version] [--help]\n"
    "       zkarton-broker store check|dump DIR\n"
    "       zkarton-broker store check --objects DIR\n"
    "       zkarton-broker store copy DIR DEST\n"
    "       zkarton-broker store migrate-objects [-c FILE] [--data DIR]\n";
static const char help[] =
    "\n"
    "  -c, --config FILE   one more configuration file, read last\n"
    "  --data DIR          directory of everything the broker keeps ([broker] data)\n"
    "  --listen ADDRESS    tcp://HOST:PORT for peers; PORT * lets the kernel choose\n"
    "  --events-listen ADDRESS, --http-listen HOST:PORT   likewise\n"
    "  --port N            N, N+1 and N+2 on 127.0.0.1 for peers, events and HTTP; 0: free ports\n"
    "  --setup-bucket      make the bucket of [s3] when it is missing\n"
    "  --dev               loopback, free ports, a temporary data directory that goes at the end\n"
    "  --check-config      read the configuration, say what is wrong, and exit\n"
    "What was bound is written to DIR/endpoints.json.\n";

enum {
    FLAG_DATA = 256,
    FLAG_LISTEN,
    FLAG_EVENTS,
    FLAG_HTTP,
    FLAG_PORT,
    FLAG_LOG_FILE,
    FLAG_LOG_LEVEL,
    FLAG_SETUP_BUCKET,
    FLAG_DEV,
    FLAG_CHECK,
    FLAG_VERSION
};

static const struct option flags[] = {
    {"config", required_argument, NULL, 'c'},
    {"data", required_argument, NULL, FLAG_DATA},
    {"listen", required_argument, NULL, FLAG_LISTEN},
    {"events-listen", required_argument, NULL, FLAG_EVENTS},
    {"http-listen", required_argument, NULL, FLAG_HTTP},
    {"port", required_argument, NULL, FLAG_PORT},
    {"log-file", required_argument, NULL, FLAG_LOG_FILE},
    {"log-level", required_argument, NULL, FLAG_LOG_LEVEL},
    {"setup-bucket", no_argument, NULL, FLAG_SETUP_BUCKET},
    {"dev", no_argument, NULL, FLAG_DEV},
    {"check-config", no_argument, NULL, FLAG_CHECK},
    {"version", no_argument, NULL, FLAG_VERSION},
    {"help", no_argument, NULL, 'h'},
    {0},
};

// Values of flags are set over the files, so they are kept until those are loaded.
struct given {
    const char *section;
    const char *option;
    char *value;
    const char *origin;
};
struct flags_read {
    struct given given[16];
    size_t given_count;
    const char *config_path;
};

static void
give(struct flags_read *read, const char *option, const char *value, const char *origin)
{
    const char *section = strcmp(origin, "--http-listen") == 0 ? "http"
                          : strcmp(option, "level") == 0       ? "logging"
                                                               : "broker";
    if (read->given_count < sizeof read->given / sizeof *read->given) {
        read->given[read->given_count++] = (struct given){section, option, xstrdup(value), origin};
    }
}

static void
give_ports(struct flags_read *read, long port)
{
    char text[3][64];
    for (int port_index = 0; port_index < 3; port_index++) {
        const char *scheme = port_index < 2 ? "tcp://" : "";
        if (port == 0) {
            snprintf(text[port_index], sizeof text[0], "%s127.0.0.1:%s", scheme,
                     port_index < 2 ? "*" : "0");
        } else {
            snprintf(text[port_index], sizeof text[0], "%s127.0.0.1:%ld", scheme,
                     port + port_index);
        }
    }
    give(read, "listen", text[0], "--port");
    give(read, "events_listen", text[1], "--port");
    give(read, "listen", text[2], "--http-listen");
}

static bool
give_dev(struct flags_read *read, struct broker_options *options)
{
    const char *temp = getenv("TMPDIR");
    char *path = xasprintf("%s/zkarton-dev-XXXXXX", temp != NULL && *temp != '\0' ? temp : "/tmp");
    options->is_temporary = true;
    if (mkdtemp(path) == NULL) {
        fprintf(stderr, "zkarton-broker: %s: %s\n", path, strerror(errno));
        free(path);
        return false;
    }
    give(read, "data", path, "--dev");
    give_ports(read, 0);
    free(path);
    return true;
}

static bool
read_port(struct flags_read *read, const char *text)
{
    int64_t port;
    if (!int_parse(text, &port) || port < 0 || port > 65533) {
        fprintf(stderr, "zkarton-broker: --port %s: write a number from 0 to 65533\n%s", text,
                usage);
        return false;
    }
    give_ports(read, (long)port);
    return true;
}

static enum parsed
read_flag(int flag, struct flags_read *read, struct broker_options *options)
{
    switch (flag) {
    case 'c':
        read->config_path = optarg;
        break;
    case FLAG_DATA:
        give(read, "data", optarg, "--data");
        break;
    case FLAG_LISTEN:
        give(read, "listen", optarg, "--listen");
        break;
    case FLAG_EVENTS:
        give(read, "events_listen", optarg, "--events-listen");
        break;
    case FLAG_HTTP:
        give(read, "listen", optarg, "--http-listen");
        break;
    case FLAG_PORT:
        return read_port(read, optarg) ? PARSED_RUN : PARSED_WRONG;
    case FLAG_LOG_FILE:
        free(options->log_path);
        options->log_path = xstrdup(optarg);
        break;
    case FLAG_LOG_LEVEL:
        give(read, "level", optarg, "--log-level");
        break;
    case FLAG_SETUP_BUCKET:
        options->makes_bucket = true;
        break;
    case FLAG_DEV:
        return give_dev(read, options) ? PARSED_RUN : PARSED_WRONG;
    case FLAG_CHECK:
        options->check_only = true;
        break;
    case FLAG_VERSION:
        printf("zkarton-broker %s\n", ZKT_BROKER_VERSION);
        return PARSED_DONE;
    case 'h':
        printf("%s%s", usage, help);
        return PARSED_DONE;
    default:
        fputs(usage, stderr); // getopt_long said what is wrong
        return PARSED_WRONG;
    }
    return PARSED_RUN;
}

static void
take_values(struct broker_options *options)
{
    struct config *config = options->config;
    const char *address = config_text(config, "broker", "address", "tcp://127.0.0.1:5570");
    options->data_path = xstrdup(config_text(config, "broker", "data", "./zkarton-data"));
    options->listen = xstrdup(config_text(config, "broker", "listen", address));
    options->events_listen =
        xstrdup(config_text(config, "broker", "events_listen", "tcp://127.0.0.1:5571"));
    options->http_listen = xstrdup(config_text(config, "http", "listen", "127.0.0.1:5572"));
    options->public_address = xstrdup(config_text(config, "object", "public_address", ""));
    options->heartbeat_ms = config_duration_ms(config, "broker", "heartbeat", 2000);
    options->expiry_ms = config_duration_ms(config, "broker", "expiry", 10000);
    options->expiry_max_ms = config_duration_ms(config, "broker", "max_expiry", 600000);
    options->resume_grace_ms =
        config_duration_ms(config, "broker", "resume_grace", 2 * options->expiry_ms);
    options->deliveries_max = (uint32_t)config_int(config, "broker", "max_deliveries", 3);
    options->finished_ttl_ms = config_duration_ms(config, "store", "finished_ttl", 0);
    options->crashed_ttl_ms = config_duration_ms(config, "store", "crashed_ttl", 259200000);
    options->tasks_max = (uint64_t)config_int(config, "store", "max_tasks", 10000000);
    options->bytes_max = (uint64_t)config_size(config, "store", "max_bytes", 0);
    options->free_min_bytes = (uint64_t)config_size(config, "store", "min_free", 1 << 30);
    options->upload_grace_ms = config_duration_ms(config, "object", "upload_grace", 3600000);
    options->url_ttl_ms = config_duration_ms(config, "object", "url_ttl", 3600000);
    options->multipart_threshold =
        config_size(config, "object", "multipart_threshold", INT64_C(64) << 20);
}

static bool
is_loopback(const char *address)
{
    const char *host = strstr(address, "://");
    host = host != NULL ? host + 3 : address;
    static const char *const prefixes[] = {"127.", "localhost:", "[::1]:"};
    for (size_t prefix_index = 0; prefix_index < sizeof prefixes / sizeof *prefixes;
         prefix_index++) {
        if (strncmp(host, prefixes[prefix_index], strlen(prefixes[prefix_index])) == 0) {
            return true;
        }
    }
    return strncmp(address, "ipc://", 6) == 0 || strncmp(address, "inproc://", 9) == 0;
}

static enum zkt_err
check_exposed(const struct broker_options *options, struct problem *problem)
{
    const struct {
        const char *name;
        const char *address;
    } sockets[] = {{"[broker] listen", options->listen},
                   {"[broker] events_listen", options->events_listen},
                   {"[http] listen", options->http_listen}};
    if (config_bool(options->config, "auth", "insecure", false)) {
        return ZKT_OK;
    }
    for (size_t socket_index = 0; socket_index < 3; socket_index++) {
        if (!is_loopback(sockets[socket_index].address)) {
            return problem_set(
                problem, ZKT_INSECURE,
                "%s %s is open to other machines without keys (INSECURE). This version has no keys yet:"
                " listen on 127.0.0.1, or set [auth] insecure = yes.",
                sockets[socket_index].name, sockets[socket_index].address);
        }
    }
    return ZKT_OK;
}

static enum zkt_err
configure(struct broker_options *options, const struct flags_read *read, struct problem *problem)
{
    options->config = config_new();
    enum zkt_err err = config_load(options->config, read->config_path, problem);
    if (err != ZKT_OK) {
        return err;
    }
    for (size_t given_index = 0; given_index < read->given_count; given_index++) {
        const struct given *given = &read->given[given_index];
        config_set(options->config, given->section, given->option, given->value, given->origin);
    }
    err = config_check(options->config, problem);
    if (err != ZKT_OK) {
        return err;
    }
    const char *warning;
    for (size_t warning_index = 0;
         (warning = config_warning(options->config, warning_index)) != NULL; warning_index++) {
        log_warn("CONFIG-UNKNOWN", "option=\"%s\"", warning);
    }
    int64_t level;
    if (level_parse(config_text(options->config, "logging", "level", "INFO"), &level)) {
        log_set_level((enum log_level)level);
    }
    take_values(options);
    err = options_check(options, problem);
    return err == ZKT_OK ? check_exposed(options, problem) : err;
}

enum parsed
options_parse(int argc, char **argv, struct broker_options *options)
{
    struct flags_read read = {0};
    enum parsed parsed = PARSED_RUN;
    int flag;
    while (parsed == PARSED_RUN && (flag = getopt_long(argc, argv, "c:h", flags, NULL)) != -1) {
        parsed = read_flag(flag, &read, options);
    }
    if (parsed == PARSED_RUN && optind < argc) {
        fprintf(stderr, "zkarton-broker: \"%s\" is no option\n%s", argv[optind], usage);
        parsed = PARSED_WRONG;
    }
    if (parsed == PARSED_RUN) {
        struct problem problem = {.code = ZKT_OK};
        if (configure(options, &read, &problem) != ZKT_OK) {
            // The sentence about INSECURE has its code inside.
            bool has_code = problem.code == ZKT_INSECURE;
            fprintf(stderr, "zkarton-broker: %s%s%s%s\n", problem.text, has_code ? "" : " (",
                    has_code ? "" : zkt_err_name(problem.code), has_code ? "" : ")");
            parsed = PARSED_WRONG;
        }
    }
    for (size_t given_index = 0; given_index < read.given_count; given_index++) {
        free(read.given[given_index].value);
    }
    return parsed;
}

void
options_fini(struct broker_options *options)
{
    config_destroy(&options->config);
    free(options->data_path);
    free(options->listen);
    free(options->events_listen);
    free(options->http_listen);
    free(options->public_address);
    free(options->log_path);
    *options = (struct broker_options){0};
}
