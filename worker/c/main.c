// zkt_worker_main: a whole program around a process function, with Karton's options (P12).
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"
#include "options.h"
#include "worker.h"

enum {
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_DENIED = 4,
    EXIT_ABORTED = 130,
};

enum option_code {
    OPTION_HELP = 256,
    OPTION_VERSION,
    OPTION_CONFIG,
    OPTION_IDENTITY,
    OPTION_LOG_LEVEL,
    OPTION_DEBUG,
    OPTION_NON_PERSISTENT,
    OPTION_TASK_TIMEOUT,
    OPTION_CONCURRENCY,
    OPTION_PREFETCH,
    OPTION_TRANSACTIONAL,
    OPTION_JOIN,
    OPTION_BROKER,
};

static const struct option LONG_OPTIONS[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"config-file", required_argument, NULL, OPTION_CONFIG},
    {"identity", required_argument, NULL, OPTION_IDENTITY},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"debug", no_argument, NULL, OPTION_DEBUG},
    {"non-persistent", no_argument, NULL, OPTION_NON_PERSISTENT},
    {"task-timeout", required_argument, NULL, OPTION_TASK_TIMEOUT},
    {"concurrency", required_argument, NULL, OPTION_CONCURRENCY},
    {"concurrency-limit", required_argument, NULL, OPTION_CONCURRENCY},
    {"prefetch", required_argument, NULL, OPTION_PREFETCH},
    {"transactional", no_argument, NULL, OPTION_TRANSACTIONAL},
    {"join", no_argument, NULL, OPTION_JOIN},
    {"broker", required_argument, NULL, OPTION_BROKER},
    {NULL, 0, NULL, 0},
};

static const char USAGE[] =
    "options:\n"
    "  --version              print the versions and exit\n"
    "  --config-file FILE     read FILE over the usual configuration\n"
    "  --broker ADDRESS       tcp://HOST:PORT\n"
    "  --identity NAME        serve NAME instead\n"
    "  --log-level LEVEL      DEBUG, INFO, WARNING or ERROR\n"
    "  --debug                a queue of its own, temporary, logs stay here\n"
    "  --non-persistent       the queue goes with its last worker\n"
    "  --task-timeout S       seconds that one task may take\n"
    "  --concurrency N        threads\n"
    "  --prefetch N           most tasks held at once\n"
    "  --transactional        children appear when their task is finished\n"
    "  --join                 take the registered bind, whatever it is\n"
    "  --help                 this text\n";

struct command_line {
    const char *config_path;
    const char *values[OPTION_BROKER + 1 - OPTION_HELP]; // by option code; flags: ""
};

static const char *
given(const struct command_line *line, enum option_code code)
{
    return line->values[code - OPTION_HELP];
}

static enum zkt_err
parse(int argc, char **argv, struct command_line *line)
{
    int code = 0;
    optind = 1;
    while ((code = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1) {
        if (code < OPTION_HELP) {
            return ZKT_USAGE; // getopt has said what was wrong
        }
        line->values[code - OPTION_HELP] = optarg == NULL ? "" : optarg;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: \"%s\": unexpected\n", argv[0], argv[optind]);
        return ZKT_USAGE;
    }
    return ZKT_OK;
}

static void
put_option(struct config *config, const struct command_line *line, enum option_code code,
           const char *section, const char *option)
{
    if (given(line, code) != NULL) {
        config_set(config, section, option, given(line, code), "command line");
    }
}

