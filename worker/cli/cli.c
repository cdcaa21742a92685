#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/problem.h"
#include "config/address.h"
#include "output.h"

int
cli_exit_code(enum zkt_err err)
{
    switch (err) {
    case ZKT_OK:
        return EXIT_YES;
    case ZKT_INVALID:
    case ZKT_USAGE:
    case ZKT_CONFIG_INVALID:
    case ZKT_FILTER_INVALID:
    case ZKT_IDENTITY_INVALID:
        return EXIT_USAGE;
    case ZKT_UNREACHABLE:
        return EXIT_UNREACHABLE;
    case ZKT_DENIED:
        return EXIT_DENIED;
    case ZKT_NOT_FOUND:
    case ZKT_OBJECT_UNKNOWN:
    case ZKT_NO_SUCH_CONSUMER:
        return EXIT_NOT_FOUND;
    case ZKT_TIMEOUT:
        return EXIT_TIMEOUT;
    case ZKT_CANCELLED:
        return EXIT_INTERRUPTED;
    case ZKT_IO:
    case ZKT_FAILED:
        return EXIT_NO;
    default:
        return EXIT_REFUSED;
    }
}

// "wrong (CODE). Right": texts of the library may carry their code already.
static void
print_problem(struct problem *problem)
{
    char text[PROBLEM_TEXT_SIZE * 2];
    char code[64];
    text_sanitise(problem->text);
    snprintf(code, sizeof(code), "(%s", zkt_err_name(problem->code));
    if (strstr(problem->text, code) != NULL) {
        snprintf(text, sizeof(text), "%s", problem->text);
    } else {
        problem_sentence(problem, text, sizeof(text));
    }
    fprintf(stderr, "zkarton: %s\n", text);
}

int
cli_fail(enum zkt_err err, const char *format, ...)
{
    struct problem problem = {.code = err};
    va_list args;
    va_start(args, format);
    vsnprintf(problem.text, sizeof(problem.text), format, args);
    va_end(args);
    print_problem(&problem);
    return cli_exit_code(err);
}

int
cli_usage(const char *command, const char *format, ...)
{
    struct problem problem = {.code = ZKT_USAGE};
    va_list args;
    va_start(args, format);
    vsnprintf(problem.text, sizeof(problem.text), format, args);
    va_end(args);
    print_problem(&problem);
    for (size_t i = 0; i < cli_commands_count; i++) {
        if (command != NULL && strcmp(command, cli_commands[i].name) == 0) {
            fprintf(stderr, "usage: zkarton %s\n", cli_commands[i].usage);
            return EXIT_USAGE;
        }
    }
    fprintf(stderr, "usage: zkarton COMMAND …; zkarton --help lists the commands\n");
    return EXIT_USAGE;
}

void
cli_note(const struct cli *cli, const char *format, ...)
{
    if (cli->is_quiet) {
        return;
    }
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int
cli_config(struct cli *cli)
{
    if (cli->config != NULL) {
        return EXIT_YES;
    }
    enum zkt_err err = zkt_config_load(cli->config_path, &cli->config);
    if (err != ZKT_OK) {
        return cli_fail(err, "%s", zkt_config_error(cli->config));
    }
    if (cli->broker != NULL) {
        const char *form = address_peer_form(cli->broker);
        if (form != NULL) {
            return cli_usage(NULL, "\"--broker %s\" is not %s.", cli->broker, form);
        }
        zkt_config_set(cli->config, "broker", "address", cli->broker);
    }
    return EXIT_YES;
}

int
cli_connect_as(struct cli *cli, zkt_client_options_t *options)
{
    if (cli->client != NULL) {
        return EXIT_YES;
    }
    int code = cli_config(cli);
    if (code != EXIT_YES) {
        return code;
    }
    options->config = cli->config;
    options->timeout_ms = cli->timeout_ms;
    enum zkt_err err = zkt_client_new(options, &cli->client);
    return err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
}

int
cli_connect(struct cli *cli)
{
    return cli_connect_as(cli, &(zkt_client_options_t){.identity = "", .is_operator = true});
}

int
cli_client_fail(struct cli *cli, enum zkt_err err)
{
    const char *text = zkt_client_error(cli->client);
    return cli_fail(err, "%s", text != NULL ? text : "the broker refused");
}
