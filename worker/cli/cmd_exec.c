// `zkarton exec`: reads the command line, checks that the command exists before anything is
// registered, and serves until it is told to stop.
#include "exec.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "command_line.h"
#include "files.h"

enum {
    EXEC_OR = 1,
    EXEC_FILTERS,
    EXEC_IN,
    EXEC_STDIN,
    EXEC_EMIT,
    EXEC_JOBS,
    EXEC_TIMEOUT,
    EXEC_KILL_AFTER,
    EXEC_TEMPORARY,
    EXEC_KEEP,
    EXEC_INFO,
    EXEC_VERSION,
    EXEC_JOIN
};

static const struct option exec_options[] = {
    {"or", 0, EXEC_OR, false},
    {"filters", 0, EXEC_FILTERS, true},
    {"in", 0, EXEC_IN, true},
    {"stdin", 0, EXEC_STDIN, true},
    {"emit", 0, EXEC_EMIT, true},
    {"jobs", 'j', EXEC_JOBS, true},
    {"task-timeout", 't', EXEC_TIMEOUT, true},
    {"kill-after", 0, EXEC_KILL_AFTER, true},
    {"temporary", 0, EXEC_TEMPORARY, false},
    {"keep", 0, EXEC_KEEP, true},
    {"info", 0, EXEC_INFO, true},
    {"set-version", 0, EXEC_VERSION, true},
    {"join", 0, EXEC_JOIN, false},
};

enum { ABORT_PATIENCE_S = 3, FILTERS_FILE_BYTES_MAX = 1 << 20 };

struct exec_command_line {
    struct exec_plan plan;
    zkt_worker_options_t worker;
    struct filter_words filters;
    char *filters_file; // content of @FILE; owned
};

static char *
read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    char *text = xcalloc(1, FILTERS_FILE_BYTES_MAX + 1);
    size_t size = fread(text, 1, FILTERS_FILE_BYTES_MAX, file);
    bool is_good = ferror(file) == 0 && size < FILTERS_FILE_BYTES_MAX;
    fclose(file);
    if (!is_good) {
        free(text);
        return NULL;
    }
    return text;
}

static int
take_filters(struct exec_command_line *line, const char *value)
{
    if (value[0] == '@') {
        free(line->filters_file);
        line->filters_file = read_text(value + 1);
        if (line->filters_file == NULL) {
            return cli_usage("exec", "--filters: cannot read %s.", value + 1);
        }
        value = line->filters_file;
    }
    struct problem problem;
    if (json_check(value, &problem) != ZKT_OK) {
        return cli_usage("exec", "--filters: %s", problem.text);
    }
    line->worker.filters_json = value;
    return EXIT_YES;
}

static int
take_duration(const char *option, const char *text, int64_t *duration_ms)
{
    if (!parse_duration(text, duration_ms)) {
        return cli_usage("exec", "\"%s %s\" is no duration. Write 500ms, 60s or 5m.", option, text);
    }
    return EXIT_YES;
}

static int
take_keep(struct exec_plan *plan, const char *text)
{
    static const char *const names[] = {"never", "crashed", "always"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            plan->keep = (enum exec_keep)i;
            return EXIT_YES;
        }
    }
    return cli_usage("exec", "\"--keep %s\": write never, crashed or always.", text);
}

static int
take_emit(struct exec_plan *plan, const char *text)
{
    struct problem problem;
    plan->emits = xrealloc(plan->emits, (plan->emits_count + 1) * sizeof(*plan->emits));
    if (word_parse(text, &plan->emits[plan->emits_count], &problem) != ZKT_OK) {
        return cli_usage("exec", "--emit %s", problem.text);
    }
    plan->emits_count++;
    return EXIT_YES;
}

static int
take_jobs(zkt_worker_options_t *worker, const char *text)
{
    uint64_t count = 0;
    if (!parse_count(text, 1024, &count) || count == 0) {
        return cli_usage("exec", "\"-j %s\": write a number from 1 to 1024.", text);
    }
    worker->concurrency = (unsigned)count;
    return EXIT_YES;
}

