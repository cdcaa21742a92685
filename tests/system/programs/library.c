// library: what the system tests of libzkarton run.
//   library serve IDENTITY JOURNAL [karton options]   serves type=IDENTITY; the header "do" says
//   what
//                                                     process does; one line a step into JOURNAL
//   library produce COUNT IDENTITY                    posts COUNT tasks, prints each root uid once
//   it
//                                                     is durable
//   library file PATH IDENTITY                        sends PATH as the resource "sample", waits,
//                                                     prints finished and crashed counts
//   library events TOPIC COUNT                        prints "ready", then COUNT events "topic seq"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zkarton.h>

static int
fail(const char *what, enum zkt_err err, const char *text)
{
    fprintf(stderr, "%s: %s (%s)\n", what, text, zkt_err_name(err));
    return 1;
}

// ---- serve

static int journal_fd;

static void
note(const char *step, zkt_delivery_t *delivery)
{
    char line[128];
    int len = snprintf(line, sizeof line, "%s %s %u\n", step,
                       zkt_task_uid(zkt_delivery_task(delivery)), zkt_delivery_attempt(delivery));
    if (write(journal_fd, line, (size_t)len) != len) {
        _exit(3);
    }
}

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Busy, deaf to everything but the time or the cancelling.
static enum zkt_err
spin(zkt_delivery_t *delivery, int64_t spin_ms)
{
    int64_t end_ms = now_ms() + spin_ms;
    while (now_ms() < end_ms) {
        if (zkt_delivery_is_cancelled(delivery)) {
            note("cancelled", delivery);
            return ZKT_CANCELLED;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
forward(zkt_delivery_t *delivery, const zkt_task_t *task)
{
    const void *data = NULL;
    size_t size = 0;
    enum zkt_err err = zkt_delivery_data(delivery, zkt_task_resource(task, "sample"), &data, &size);
    if (err != ZKT_OK) {
        return err;
    }
    // One child by reference, one with a file of its own that holds the same.
    zkt_task_t *child = zkt_task_new("type=child");
    zkt_task_set_resource(child, "sample", zkt_task_resource(task, "sample"));
    err = zkt_delivery_send(delivery, &child);
    if (err == ZKT_OK && size > 0) {
        child = zkt_task_new("type=child");
        zkt_task_set_data(child, "sample", "copy", data, size);
        err = zkt_delivery_send(delivery, &child);
    }
    return err;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const char *what = zkt_task_header(task, "do");
    what = what == NULL ? "" : what;
    note("run", delivery);
    zkt_log(delivery, ZKT_INFO, "doing %s", what);
    enum zkt_err err = ZKT_OK;
    if (strcmp(what, "spin") == 0) {
        err = spin(delivery, zkt_value_int(zkt_task_header_value(task, "ms"), 0));
    } else if (strcmp(what, "deaf") == 0) {
        for (;;) {
            pause();
        }
    } else if (strcmp(what, "crash-after-child") == 0) {
        zkt_task_t *child = zkt_task_new("type=child");
        err = zkt_delivery_send(delivery, &child);
        err = err == ZKT_OK ? zkt_delivery_fail(delivery, "on purpose") : err;
    } else if (strcmp(what, "many") == 0) {
        for (int child_index = 0; child_index < 1000 && err == ZKT_OK; child_index++) {
            zkt_task_t *child = zkt_task_new("type=child");
            err = zkt_delivery_post(delivery, &child);
        }
    } else if (strcmp(what, "forward") == 0) {
        err = forward(delivery, task);
    }
    note(err == ZKT_OK ? "end" : "fail", delivery);
    return err;
}

static int
serve(int argc, char **argv)
{
    char filter[128];
    snprintf(filter, sizeof filter, "type=%s", argv[2]);
    journal_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (journal_fd == -1) {
        return fail(argv[3], ZKT_IO, strerror(errno));
    }
    zkt_worker_options_t options = {.identity = argv[2], .filters = {filter}, .process = process};
    argv[3] = argv[0];
    return zkt_worker_main(argc - 3, argv + 3, &options);
}

// ---- produce, file, events

static void
print_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
           const char *error)
{
    (void)arg;
    if (result != ZKT_OK) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    printf("%s %" PRIu32 "\n", root_uid, taken_count);
    fflush(stdout);
}

static int
produce(long count, const char *identity)
{
    zkt_client_t *client = NULL;
    zkt_client_options_t options = {.identity = "test.producer",
                                    .timeout_ms = 60000,
                                    .on_sent = print_sent,
                                    .window_tasks = 64};
    char headers[128];
    snprintf(headers, sizeof headers, "type=%s", identity);
    enum zkt_err err = zkt_client_new(&options, &client);
    for (long sent = 0; sent < count && err == ZKT_OK; sent++) {
        zkt_task_t *task = zkt_task_new(headers);
        zkt_task_set_int(task, "number", sent);
        err = zkt_client_post(client, &task, NULL);
    }
    err = err == ZKT_OK ? zkt_client_flush(client, 0) : err;
    int code = err == ZKT_OK ? 0 : fail("produce", err, zkt_client_error(client));
    zkt_client_destroy(&client);
    return code;
}

static int
send_file(const char *path, const char *identity)
{
    zkt_client_t *client = NULL;
    zkt_client_options_t options = {.identity = "test.producer", .timeout_ms = 30000};
    char headers[128];
    char root_uid[ZKT_ROOT_UID_SIZE];
    zkt_summary_t summary = {0};
    snprintf(headers, sizeof headers, "type=%s do=forward", identity);
    enum zkt_err err = zkt_client_new(&options, &client);
    if (err == ZKT_OK) {
        zkt_task_t *task = zkt_task_new(headers);
        zkt_task_set_file(task, "sample", path);
        err = zkt_client_send(client, &task, root_uid);
    }
    if (err == ZKT_OK) {
        err = zkt_client_wait(client, root_uid, 30000, &summary);
    }
    if (err == ZKT_OK) {
        printf("%s %" PRIu64 " %" PRIu64 "\n", root_uid, summary.finished_count,
               summary.crashed_count);
    }
    int code = err == ZKT_OK ? 0 : fail("file", err, zkt_client_error(client));
    zkt_client_destroy(&client);
    return code;
}

static int
follow(const char *prefix, long count)
{
    zkt_client_t *client = NULL;
    zkt_events_t *events = NULL;
    const char *topics[] = {prefix, NULL};
    const char *topic = NULL;
    const zkt_value_t *body = NULL;
    zkt_client_options_t options = {.identity = "test.follower", .timeout_ms = 30000};
    enum zkt_err err = zkt_client_new(&options, &client);
    if (err != ZKT_OK) {
        return fail("connect", err, zkt_client_error(client));
    }
    err = zkt_events_new(client, topics, &events);
    printf("ready\n");
    fflush(stdout);
    for (long seen = 0; seen < count && err == ZKT_OK; seen++) {
        err = zkt_events_next(events, 30000, &topic, &body);
        if (err == ZKT_OK) {
            char *json = zkt_value_json(body);
            printf("%s %s\n", topic, json);
            fflush(stdout);
            free(json);
        }
    }
    int code = err == ZKT_OK ? 0 : fail("events", err, zkt_events_error(events));
    printf("missed %" PRIu64 "\n", zkt_events_missed_count(events));
    zkt_events_destroy(&events);
    zkt_client_destroy(&client);
    return code;
}

int
main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "serve") == 0) {
        return serve(argc, argv);
    }
    if (argc == 4 && strcmp(argv[1], "produce") == 0) {
        return produce(strtol(argv[2], NULL, 10), argv[3]);
    }
    if (argc == 4 && strcmp(argv[1], "file") == 0) {
        return send_file(argv[2], argv[3]);
    }
    if (argc == 4 && strcmp(argv[1], "events") == 0) {
        return follow(argv[2], strtol(argv[3], NULL, 10));
    }
    fprintf(stderr, "usage: see the top of library.c\n");
    return 2;
}
