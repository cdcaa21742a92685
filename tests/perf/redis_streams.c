// redis_streams: the same job on Redis Streams, as fast as a C program gets it: XADD in pipelines
// of 64, XREADGROUP with COUNT 256, XACK and XDEL in one pipeline, at most WINDOW tasks under way.
// `redis_streams PORT TASKS WINDOW BYTES` prints tasks/s. It does less than a task bus: no filters,
// no forking, no states.
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIPELINE = 64, READ_COUNT = 256 };

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static redisReply *
reply_of(redisContext *redis)
{
    redisReply *reply = NULL;
    if (redisGetReply(redis, (void **)&reply) != REDIS_OK || reply == NULL ||
        reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "redis: %s\n", reply != NULL ? reply->str : redis->errstr);
        exit(1);
    }
    return reply;
}

static redisContext *
dial(int port)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    if (redis == NULL || redis->err) {
        fprintf(stderr, "redis does not answer\n");
        exit(1);
    }
    return redis;
}

static void
produce(int port, long tasks, long window, size_t bytes, volatile long *settled)
{
    redisContext *redis = dial(port);
    char *body = calloc(1, bytes);
    memset(body, 'x', bytes);
    for (long sent = 0; sent < tasks;) {
        if (sent - *settled + PIPELINE > window) {
            usleep(50);
            continue;
        }
        long count = tasks - sent < PIPELINE ? tasks - sent : PIPELINE;
        for (long index = 0; index < count; index++) {
            redisAppendCommand(redis, "XADD s * b %b", body, bytes);
        }
        for (long index = 0; index < count; index++) {
            freeReplyObject(reply_of(redis));
        }
        sent += count;
    }
    free(body);
    redisFree(redis);
}

static void
settle(redisContext *redis, const redisReply *entries)
{
    const char *ack[3 + READ_COUNT] = {"XACK", "s", "g"};
    const char *del[2 + READ_COUNT] = {"XDEL", "s"};
    int count = (int)entries->elements;
    for (int index = 0; index < count; index++) {
        ack[3 + index] = del[2 + index] = entries->element[index]->element[0]->str;
    }
    redisAppendCommandArgv(redis, 3 + count, ack, NULL);
    redisAppendCommandArgv(redis, 2 + count, del, NULL);
    freeReplyObject(reply_of(redis));
    freeReplyObject(reply_of(redis));
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: redis_streams PORT TASKS WINDOW BYTES\n");
        return 2;
    }
    int port = (int)strtol(argv[1], NULL, 10);
    long tasks = strtol(argv[2], NULL, 10);
    long window = strtol(argv[3], NULL, 10);
    size_t bytes = (size_t)strtol(argv[4], NULL, 10);
    volatile long *settled =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    redisContext *redis = dial(port);
    freeReplyObject(redisCommand(redis, "DEL s"));
    freeReplyObject(redisCommand(redis, "XGROUP CREATE s g $ MKSTREAM"));
    double start_s = now_s();
    pid_t producer = fork();
    if (producer == 0) {
        produce(port, tasks, window, bytes, settled);
        _exit(0);
    }
    while (*settled < tasks) {
        redisReply *reply =
            redisCommand(redis, "XREADGROUP GROUP g c COUNT %d BLOCK 1000 STREAMS s >", READ_COUNT);
        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
            const redisReply *entries = reply->element[0]->element[1];
            settle(redis, entries);
            *settled += (long)entries->elements;
        }
        freeReplyObject(reply);
    }
    printf("%.0f\n", (double)tasks / (now_s() - start_s));
    waitpid(producer, NULL, 0);
    redisFree(redis);
    return 0;
}
