// crash_producer: a producer of the kill tests. `crash_producer JOURNAL TYPE` posts tasks of that
// type until it is killed or told to stop (SIGTERM), and journals, written through: "sent UID
// TAKEN" for each that the broker acknowledged.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zkarton.h>

static volatile sig_atomic_t is_stopping;
static int journal;

static void
on_term(int number)
{
    (void)number;
    is_stopping = 1;
}

static void
on_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
        const char *error)
{
    (void)arg;
    char line[128];
    if (result != ZKT_OK) {
        fprintf(stderr, "crash_producer: %s: %s\n", root_uid, error != NULL ? error : "");
        return;
    }
    snprintf(line, sizeof line, "sent %s %u\n", root_uid, taken_count);
    if (write(journal, line, strlen(line)) < 0) {
        _exit(3);
    }
}

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: crash_producer JOURNAL TYPE\n");
        return 2;
    }
    signal(SIGTERM, on_term);
    journal = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
    char headers[128];
    snprintf(headers, sizeof headers, "type=%s", argv[2]);
    zkt_client_t *client = NULL;
    zkt_client_options_t options = {
        .identity = "crash.producer", .timeout_ms = -1, .on_sent = on_sent};
    enum zkt_err err = zkt_client_new(&options, &client);
    while (err == ZKT_OK && !is_stopping) {
        for (int index = 0; index < 4 && err == ZKT_OK; index++) {
            zkt_task_t *task = zkt_task_new(headers);
            err = zkt_client_post(client, &task, NULL);
        }
        if (err == ZKT_OK) {
            err = zkt_client_flush(client, -1);
        }
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL); // the rate
    }
    if (err != ZKT_OK) {
        fprintf(stderr, "crash_producer: %s\n", zkt_client_error(client));
    }
    zkt_client_destroy(&client);
    return err == ZKT_OK ? 0 : 1;
}
