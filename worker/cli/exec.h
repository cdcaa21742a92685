// exec.h: `zkarton exec`: any command as a consumer. A task becomes a folder, the command runs in
// it, what it leaves in out/ becomes children. The way of a task: exec_process (exec_task.c) makes
// the folder (exec_folder.c) and the environment (exec_environment.c), runs the command under a
// supervisor (exec_run.c, exec_supervise.c), logs its lines (exec_lines.c), and sends the children
// (exec_children.c).
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "words.h"
#include <zkarton.h>

enum exec_keep { KEEP_NEVER, KEEP_CRASHED, KEEP_ALWAYS };
enum { EXEC_GIVE_BACK_STATUS = 75, EXEC_GIVE_BACK_DELAY_MS = 1000, EXEC_TAIL_LINES = 20 };

// What the command line says, and what all tasks share.
struct exec_plan {
    const char *identity;
    char **command; // command[0] is the absolute path; owned
    const char *input_key;
    const char *stdin_key; // NULL: task.json
    struct word *emits;    // headers of the child that --emit sends; owned
    size_t emits_count;
    int64_t timeout_ms;    // 0: none
    int64_t kill_after_ms; // from TERM to KILL
    enum exec_keep keep;
    char *broker;      // address for `zkarton` inside commands; owned; NULL: as they find it
    char *config_path; // absolute; owned; NULL: none was named
    // The folder of this process, below it one for each task; locked as long as we live.
    char *base;
    int base_lock;
    // Calls of exec_process under way, for the end.
    pthread_mutex_t running_mutex;
    pthread_cond_t running_changed;
    unsigned running_count;
    atomic_bool is_aborted;
};

// A resource of the task as a file below in/.
struct exec_input {
    char *key;  // "sample", "list.0"; owned
    char *path; // absolute; owned
    const zkt_resource_t *resource;
    struct stat before; // to see whether the command changed it
};

struct exec_task {
    struct exec_plan *plan;
    zkt_delivery_t *delivery;
    const zkt_task_t *task;
    char *folder;
    struct exec_input *inputs;
    size_t inputs_count;
    struct bytes tail[EXEC_TAIL_LINES]; // the last lines of stderr, a ring
    size_t tail_count;                  // lines ever put there
};

// How a command ended.
enum exec_end {
    EXEC_EXITED,
    EXEC_SIGNALLED,
    EXEC_NOT_STARTED,
    EXEC_TIMED_OUT,
    EXEC_CANCELLED,
    EXEC_LOST
};
struct exec_result {
    enum exec_end end;
    int number; // exit status, signal, errno
};

// exec_process is the zkt_process_fn; arg is the plan.
enum zkt_err
exec_process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg);

// exec_base_open makes the locked folder of this process under temp, and removes those of dead
// ones.
ZKT_MUST enum zkt_err
exec_base_open(struct exec_plan *plan, const char *temp, struct problem *problem);
void
exec_base_close(struct exec_plan *plan);
// exec_folder_make fills a fresh folder: task.json, in/KEY, out/. Failures are reported on the
// delivery.
ZKT_MUST enum zkt_err
exec_folder_make(struct exec_task *exec);
// exec_folder_close removes or, when `is_kept`, moves it out of the base; frees all of exec.
void
exec_folder_close(struct exec_task *exec, bool is_kept);
// exec_input_find answers the input of this key, or NULL.
const struct exec_input *
exec_input_find(const struct exec_task *exec, const char *key);
// exec_encode_name writes key so that it is one safe file name.
void
exec_encode_name(struct bytes *out, const char *key);

// exec_environment makes the environment of the command: NULL-ended, for exec_environment_free.
char **
exec_environment(const struct exec_task *exec);
void
exec_environment_free(char **environment);

// exec_run runs the command to its end and everything that it started.
ZKT_MUST enum zkt_err
exec_run(struct exec_task *exec, struct exec_result *result);

// What the supervisor needs, prepared before the fork: after it only system calls are allowed.
struct exec_launch {
    const char *folder;
    char *const *command;
    char *const *environment;
    int stdin_fd;
    int stdout_fd;
    int stderr_fd;
    int report_fd;
    int64_t kill_after_ms;
    pid_t parent_pid;
};
// A record on report_fd; the last one tells.
struct exec_report {
    int is_started; // 0: number is the errno of the start
    int number;     // wait status
};
// exec_supervise starts the command as its only child, waits for it, kills what is left of it,
// reports, ends. SIGTERM: stop the command; SIGUSR1, also sent when the parent dies: kill it now.
_Noreturn void
exec_supervise(const struct exec_launch *launch);

// Lines of the command become log records; prefixes <3> <4> <6> <7> set the level.
struct exec_lines {
    struct exec_task *exec;
    const char *stream; // "stdout" or "stderr"
    bool is_tail;       // keep the last ones for the error text
    struct bytes line;
    bool is_cut; // the rest of an over-long line is dropped
};
void
exec_lines_add(struct exec_lines *lines, const char *data, size_t size);
void
exec_lines_end(struct exec_lines *lines);
// exec_tail_append appends the kept lines, each after a line break.
void
exec_tail_append(const struct exec_task *exec, struct bytes *out);

// exec_send_children sends the documents of out/ in the order of their names, then what --emit
// says.
ZKT_MUST enum zkt_err
exec_send_children(struct exec_task *exec);
