// bench_client: one side of a measurement, by libzkarton, against a running broker (address from
// the environment).
//   bench_client produce TASKS BATCH WINDOW BYTES    posts; prints tasks/s of acknowledged submits
//   bench_client work TASKS IDENTITY THREADS         serves until TASKS are finished and
//   acknowledged; prints tasks/s bench_client latency COUNT                       one task at a
//   time: prints p50 and p99 from send to process, in ms
// Producer and worker print "ready" on stderr when they are connected, and the producer starts at a
// line on stdin.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zkarton.h>

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
check(enum zkt_err err, const char *what, const char *text)
{
    if (err != ZKT_OK) {
        fprintf(stderr, "bench_client: %s: %s (%s)\n", what, text != NULL ? text : "",
                zkt_err_name(err));
        exit(1);
    }
}

static void
wait_for_start(void)
{
    char line[16];
    fprintf(stderr, "ready\n");
    if (fgets(line, sizeof line, stdin) == NULL) {
        exit(1);
    }
}

// ---- Producer

static long acknowledged;

static void
on_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
        const char *error)
{
    (void)arg;
    (void)root_uid;
    (void)taken_count;
    check(result, "send", error);
    acknowledged++;
}

static void
produce(long tasks, unsigned batch, long window, size_t bytes)
{
    zkt_client_t *client = NULL;
    zkt_client_options_t options = {.identity = "bench",
                                    .timeout_ms = 60000,
                                    .batch_tasks = batch,
                                    .window_tasks = (unsigned)window,
                                    .on_sent = on_sent};
    check(zkt_client_new(&options, &client), "connect", zkt_client_error(client));
    char *text = calloc(1, bytes + 1);
    memset(text, 'x', bytes);
    wait_for_start();
    double start_s = now_s();
    for (long sent = 0; sent < tasks; sent++) {
        zkt_task_t *task = zkt_task_new("type=bench kind=raw");
        zkt_task_set_string(task, "data", text);
        check(zkt_client_post(client, &task, NULL), "post", zkt_client_error(client));
    }
    check(zkt_client_flush(client, 60000), "flush", zkt_client_error(client));
    printf("%.0f\n", (double)tasks / (now_s() - start_s));
    free(text);
    zkt_client_destroy(&client);
}

// ---- Worker

static _Atomic long finished;
static long wanted;
static double first_s;
static zkt_worker_t *serving;

static enum zkt_err
count(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)delivery;
    (void)task;
    (void)arg;
    long number = atomic_fetch_add(&finished, 1) + 1;
    if (number == 1) {
        first_s = now_s();
    }
    if (number == wanted) {
        zkt_worker_stop(serving);
    }
    return ZKT_OK;
}

static void
work(long tasks, const char *identity, unsigned threads)
{
    wanted = tasks;
    zkt_worker_options_t options = {.identity = identity,
                                    .filters = {"type=bench"},
                                    .process = count,
                                    .concurrency = threads,
                                    .prefetch = 1024};
    check(zkt_worker_new(&options, &serving), "worker", zkt_worker_error(serving));
    fprintf(stderr, "ready\n");
    check(zkt_worker_run(serving), "run", zkt_worker_error(serving));
    printf("%.0f\n", (double)tasks / (now_s() - first_s));
    zkt_worker_destroy(&serving);
}

// ---- Latency

static _Atomic double started_s;
static int started_pipe[2];

static enum zkt_err
note_start(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)delivery;
    (void)task;
    (void)arg;
    atomic_store(&started_s, now_s());
    return write(started_pipe[1], "s", 1) == 1 ? ZKT_OK : ZKT_FAILED;
}

static void *
serve_in_thread(void *arg)
{
    check(zkt_worker_run(arg), "run", zkt_worker_error(arg));
    return NULL;
}

static int
compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void
latency(long rounds)
{
    pthread_t thread;
    zkt_client_t *client = NULL;
    zkt_worker_options_t options = {.identity = "bench.latency",
                                    .filters = {"type=latency"},
                                    .process = note_start,
                                    .keep_signals = true};
    check(pipe(started_pipe) == 0 ? ZKT_OK : ZKT_IO, "pipe", NULL);
    check(zkt_worker_new(&options, &serving), "worker", zkt_worker_error(serving));
    pthread_create(&thread, NULL, serve_in_thread, serving);
    zkt_client_options_t client_options = {.identity = "bench", .timeout_ms = 60000};
    check(zkt_client_new(&client_options, &client), "connect", zkt_client_error(client));
    double *elapsed_s = calloc((size_t)rounds, sizeof *elapsed_s);
    for (long round = -20; round < rounds; round++) {
        char byte;
        usleep(2000); // idle between tasks: that is what is measured
        zkt_task_t *task = zkt_task_new("type=latency");
        double sent_s = now_s();
        check(zkt_client_send(client, &task, NULL), "send", zkt_client_error(client));
        if (read(started_pipe[0], &byte, 1) != 1) {
            exit(1);
        }
        if (round >= 0) {
            elapsed_s[round] = atomic_load(&started_s) - sent_s;
        }
    }
    qsort(elapsed_s, (size_t)rounds, sizeof *elapsed_s, compare_doubles);
    printf("%.4f %.4f\n", elapsed_s[rounds / 2] * 1e3, elapsed_s[rounds * 99 / 100] * 1e3);
    zkt_worker_stop(serving);
    pthread_join(thread, NULL);
    zkt_worker_destroy(&serving);
    zkt_client_destroy(&client);
    free(elapsed_s);
}

int
main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "produce") == 0) {
        produce(strtol(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10),
                strtol(argv[4], NULL, 10), (size_t)strtol(argv[5], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "work") == 0) {
        work(strtol(argv[2], NULL, 10), argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    } else if (argc == 3 && strcmp(argv[1], "latency") == 0) {
        latency(strtol(argv[2], NULL, 10));
    } else {
        fprintf(
            stderr,
            "usage: bench_client produce TASKS BATCH WINDOW BYTES | work TASKS IDENTITY THREADS |"
            " latency COUNT\n");
        return 2;
    }
    return 0;
}