static int
take_word(struct exec_command_line *line, const char *word)
{
    struct problem problem;
    if (line->worker.identity == NULL) {
        line->worker.identity = word;
        line->plan.identity = word;
        return EXIT_YES;
    }
    if (filter_words_add(&line->filters, word, &problem) != ZKT_OK) {
        return cli_usage("exec", "%s", problem.text);
    }
    return EXIT_YES;
}

static int
take(struct exec_command_line *line, int id, const char *value)
{
    struct problem problem;
    switch (id) {
    case OPTION_WORD:
        return take_word(line, value);
    case EXEC_OR:
        return filter_words_or(&line->filters, &problem) == ZKT_OK
                   ? EXIT_YES
                   : cli_usage("exec", "%s", problem.text);
    case EXEC_FILTERS:
        return take_filters(line, value);
    case EXEC_IN:
        line->plan.input_key = value;
        return EXIT_YES;
    case EXEC_STDIN:
        line->plan.stdin_key = value;
        return EXIT_YES;
    case EXEC_EMIT:
        return take_emit(&line->plan, value);
    case EXEC_JOBS:
        return take_jobs(&line->worker, value);
    case EXEC_TIMEOUT:
        return take_duration("-t", value, &line->plan.timeout_ms);
    case EXEC_KILL_AFTER:
        return take_duration("--kill-after", value, &line->plan.kill_after_ms);
    case EXEC_TEMPORARY:
        line->worker.temporary = true;
        return EXIT_YES;
    case EXEC_KEEP:
        return take_keep(&line->plan, value);
    case EXEC_INFO:
        line->worker.info = value;
        return EXIT_YES;
    case EXEC_VERSION:
        line->worker.service_version = value;
        return EXIT_YES;
    default:
        line->worker.join = true;
        return EXIT_YES;
    }
}

// The absolute path of the command, as the shell would find it; NULL: there is none. It is made
// absolute without following links, because a program may look at its own name.
static char *
find_command(const char *name)
{
    if (strchr(name, '/') != NULL) {
        char *here = name[0] == '/' ? NULL : getcwd(NULL, 0);
        char *path = here == NULL ? xstrdup(name) : xasprintf("%s/%s", here, name);
        free(here);
        struct stat status;
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0) {
            return path;
        }
        free(path);
        return NULL;
    }
    const char *at = getenv("PATH");
    at = at != NULL ? at : "/usr/local/bin:/usr/bin:/bin";
    while (*at != '\0') {
        size_t len = strcspn(at, ":");
        char *path = len == 0 ? xasprintf("./%s", name) : xasprintf("%.*s/%s", (int)len, at, name);
        char *found = find_command(path);
        free(path);
        if (found != NULL) {
            return found;
        }
        at += len + (at[len] == ':');
    }
    return NULL;
}

static int
check(struct exec_command_line *line, char **command)
{
    bool is_or_last = line->filters.rules_count > 0 && line->filters.words_count == 0;
    const char *words = filter_words_end(&line->filters);
    if (line->worker.identity == NULL) {
        return cli_usage("exec", "which identity?");
    }
    if (is_or_last) {
        return cli_usage("exec", "no filter behind --or.");
    }
    if (line->worker.join && (words != NULL || line->worker.filters_json != NULL)) {
        return cli_usage("exec",
                         "--join takes the filters of the registered consumer: write none.");
    }
    if (words != NULL && line->worker.filters_json != NULL) {
        return cli_usage("exec", "filters come as words or by --filters, not both.");
    }
    if (words != NULL) {
        line->worker.filters_json = words;
    }
    if (line->worker.filters_json == NULL && !line->worker.join) {
        return cli_usage("exec", "which filters? Write type=sample; \"[{}]\" takes everything.");
    }
    if (*command == NULL) {
        return cli_usage("exec", "which command? Write it behind \"--\".");
    }
    char *path = find_command(*command);
    if (path == NULL) {
        cli_fail(ZKT_NOT_FOUND, "%s: no such command", *command);
        return EXIT_NO_COMMAND;
    }
    size_t count = 0;
    while (command[count] != NULL) {
        count++;
    }
    line->plan.command = xcalloc(count + 1, sizeof(char *));
    line->plan.command[0] = path;
    for (size_t i = 1; i < count; i++) {
        line->plan.command[i] = command[i];
    }
    return EXIT_YES;
}

