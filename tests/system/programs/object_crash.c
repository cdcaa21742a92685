// object_crash: producer and workers of the kill tests with objects.
//     object_crash produce JOURNAL          sends tasks type=root with an object each, until
//     SIGTERM object_crash work IDENTITY FILTER JOURNAL
// The content of an object follows from its size and its first eight bytes, so that who gets it can
// tell whether it is the right one. A worker of type=root checks its object and sends two children:
// one that refers to the same object, one with an object of its own. Journal lines, written
// through: "sent UID TAKEN" for each task that the broker acknowledged, "bad UID WHY".
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zkarton.h>

enum { SMALL_BYTES = 100000, LARGE_BYTES = 11 << 20, LARGE_ONE_IN = 20 };

static volatile sig_atomic_t is_stopping;
static int journal;

static void
on_term(int number)
{
    (void)number;
    is_stopping = 1;
}

static void
note(const char *word, const char *uid, const char *more)
{
    char line[512];
    snprintf(line, sizeof line, "%s %s %s\n", word, uid, more);
    if (write(journal, line, strlen(line)) < 0) {
        _exit(3);
    }
}

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
fill(uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t state = seed | 1;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = at == 0 ? seed : next_random(&state);
        memcpy(data + at, &word, size - at < 8 ? size - at : 8);
    }
}

static uint8_t *
make_content(size_t *size)
{
    static _Thread_local uint64_t state; // of one of the threads that run process
    if (state == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = ((uint64_t)now.tv_nsec * 2654435761u) ^ ((uint64_t)getpid() << 32);
        state = (state ^ (uint64_t)(uintptr_t)&state) | 1;
    }
    uint64_t draw = next_random(&state);
    *size = draw % LARGE_ONE_IN == 0 ? LARGE_BYTES : 8 + draw % SMALL_BYTES;
    uint8_t *data = malloc(*size);
    if (data == NULL) {
        abort();
    }
    fill(data, *size, next_random(&state));
    return data;
}

static bool
is_right(const uint8_t *data, size_t size)
{
    uint64_t seed;
    uint8_t *want = malloc(size);
    if (want == NULL || size < 8) {
        abort();
    }
    memcpy(&seed, data, sizeof seed);
    fill(want, size, seed);
    bool is_same = memcmp(data, want, size) == 0;
    free(want);
    return is_same;
}

static zkt_task_t *
task_with_object(const char *headers)
{
    size_t size;
    uint8_t *data = make_content(&size);
    zkt_task_t *task = zkt_task_new(headers);
    zkt_task_set_data(task, "sample", "sample", data, size);
    free(data);
    return task;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const void *data = NULL;
    size_t size = 0;
    const zkt_resource_t *sample = zkt_task_resource(task, "sample");
    enum zkt_err err = zkt_delivery_data(delivery, sample, &data, &size);
    if (err == ZKT_CANCELLED || zkt_delivery_is_cancelled(delivery)) {
        return err == ZKT_OK ? ZKT_CANCELLED : err;
    }
    if (err != ZKT_OK || !is_right(data, size)) {
        note("bad", zkt_task_uid(task), err != ZKT_OK ? zkt_delivery_error(delivery) : "content");
        return err != ZKT_OK ? err : zkt_delivery_fail(delivery, "other content");
    }
    if (strcmp(zkt_task_header(task, "type"), "root") != 0) {
        return ZKT_OK;
    }
    zkt_task_t *child = zkt_task_new("type=child by=reference");
    zkt_task_set_resource(child, "sample", sample);
    err = zkt_delivery_send(delivery, &child);
    if (err == ZKT_OK) {
        child = task_with_object("type=child by=upload");
        err = zkt_delivery_send(delivery, &child);
    }
    if (err != ZKT_OK && !zkt_delivery_is_cancelled(delivery)) {
        note("bad", zkt_task_uid(task), zkt_delivery_error(delivery));
    }
    return err;
}

static int
work(const char *identity, const char *filter)
{
    zkt_worker_t *worker = NULL;
    zkt_worker_options_t options = {
        .identity = identity, .filters = {filter}, .process = process, .concurrency = 2};
    enum zkt_err err = zkt_worker_new(&options, &worker);
    if (err == ZKT_OK) {
        err = zkt_worker_run(worker);
    }
    if (err != ZKT_OK) {
        fprintf(stderr, "object_crash: %s\n", zkt_worker_error(worker));
    }
    zkt_worker_destroy(&worker);
    return err == ZKT_OK ? 0 : 1;
}

static int
produce(void)
{
    zkt_client_t *client = NULL;
    zkt_client_options_t options = {.identity = "crash.producer", .timeout_ms = -1};
    enum zkt_err err = zkt_client_new(&options, &client);
    signal(SIGTERM, on_term);
    while (err == ZKT_OK && !is_stopping) {
        zkt_task_t *task = task_with_object("type=root");
        char root_uid[ZKT_ROOT_UID_SIZE];
        err = zkt_client_send(client, &task, root_uid);
        if (err == ZKT_OK) {
            note("sent", root_uid, "");
        } else {
            note("bad", "producer", zkt_client_error(client));
        }
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL); // the rate
    }
    zkt_client_destroy(&client);
    return err == ZKT_OK ? 0 : 1;
}

int
main(int argc, char **argv)
{
    bool is_producer = argc == 3 && strcmp(argv[1], "produce") == 0;
    if (!is_producer && !(argc == 5 && strcmp(argv[1], "work") == 0)) {
        fprintf(stderr, "usage: object_crash produce JOURNAL | work IDENTITY FILTER JOURNAL\n");
        return 2;
    }
    journal = open(argv[argc - 1], O_WRONLY | O_APPEND | O_CREAT, 0644);
    return is_producer ? produce() : work(argv[2], argv[3]);
}
