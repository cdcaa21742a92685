// Runs the command of one task: pipes, the supervisor's process, time. The supervisor is forked
// from a program with threads, so between fork and execve there are only system calls
// (exec_supervise.c).
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { PIPE_OUT, PIPE_ERR, PIPE_REPORT, PIPE_COUNT, CANCEL_SLOT = PIPE_COUNT, SLOTS_COUNT };
enum { READ_BYTES = 16 << 10, ABORT_TICK_MS = 50, DRAIN_MS = 1000 };

struct exec_running {
    struct exec_task *exec;
    pid_t supervisor_pid;
    int pipes[PIPE_COUNT]; // our ends; -1: at its end
    struct exec_lines out;
    struct exec_lines err;
    struct exec_report report;
    bool has_report;
    bool has_timed_out;
    bool is_cancelled;
    bool is_killed;
    int64_t deadline_ms; // monotonic; -1: none
};

static void
close_fd(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}

// {} as a whole argument is the path of the input.
static char **
make_arguments(const struct exec_task *exec, const struct exec_input *input)
{
    size_t count = 0;
    while (exec->plan->command[count] != NULL) {
        count++;
    }
    char **arguments = xcalloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        bool is_input = i > 0 && strcmp(exec->plan->command[i], "{}") == 0;
        arguments[i] = is_input ? input->path : exec->plan->command[i];
    }
    return arguments;
}

static bool
needs_input(const struct exec_plan *plan)
{
    for (size_t i = 1; plan->command[i] != NULL; i++) {
        if (strcmp(plan->command[i], "{}") == 0) {
            return true;
        }
    }
    return false;
}

// The input of this key, or the delivery's error.
static enum zkt_err
want_input(struct exec_task *exec, const char *key, const struct exec_input **input)
{
    *input = exec_input_find(exec, key);
    return *input != NULL
               ? ZKT_OK
               : zkt_delivery_fail(exec->delivery, "payload.%s: missing, or no resource", key);
}

static enum zkt_err
open_fd(struct exec_task *exec, const char *path, int flags, int *fd)
{
    *fd = open(path, flags | O_CLOEXEC, 0600);
    return *fd != -1 ? ZKT_OK : zkt_delivery_fail(exec->delivery, "%s: %s", path, strerror(errno));
}

static enum zkt_err
open_in(struct exec_task *exec, const char *name, int flags, int *fd)
{
    char *path = xasprintf("%s/%s", exec->folder, name);
    enum zkt_err err = open_fd(exec, path, flags, fd);
    free(path);
    return err;
}

static enum zkt_err
open_stdin(struct exec_task *exec, int *fd)
{
    if (exec->plan->stdin_key == NULL) {
        return open_in(exec, "task.json", O_RDONLY, fd);
    }
    const struct exec_input *input = NULL;
    enum zkt_err err = want_input(exec, exec->plan->stdin_key, &input);
    if (err == ZKT_OK && zkt_resource_is_directory(input->resource)) {
        return zkt_delivery_fail(exec->delivery, "--stdin %s: a directory. Read it from in/",
                                 exec->plan->stdin_key);
    }
    return err == ZKT_OK ? open_fd(exec, input->path, O_RDONLY, fd) : err;
}

// Forks the supervisor. launch holds the command's ends, which are closed here in any case.
static enum zkt_err
start(struct exec_running *running, struct exec_launch *launch)
{
    int ends[PIPE_COUNT][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    bool is_good = true;
    for (size_t i = 0; i < PIPE_COUNT && is_good; i++) {
        bool is_file = i == PIPE_OUT && launch->stdout_fd != -1;
        is_good = is_file || pipe2(ends[i], O_CLOEXEC) == 0;
        running->pipes[i] = ends[i][0];
    }
    if (is_good) {
        int stdout_file = launch->stdout_fd;
        launch->stdout_fd = stdout_file != -1 ? stdout_file : ends[PIPE_OUT][1];
        launch->stderr_fd = ends[PIPE_ERR][1];
        launch->report_fd = ends[PIPE_REPORT][1];
        running->supervisor_pid = fork();
        if (running->supervisor_pid == 0) {
            exec_supervise(launch);
        }
        launch->stdout_fd = stdout_file;
    }
    int saved = errno;
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        close_fd(&ends[i][1]);
    }
    if (!is_good || running->supervisor_pid == -1) {
        for (size_t i = 0; i < PIPE_COUNT; i++) {
            close_fd(&running->pipes[i]);
        }
        return zkt_delivery_fail(running->exec->delivery, "cannot start: %s", strerror(saved));
    }
    return ZKT_OK;
}

static void
read_pipe(struct exec_running *running, size_t which)
{
    char data[READ_BYTES];
    size_t room = which == PIPE_REPORT ? sizeof(running->report) : sizeof(data);
    ssize_t len = read(running->pipes[which], data, room);
    if (len == -1 && errno == EINTR) {
        return;
    }
    if (len <= 0) {
        close_fd(&running->pipes[which]);
    } else if (which == PIPE_REPORT) {
        // Records are shorter than PIPE_BUF: each comes whole. A failed start stays.
        if ((size_t)len == sizeof(running->report) &&
            !(running->has_report && running->report.is_started == 0)) {
            memcpy(&running->report, data, sizeof(running->report));
            running->has_report = true;
        }
    } else {
        exec_lines_add(which == PIPE_OUT ? &running->out : &running->err, data, (size_t)len);
    }
}

