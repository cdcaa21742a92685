// crash_worker: a worker of the kill tests. `crash_worker IDENTITY FILTER JOURNAL CHILDREN FLAGS`
// serves FILTER, keeps a task for a random few milliseconds, sends CHILDREN children of type=child
// and journals, one line each, written through:
//   run UID ATTEMPT        process began
//   sent UID CHILD INDEX   the broker acknowledged this child
//   end UID STATE          process returned
// FLAGS: t transactional, p temporary, f fails every tenth task.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zkarton.h>

static struct {
    int journal;
    int children;
    bool fails;
    unsigned seed;
} self;

static void
note(const char *line)
{
    if (write(self.journal, line, strlen(line)) < 0) {
        _exit(3);
    }
}

static bool
send_children(zkt_delivery_t *delivery, const char *uid)
{
    char line[256];
    for (int index = 0; index < self.children; index++) {
        char headers[64];
        char child_uid[64];
        snprintf(headers, sizeof headers, "type=child index:=%d", index);
        zkt_task_t *child = zkt_task_new(headers);
        snprintf(child_uid, sizeof child_uid, "%s", zkt_task_uid(child));
        if (zkt_delivery_send(delivery, &child) != ZKT_OK) {
            return false;
        }
        snprintf(line, sizeof line, "sent %s %s %d\n", uid, child_uid, index);
        note(line);
    }
    return true;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    char line[256];
    const char *uid = zkt_task_uid(task);
    snprintf(line, sizeof line, "run %s %u\n", uid, zkt_delivery_attempt(delivery));
    note(line);
    struct timespec pause = {.tv_nsec = (long)(rand_r(&self.seed) % 4) * 1000000};
    nanosleep(&pause, NULL); // the work
    bool is_ok = send_children(delivery, uid) && !(self.fails && rand_r(&self.seed) % 10 == 0);
    snprintf(line, sizeof line, "end %s %s\n", uid, is_ok ? "Finished" : "Crashed");
    note(line);
    return is_ok ? ZKT_OK : zkt_delivery_fail(delivery, "failed on purpose");
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: crash_worker IDENTITY FILTER JOURNAL CHILDREN FLAGS\n");
        return 2;
    }
    self.journal = open(argv[3], O_WRONLY | O_APPEND | O_CREAT, 0644);
    self.children = (int)strtol(argv[4], NULL, 10);
    self.fails = strchr(argv[5], 'f') != NULL;
    self.seed = (unsigned)getpid();
    zkt_worker_t *worker = NULL;
    zkt_worker_options_t options = {.identity = argv[1],
                                    .filters = {argv[2]},
                                    .process = process,
                                    .temporary = strchr(argv[5], 'p') != NULL,
                                    .transactional = strchr(argv[5], 't') != NULL};
    enum zkt_err err = zkt_worker_new(&options, &worker);
    if (err == ZKT_OK) {
        err = zkt_worker_run(worker);
    }
    if (err != ZKT_OK) {
        fprintf(stderr, "crash_worker: %s\n", zkt_worker_error(worker));
    }
    zkt_worker_destroy(&worker);
    return err == ZKT_OK ? 0 : 1;
}