static int
parse(struct cli *cli, int argc, char **argv, struct exec_command_line *line, bool *is_done)
{
    struct option_parser parser = {
        .cli = cli,
        .command = "exec",
        .options = exec_options,
        .options_count = sizeof(exec_options) / sizeof(exec_options[0]),
        .argc = argc,
        .argv = argv,
    };
    *is_done = true;
    int id;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        int code = take(line, id, parser.value);
        if (code != EXIT_YES) {
            return code;
        }
    }
    int code = check(line, argv + parser.at);
    *is_done = code != EXIT_YES;
    return code;
}

// After a hard stop the calls under way are killed and given a moment to clean up.
static void
wait_for_running(struct exec_plan *plan)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_PATIENCE_S;
    atomic_store(&plan->is_aborted, true);
    pthread_mutex_lock(&plan->running_mutex);
    while (plan->running_count > 0 &&
           pthread_cond_timedwait(&plan->running_changed, &plan->running_mutex, &until) == 0) {
    }
    pthread_mutex_unlock(&plan->running_mutex);
}

static int
serve(struct cli *cli, struct exec_command_line *line)
{
    line->worker.process = exec_process;
    line->worker.arg = &line->plan;
    line->worker.config = cli->config;
    line->worker.transactional = true;
    zkt_worker_t *worker = NULL;
    enum zkt_err err = zkt_worker_new(&line->worker, &worker);
    if (err == ZKT_OK) {
        signal(SIGINT, SIG_DFL);
        cli_note(cli, "zkarton: %s %s %s", line->plan.command[0],
                 line->worker.join ? "joins" : "serves", zkt_worker_identity(worker));
        err = zkt_worker_run(worker);
    }
    int code = cli_exit_code(err);
    if (err == ZKT_CANCELLED || err == ZKT_FAILED) {
        // Threads may still be in exec_process: what they use stays until the process ends.
        wait_for_running(&line->plan);
        exec_base_close(&line->plan);
        zkt_worker_destroy(&worker);
        _exit(code);
    }
    if (err != ZKT_OK) {
        const char *text = zkt_worker_error(worker);
        code = cli_fail(err, "%s", text != NULL ? text : "the worker stopped");
    }
    zkt_worker_destroy(&worker);
    return code;
}

static void
share_addresses(struct cli *cli, struct exec_plan *plan)
{
    const char *address = zkt_config_get(cli->config, "broker", "address", NULL);
    plan->broker = address != NULL ? xstrdup(address) : NULL;
    plan->config_path = cli->config_path != NULL ? realpath(cli->config_path, NULL) : NULL;
}

int
cmd_exec(struct cli *cli, int argc, char **argv)
{
    struct exec_command_line line = {
        .plan = {.input_key = "sample", .kill_after_ms = 5000, .base_lock = -1},
    };
    struct problem problem;
    bool is_done = false;
    pthread_mutex_init(&line.plan.running_mutex, NULL);
    pthread_cond_init(&line.plan.running_changed, NULL);
    int code = parse(cli, argc, argv, &line, &is_done);
    if (!is_done) {
        code = cli_config(cli);
    }
    if (!is_done && code == EXIT_YES) {
        share_addresses(cli, &line.plan);
        const char *temp = zkt_config_get(cli->config, "worker", "temp", temp_base());
        enum zkt_err err = exec_base_open(&line.plan, temp, &problem);
        code = err == ZKT_OK ? serve(cli, &line) : cli_fail(err, "%s", problem.text);
    }
    exec_base_close(&line.plan);
    for (size_t i = 0; i < line.plan.emits_count; i++) {
        word_fini(&line.plan.emits[i]);
    }
    if (line.plan.command != NULL) {
        free(line.plan.command[0]);
    }
    free(line.plan.command);
    free(line.plan.emits);
    free(line.plan.broker);
    free(line.plan.config_path);
    free(line.filters_file);
    filter_words_fini(&line.filters);
    pthread_cond_destroy(&line.plan.running_changed);
    pthread_mutex_destroy(&line.plan.running_mutex);
    return code;
}
