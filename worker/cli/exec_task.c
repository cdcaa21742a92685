// One task from delivery to result.
#include "exec.h"

#include <string.h>

#include "output.h"

static enum zkt_err
fail_with_tail(struct exec_task *exec, const char *what)
{
    struct bytes text = {0};
    bytes_append_text(&text, what);
    exec_tail_append(exec, &text);
    enum zkt_err err = zkt_delivery_fail(exec->delivery, "%s", bytes_text(&text));
    bytes_fini(&text);
    return err;
}

// Crashed as a shell would say it: "exit status 3", "killed by SIGSEGV".
static enum zkt_err
settle(struct exec_task *exec, const struct exec_result *result)
{
    char what[256];
    switch (result->end) {
    case EXEC_EXITED:
        if (result->number == 0) {
            return exec_send_children(exec);
        }
        if (result->number == EXEC_GIVE_BACK_STATUS) {
            return zkt_delivery_give_back(exec->delivery, EXEC_GIVE_BACK_DELAY_MS);
        }
        snprintf(what, sizeof(what), "exit status %d", result->number);
        break;
    case EXEC_SIGNALLED: {
        const char *name = sigabbrev_np(result->number);
        if (name != NULL) {
            snprintf(what, sizeof(what), "killed by SIG%s", name);
        } else {
            snprintf(what, sizeof(what), "killed by signal %d", result->number);
        }
        break;
    }
    case EXEC_NOT_STARTED:
        snprintf(what, sizeof(what), "%.200s: %s", exec->plan->command[0],
                 strerrordesc_np(result->number));
        break;
    case EXEC_TIMED_OUT: {
        char duration[FORMAT_TEXT_SIZE];
        snprintf(what, sizeof(what), "timed out after %s",
                 format_ms(exec->plan->timeout_ms, duration));
        break;
    }
    case EXEC_CANCELLED:
        snprintf(what, sizeof(what), "cancelled");
        break;
    default:
        snprintf(what, sizeof(what), "the supervisor of the command was killed");
        break;
    }
    return fail_with_tail(exec, what);
}

static void
count_running(struct exec_plan *plan, int change)
{
    pthread_mutex_lock(&plan->running_mutex);
    plan->running_count += (unsigned)change;
    pthread_cond_broadcast(&plan->running_changed);
    pthread_mutex_unlock(&plan->running_mutex);
}

enum zkt_err
exec_process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    struct exec_plan *plan = arg;
    struct exec_task exec = {.plan = plan, .delivery = delivery, .task = task};
    struct exec_result result = {0};
    count_running(plan, 1);
    enum zkt_err err = exec_folder_make(&exec);
    if (err == ZKT_OK) {
        err = exec_run(&exec, &result);
    }
    if (err == ZKT_OK) {
        err = settle(&exec, &result);
    }
    bool is_kept = plan->keep == KEEP_ALWAYS || (plan->keep == KEEP_CRASHED && err != ZKT_OK);
    exec_folder_close(&exec, is_kept);
    count_running(plan, -1);
    return err;
}
