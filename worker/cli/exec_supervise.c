// The supervisor: a process of its own between us and the command of one task, so that every
// process that the command leaves behind becomes a child of it and of nobody else's task. It is a
// fork of a program with threads and never calls execve itself: only system calls here, no malloc,
// no stdio.
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Our descriptors after set_up; everything above is closed.
enum { REPORT_FD = 3, SAFE_FD_MIN = 10, CHILDREN_BYTES = 4096 };

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
report(int is_started, int number)
{
    struct exec_report record = {.is_started = is_started, .number = number};
    while (write(REPORT_FD, &record, sizeof(record)) == -1 && errno == EINTR) {
    }
}

// Moves the four descriptors to 0…3 and closes all others: a pipe of another task held open here
// would hide its end.
static void
set_up_fds(const struct exec_launch *launch)
{
    int fds[] = {launch->stdin_fd, launch->stdout_fd, launch->stderr_fd, launch->report_fd};
    for (int i = 0; i < 4; i++) {
        fds[i] = fcntl(fds[i], F_DUPFD, SAFE_FD_MIN);
    }
    for (int i = 0; i < 4; i++) {
        if (fds[i] == -1 || dup2(fds[i], i) == -1) {
            _exit(EXIT_FAILURE);
        }
    }
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    if (close_range(REPORT_FD + 1, ~0U, 0) == -1) {
        for (int fd = REPORT_FD + 1; fd < 65536; fd++) {
            close(fd);
        }
    }
}

static void
reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        sigaction(number, &action, NULL);
    }
}

static _Noreturn void
become_command(const struct exec_launch *launch, pid_t supervisor_pid)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor_pid) {
        _exit(EXIT_FAILURE); // it died before it could be watched
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (chdir(launch->folder) == 0) {
        execve(launch->command[0], launch->command, launch->environment);
    }
    report(0, errno);
    _exit(EXIT_FAILURE);
}

// True when the command itself has ended: its status is kept in the kernel, so that its process
// group cannot be anybody else's yet. Orphans that ended are reaped.
static bool
has_ended(pid_t command_pid)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid == 0) {
            return false;
        }
        if (info.si_pid == command_pid) {
            return true;
        }
        waitpid(info.si_pid, NULL, 0);
    }
}

// Waits for the end of the command, and helps when told to.
static void
wait_for_end(const struct exec_launch *launch, pid_t command_pid, const sigset_t *signals)
{
    int64_t kill_at_ms = -1;
    while (!has_ended(command_pid)) {
        int64_t left_ms = kill_at_ms == -1 ? 3600000 : kill_at_ms - now_ms();
        if (left_ms <= 0) {
            kill(-command_pid, SIGKILL);
            left_ms = 1000;
        }
        struct timespec timeout = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};
        int number = sigtimedwait(signals, NULL, &timeout);
        if (number == SIGTERM && kill_at_ms == -1) {
            kill(-command_pid, SIGTERM);
            kill_at_ms = now_ms() + launch->kill_after_ms;
        } else if (number == SIGUSR1) {
            kill_at_ms = 0;
        }
    }
}

// Kills every direct child. False: the kernel does not tell them.
static bool
kill_children(void)
{
    char text[CHILDREN_BYTES];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return false;
    }
    pid_t pid = 0;
    ssize_t len;
    while ((len = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < len; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid > 0) {
                kill(pid, SIGKILL);
                pid = 0;
            }
        }
    }
    close(fd);
    return true;
}

// Whatever outlives its parent becomes our child: kill and reap until nobody is left.
static void
kill_leftovers(void)
{
    while (kill_children()) {
        if (waitpid(-1, NULL, 0) == -1 && errno == ECHILD) {
            return;
        }
    }
}

_Noreturn void
exec_supervise(const struct exec_launch *launch)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_SETMASK, &signals, NULL);
    reset_signals();
    setpgid(0, 0); // a Ctrl-C at the terminal is for our parent
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    set_up_fds(launch);
    if (getppid() != launch->parent_pid) {
        _exit(EXIT_FAILURE);
    }
    pid_t self = getpid();
    pid_t command_pid = fork();
    if (command_pid == 0) {
        become_command(launch, self);
    }
    if (command_pid == -1) {
        report(0, errno);
        _exit(EXIT_FAILURE);
    }
    setpgid(command_pid, command_pid);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    wait_for_end(launch, command_pid, &signals);
    kill(-command_pid, SIGKILL);
    int status = 0;
    waitpid(command_pid, &status, 0);
    kill_leftovers();
    report(1, status);
    _exit(EXIT_SUCCESS);
}
