// `zkarton`: a command reads its options, calls the public API of libzkarton, and prints: data to
// stdout, everything else to stderr.
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"
#include "command_line.h"
#include "output.h"

enum { COMMANDS_MAX = 64 };

static void
on_interrupt(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_INTERRUPTED);
}

static int
run_command(struct cli *cli, const char *name, int argc, char **argv)
{
    const char *names[COMMANDS_MAX];
    for (size_t i = 0; i < cli_commands_count && i < COMMANDS_MAX; i++) {
        if (strcmp(name, cli_commands[i].name) == 0) {
            return cli_commands[i].run(cli, argc, argv);
        }
        names[i] = cli_commands[i].name;
    }
    const char *near = nearest(name, names, cli_commands_count);
    if (near != NULL) {
        return cli_usage(NULL, "no command \"%s\". Did you mean \"%s\"?", name, near);
    }
    return cli_usage(NULL, "no command \"%s\".", name);
}

static int
run(struct cli *cli, int argc, char **argv)
{
    struct option_parser parser = {.cli = cli, .argc = argc, .argv = argv, .at = 1};
    static const struct option options[] = {{"version", 0, 1, false}};
    parser.options = options;
    parser.options_count = 1;
    int id = option_next(&parser);
    if (id == OPTION_HELP) {
        return EXIT_YES;
    }
    if (id == OPTION_WRONG) {
        return EXIT_USAGE;
    }
    if (id == 1) {
        printf("zkarton %s\n", ZKT_VERSION);
        return EXIT_YES;
    }
    if (id == OPTION_END) {
        return cli_usage(NULL, "which command?");
    }
    if (strcmp(parser.value, "help") == 0) {
        char *help_argv[] = {argv[0], parser.at < argc ? argv[parser.at] : "--help", "--help",
                             NULL};
        return run(cli, 3, help_argv);
    }
    return run_command(cli, parser.value, argc - parser.at, argv + parser.at);
}

int
main(int argc, char **argv)
{
    struct cli cli = {0};
    signal(SIGPIPE, SIG_IGN); // a closed pipe is seen as EPIPE and ends with 0
    signal(SIGINT, on_interrupt);
    int code = run(&cli, argc, argv);
    code = output_close(code);
    zkt_client_destroy(&cli.client);
    zkt_config_destroy(&cli.config);
    return code;
}
