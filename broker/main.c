// main.c: zkarton-broker, the one daemon. `zkarton-broker store check|dump|copy` works on a store
// without a broker.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "loop.h"
#include "options.h"
#include "signals.h"
#include "store_command.h"

// A connection is a file: as many as the system allows.
static void
raise_files_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int
run(const struct broker_options *options)
{
    if (options->log_path != NULL && log_open(options->log_path) != 0) {
        fprintf(stderr, "zkarton-broker: --log-file %s: %s\n", options->log_path, strerror(errno));
        return 2;
    }
    raise_files_limit();
    int signal_fd = signals_open();
    if (signal_fd == -1) {
        fprintf(stderr, "zkarton-broker: signals: %s\n", strerror(errno));
        return 1;
    }
    struct problem problem = {.code = ZKT_OK};
    struct loop *loop = NULL;
    enum zkt_err err = loop_new(options, &loop, &problem);
    if (err != ZKT_OK) {
        fprintf(stderr, "zkarton-broker: %s (%s)\n", problem.text, zkt_err_name(err));
        close(signal_fd);
        return err == ZKT_CONFIG_INVALID || err == ZKT_INSECURE || err == ZKT_ADDRESS_IN_USE ? 2
                                                                                             : 1;
    }
    int code = loop_run(loop, signal_fd);
    loop_destroy(&loop);
    close(signal_fd);
    return code;
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "store") == 0) {
        return store_command(argv[0], argc - 1, argv + 1);
    }
    struct broker_options options = {0};
    int code = 0;
    switch (options_parse(argc, argv, &options)) {
    case PARSED_RUN:
        code = options.check_only ? 0 : run(&options);
        break;
    case PARSED_DONE:
        break;
    case PARSED_WRONG:
        code = 2;
        break;
    }
    options_fini(&options);
    return code;
}