static enum zkt_err
configure(const struct command_line *line, struct zkt_config **config)
{
    enum zkt_err err = zkt_config_load(given(line, OPTION_CONFIG), config);
    if (err != ZKT_OK) {
        return err;
    }
    struct config *inner = (*config)->config;
    put_option(inner, line, OPTION_IDENTITY, "karton", "identity");
    put_option(inner, line, OPTION_LOG_LEVEL, "logging", "level");
    put_option(inner, line, OPTION_TASK_TIMEOUT, "karton", "task_timeout");
    put_option(inner, line, OPTION_CONCURRENCY, "worker", "concurrency");
    put_option(inner, line, OPTION_PREFETCH, "worker", "prefetch");
    put_option(inner, line, OPTION_BROKER, "broker", "address");
    if (given(line, OPTION_DEBUG) != NULL) {
        config_set(inner, "karton", "debug", "1", "command line");
    }
    err = config_check(inner, &(*config)->problem);
    (*config)->problem.code = err;
    return err;
}

// What the command line says wins over what the program says.
static void
override(const struct command_line *line, zkt_worker_options_t *options)
{
    options->temporary |= given(line, OPTION_NON_PERSISTENT) != NULL;
    options->transactional |= given(line, OPTION_TRANSACTIONAL) != NULL;
    options->join |= given(line, OPTION_JOIN) != NULL;
    if (given(line, OPTION_TASK_TIMEOUT) != NULL) {
        options->timeout_s = 0;
    }
    if (given(line, OPTION_CONCURRENCY) != NULL) {
        options->concurrency = 0;
    }
    if (given(line, OPTION_PREFETCH) != NULL) {
        options->prefetch = 0;
    }
}

static int
exit_code(enum zkt_err err)
{
    switch (err) {
    case ZKT_OK:
        return EXIT_SUCCESS;
    case ZKT_CONFIG_INVALID:
    case ZKT_FILTER_INVALID:
    case ZKT_IDENTITY_INVALID:
    case ZKT_USAGE:
    case ZKT_INVALID:
        return EXIT_USAGE;
    case ZKT_UNREACHABLE:
        return EXIT_UNREACHABLE;
    case ZKT_DENIED:
        return EXIT_DENIED;
    case ZKT_CANCELLED:
        return EXIT_ABORTED;
    default:
        return EXIT_FAILURE;
    }
}

static int
run(const char *program, const zkt_worker_options_t *options)
{
    zkt_worker_t *worker = NULL;
    enum zkt_err err = zkt_worker_new(options, &worker);
    if (err == ZKT_OK) {
        err = zkt_worker_run(worker);
    }
    if (err != ZKT_OK) {
        fprintf(stderr, "%s: %s (%s)\n", program, zkt_worker_error(worker), zkt_err_name(err));
    }
    bool is_abandoned = worker->is_abandoned;
    zkt_worker_destroy(&worker);
    if (is_abandoned) {
        // Threads are still in process: nothing of this process may be torn down under them.
        _exit(exit_code(err));
    }
    return exit_code(err);
}

int
zkt_worker_main(int argc, char **argv, const zkt_worker_options_t *options)
{
    struct command_line line = {0};
    const char *program = argc > 0 ? argv[0] : "worker";
    if (parse(argc, argv, &line) != ZKT_OK) {
        fprintf(stderr, "%s", USAGE);
        return EXIT_USAGE;
    }
    if (given(&line, OPTION_HELP) != NULL) {
        printf("%s: %s\n%s", program, options->info == NULL ? "a zkarton worker" : options->info,
               USAGE);
        return EXIT_SUCCESS;
    }
    if (given(&line, OPTION_VERSION) != NULL) {
        printf("%s %s (zkarton %s)\n", options->identity == NULL ? program : options->identity,
               options->service_version == NULL ? "-" : options->service_version, ZKT_VERSION);
        return EXIT_SUCCESS;
    }
    zkt_worker_options_t own = *options;
    struct zkt_config *config = NULL;
    override(&line, &own);
    if (own.config == NULL) {
        if (configure(&line, &config) != ZKT_OK) {
            fprintf(stderr, "%s: %s\n", program, zkt_config_error(config));
            zkt_config_destroy(&config);
            return EXIT_USAGE;
        }
        own.config = config;
    }
    int code = run(program, &own);
    zkt_config_destroy(&config);
    return code;
}