// Stops the command when its time is over or its result will not count any more.
static void
stop_if_needed(struct exec_running *running, bool is_cancelled)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!running->has_timed_out && !running->is_cancelled) {
        running->has_timed_out = running->deadline_ms != -1 && now_ms >= running->deadline_ms;
        running->is_cancelled = is_cancelled && !running->has_timed_out;
        if (running->has_timed_out || running->is_cancelled) {
            kill(running->supervisor_pid, SIGTERM);
        }
    }
    if (!running->is_killed && atomic_load(&running->exec->plan->is_aborted)) {
        running->is_killed = true;
        kill(running->supervisor_pid, SIGUSR1);
    }
}

static int
poll_timeout(const struct exec_running *running)
{
    if (running->has_timed_out || running->is_cancelled) {
        return running->is_killed ? -1 : ABORT_TICK_MS; // an abort may still hurry it
    }
    if (running->deadline_ms == -1) {
        return -1;
    }
    int64_t left_ms = running->deadline_ms - clock_monotonic_ms();
    return left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

// Reads until the supervisor is gone: it ends last, when nothing of the command is left.
static void
follow(struct exec_running *running)
{
    int cancel_fd = zkt_delivery_cancel_fd(running->exec->delivery);
    while (running->pipes[PIPE_REPORT] != -1) {
        bool is_stopped = running->has_timed_out || running->is_cancelled;
        struct pollfd slots[SLOTS_COUNT] = {
            {.fd = running->pipes[PIPE_OUT], .events = POLLIN},
            {.fd = running->pipes[PIPE_ERR], .events = POLLIN},
            {.fd = running->pipes[PIPE_REPORT], .events = POLLIN},
            {.fd = is_stopped ? -1 : cancel_fd, .events = POLLIN},
        };
        int ready_count = poll(slots, SLOTS_COUNT, poll_timeout(running));
        for (size_t i = 0; i < PIPE_COUNT && ready_count > 0; i++) {
            if (slots[i].revents != 0) {
                read_pipe(running, i);
            }
        }
        stop_if_needed(running, ready_count > 0 && slots[CANCEL_SLOT].revents != 0);
    }
    while (waitpid(running->supervisor_pid, NULL, 0) == -1 && errno == EINTR) {
    }
    // What the pipes still hold. A process that got hold of them by other ways must not hold us.
    int64_t until_ms = clock_monotonic_ms() + DRAIN_MS;
    while ((running->pipes[PIPE_OUT] != -1 || running->pipes[PIPE_ERR] != -1) &&
           clock_monotonic_ms() < until_ms) {
        struct pollfd slots[] = {{.fd = running->pipes[PIPE_OUT], .events = POLLIN},
                                 {.fd = running->pipes[PIPE_ERR], .events = POLLIN}};
        if (poll(slots, 2, (int)(until_ms - clock_monotonic_ms())) <= 0) {
            break;
        }
        for (size_t i = 0; i < 2; i++) {
            if (slots[i].revents != 0) {
                read_pipe(running, i);
            }
        }
    }
}

static void
conclude(const struct exec_running *running, struct exec_result *result)
{
    int number = running->report.number;
    if (running->has_timed_out) {
        *result = (struct exec_result){.end = EXEC_TIMED_OUT};
    } else if (running->is_cancelled) {
        *result = (struct exec_result){.end = EXEC_CANCELLED};
    } else if (!running->has_report) {
        *result = (struct exec_result){.end = EXEC_LOST};
    } else if (running->report.is_started == 0) {
        *result = (struct exec_result){.end = EXEC_NOT_STARTED, .number = number};
    } else if (WIFSIGNALED(number)) {
        *result = (struct exec_result){.end = EXEC_SIGNALLED, .number = WTERMSIG(number)};
    } else {
        *result = (struct exec_result){.end = EXEC_EXITED, .number = WEXITSTATUS(number)};
    }
}

static enum zkt_err
run_launch(struct exec_task *exec, struct exec_launch *launch, struct exec_result *result)
{
    struct exec_running running = {
        .exec = exec,
        .pipes = {-1, -1, -1},
        .out = {.exec = exec, .stream = "stdout"},
        .err = {.exec = exec, .stream = "stderr", .is_tail = true},
        .deadline_ms =
            exec->plan->timeout_ms > 0 ? clock_monotonic_ms() + exec->plan->timeout_ms : -1,
    };
    enum zkt_err err = start(&running, launch);
    if (err != ZKT_OK) {
        return err;
    }
    follow(&running);
    for (size_t i = 0; i < PIPE_COUNT; i++) {
        close_fd(&running.pipes[i]);
    }
    exec_lines_end(&running.out);
    exec_lines_end(&running.err);
    conclude(&running, result);
    return ZKT_OK;
}

enum zkt_err
exec_run(struct exec_task *exec, struct exec_result *result)
{
    const struct exec_plan *plan = exec->plan;
    const struct exec_input *input = NULL;
    enum zkt_err err = ZKT_OK;
    if (needs_input(plan)) {
        err = want_input(exec, plan->input_key, &input);
    }
    if (err != ZKT_OK) {
        return err;
    }
    char **arguments = make_arguments(exec, input);
    char **environment = exec_environment(exec);
    struct exec_launch launch = {
        .folder = exec->folder,
        .command = arguments,
        .environment = environment,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .kill_after_ms = plan->kill_after_ms,
        .parent_pid = getpid(),
    };
    err = open_stdin(exec, &launch.stdin_fd);
    if (err == ZKT_OK && plan->emits_count > 0) {
        err = open_in(exec, "out/.output", O_WRONLY | O_CREAT | O_EXCL, &launch.stdout_fd);
    }
    if (err == ZKT_OK) {
        err = run_launch(exec, &launch, result);
    }
    close_fd(&launch.stdin_fd);
    close_fd(&launch.stdout_fd);
    exec_environment_free(environment);
    free(arguments);
    return err;
}
