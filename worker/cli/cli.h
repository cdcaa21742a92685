// cli.h: what every command of `zkarton` shares: global options, exit codes, the one client.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zkarton.h>

enum exit_code {
    EXIT_YES = 0,
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_DENIED = 4,
    EXIT_NOT_FOUND = 5,
    EXIT_REFUSED = 6,
    EXIT_TIMEOUT = 124,
    EXIT_NO_COMMAND = 127,
    EXIT_INTERRUPTED = 130,
};

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_NAME };

struct cli {
    const char *config_path; // NULL: the usual search
    const char *broker;      // NULL: as configured
    enum output_form output;
    bool has_output; // -o was given
    bool is_quiet;
    bool is_verbose;
    int timeout_ms;    // 0: not given
    bool has_progress; // a line of progress is drawn on stderr
    // What was opened so far; owned.
    zkt_config_t *config;
    zkt_client_t *client;
};

// One row of the table of commands. run gets the words behind the command's name and returns an
// exit code.
struct cli_command {
    const char *name;
    const char *usage; // without "zkarton "
    const char *about;
    int (*run)(struct cli *cli, int argc, char **argv);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_commands_count;

// cli_fail prints "zkarton: TEXT (CODE)" to stderr and returns the exit code that stands for err.
int
cli_fail(enum zkt_err err, const char *format, ...) __attribute__((format(printf, 2, 3)));
// cli_usage prints what is wrong and the usage of the command, and returns EXIT_USAGE.
int
cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
// cli_note is a line for people on stderr, unless -q.
void
cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int
cli_exit_code(enum zkt_err err);
// cli_config loads the configuration once, with --broker applied; EXIT_YES or an exit code.
int
cli_config(struct cli *cli);
// cli_connect opens the client once (and the configuration before it).
int
cli_connect(struct cli *cli);
// cli_connect_as opens it with these options; config and timeout are filled in.
int
cli_connect_as(struct cli *cli, zkt_client_options_t *options);
// cli_client_fail reports the client's last error.
int
cli_client_fail(struct cli *cli, enum zkt_err err);

int
cmd_send(struct cli *cli, int argc, char **argv);
int
cmd_exec(struct cli *cli, int argc, char **argv);
int
cmd_list(struct cli *cli, int argc, char **argv);
int
cmd_queues(struct cli *cli, int argc, char **argv);
int
cmd_tasks(struct cli *cli, int argc, char **argv);
int
cmd_task(struct cli *cli, int argc, char **argv);
int
cmd_tree(struct cli *cli, int argc, char **argv);
int
cmd_wait(struct cli *cli, int argc, char **argv);
int
cmd_logs(struct cli *cli, int argc, char **argv);
int
cmd_watch(struct cli *cli, int argc, char **argv);
int
cmd_get(struct cli *cli, int argc, char **argv);
int
cmd_put(struct cli *cli, int argc, char **argv);
int
cmd_delete(struct cli *cli, int argc, char **argv);
int
cmd_retry(struct cli *cli, int argc, char **argv);
int
cmd_match(struct cli *cli, int argc, char **argv);
int
cmd_store(struct cli *cli, int argc, char **argv);
int
cmd_version(struct cli *cli, int argc, char **argv);
