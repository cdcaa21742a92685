// The local store alone, without sockets: what a backlog costs in time and memory, and how long it
// takes to open it again.
//
//     store_load fill DIR TASKS     a backlog of one consumer, each task its own analysis; the rate
//                                   of each tenth, then anonymous bytes a task, cache subtracted;
//                                   it leaves without closing, as after kill -9
//     store_load open DIR           opens it again
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "store/store.h"
#include "wire/task_body.h"

enum { TASK_BYTES = 300, TURN_TASKS = 512, PARTS = 10 };

static void
ignore_durable(void *arg, uint64_t batch)
{
    (void)arg;
    (void)batch;
}

static void
fail(void *arg, uint64_t batch, const char *reason)
{
    (void)arg;
    fprintf(stderr, "batch %" PRIu64 ": %s\n", batch, reason);
    exit(1);
}

static struct store *
open_store(const char *path)
{
    struct store_options options = {.path = path,
                                    .codec = &wire_task_codec,
                                    .now_ms = clock_wall_ms(),
                                    .callbacks = {.on_durable = ignore_durable, .on_failed = fail}};
    struct problem problem = {.code = ZKT_OK};
    struct store *store = NULL;
    uid_random(&options.store_id);
    int64_t start_ns = clock_monotonic_ns();
    if (store_open(&options, &store, &problem) != ZKT_OK) {
        fprintf(stderr, "%s\n", problem.text);
        exit(1);
    }
    struct store_stats stats;
    store_stats(store, &stats);
    printf("open %.0f ms, %" PRIu64 " tasks\n", (double)(clock_monotonic_ns() - start_ns) / 1e6,
           stats.tasks_count);
    return store;
}

static uint64_t
anonymous_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kib = strtoull(line + 8, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib * 1024;
}

static struct task
make_task(struct arena *arena)
{
    static uint8_t payload[TASK_BYTES];
    static const uint8_t head[] = {0x81, 0xa1, 'p', 0xc5}; // a map of one bin of 16-bit length
    struct task task = {.priority = PRIORITY_NORMAL, .headers = value_map()};
    memcpy(payload, head, sizeof head);
    payload[4] = (TASK_BYTES - 6) >> 8;
    payload[5] = (TASK_BYTES - 6) & 255;
    task.header_keys = value_list();
    value_put(arena, &task.headers, "type", value_string(arena, "bench", 5));
    task.payload = span_of(payload, sizeof payload);
    task.payload_persistent = span_of("\x80", 1);
    return task;
}

static void
wait_for_room(struct store *store)
{
    struct pollfd poll_fd = {.fd = store_fd(store), .events = POLLIN};
    while (store_batch_is_full(store) && store_is_committing(store)) {
        poll(&poll_fd, 1, 5000);
        store_poll(store);
    }
}

static void
turn(struct store *store)
{
    int64_t now_ms = clock_wall_ms();
    store_poll(store);
    store_turn(store, now_ms);
    if (!store_is_committing(store) && !store_batch_is_empty(store)) {
        store_commit(store, now_ms);
    }
}

static void
fill(struct store *store, long tasks_count)
{
    struct arena arena;
    arena_init(&arena);
    struct bind bind = {
        .identity = span_of_text("bench"), .filters = value_list(), .persistent = true};
    uint32_t number;
    uint64_t generation;
    store_put_consumer(store, &bind, clock_wall_ms(), &number, &generation);
    struct task task = make_task(&arena);
    int64_t turn_ns_max = 0;
    for (int part = 0; part < PARTS; part++) {
        int64_t start_ns = clock_monotonic_ns();
        for (long count = 0; count < tasks_count / PARTS; count += TURN_TASKS) {
            wait_for_room(store);
            int64_t turn_start_ns = clock_monotonic_ns();
            for (int index = 0; index < TURN_TASKS; index++) {
                uid_random(&task.uid);
                task.root = task.uid;
                store_submit(store, &task, &number, 1, clock_wall_ms());
            }
            turn(store);
            int64_t turn_ns = clock_monotonic_ns() - turn_start_ns;
            turn_ns_max = turn_ns > turn_ns_max ? turn_ns : turn_ns_max;
        }
        printf("part %d: %.0f tasks/s\n", part + 1,
               (double)(tasks_count / PARTS) * 1e9 / (double)(clock_monotonic_ns() - start_ns));
        fflush(stdout);
    }
    while (store_is_committing(store) || !store_batch_is_empty(store)) {
        turn(store);
    }
    struct store_stats stats;
    store_stats(store, &stats);
    printf("%.1f bytes a task, longest turn %.1f ms\n",
           (double)(anonymous_bytes() - stats.body_cache_bytes) / (double)stats.tasks_count,
           (double)turn_ns_max / 1e6);
    arena_fini(&arena);
}

int
main(int argc, char **argv)
{
    if (argc < 3 || (strcmp(argv[1], "fill") == 0 && argc < 4)) {
        fprintf(stderr, "usage: store_load fill DIR TASKS | store_load open DIR\n");
        return 2;
    }
    struct store *store = open_store(argv[2]);
    if (strcmp(argv[1], "fill") == 0) {
        fill(store, strtol(argv[3], NULL, 10));
    }
    fflush(stdout);
    _exit(0); // as after kill -9
}
