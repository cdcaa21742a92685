// raw_hops: what libzmq alone does with the shape of a task's life: producer DEALER → ROUTER →
// worker DEALER, an acknowledgement back to each, nothing stored, nothing decoded. `raw_hops TASKS
// BATCH WINDOW BYTES` prints tasks/s. Three processes, as in the real thing.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { ROLE_WORKER = 'w', ROLE_PRODUCER = 'p' };

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *
dial(void *context, const char *address, char role)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_ROUTING_ID, &role, 1);
    zmq_connect(socket, address);
    zmq_send(socket, &role, 1, 0);
    char go;
    zmq_recv(socket, &go, 1, 0);
    return socket;
}

static void
produce(const char *address, long messages, long window, size_t bytes)
{
    void *context = zmq_ctx_new();
    void *socket = dial(context, address, ROLE_PRODUCER);
    char *message = calloc(1, bytes);
    long acknowledged = 0;
    for (long sent = 0; acknowledged < messages;) {
        char ack[64];
        while (sent < messages && sent - acknowledged < window) {
            zmq_send(socket, message, bytes, 0);
            sent++;
        }
        zmq_recv(socket, ack, sizeof ack, 0);
        acknowledged++;
        while (zmq_recv(socket, ack, sizeof ack, ZMQ_DONTWAIT) != -1) {
            acknowledged++;
        }
    }
    free(message);
    zmq_close(socket);
    zmq_ctx_term(context);
}

static void
work(const char *address, long messages)
{
    void *context = zmq_ctx_new();
    void *socket = dial(context, address, ROLE_WORKER);
    zmq_msg_t message;
    zmq_msg_init(&message);
    long acknowledged = 0;
    char report[48] = "r";
    while (acknowledged < messages) {
        zmq_msg_recv(&message, socket, 0);
        if (zmq_msg_size(&message) < 40) {
            acknowledged++;
        } else {
            zmq_send(socket, report, sizeof report, 0);
        }
    }
    zmq_msg_close(&message);
    zmq_close(socket);
    zmq_ctx_term(context);
}

// Forwards until every report is acknowledged; returns tasks/s counted from the first message.
static double
serve(void *router, long messages)
{
    zmq_msg_t peer;
    zmq_msg_t body;
    zmq_msg_init(&peer);
    zmq_msg_init(&body);
    long reported = 0;
    double start_s = now_s();
    while (reported < messages) {
        zmq_msg_recv(&peer, router, 0);
        zmq_msg_recv(&body, router, 0);
        char from = *(char *)zmq_msg_data(&peer);
        char to = ROLE_WORKER;
        if (from == ROLE_PRODUCER) {
            zmq_send(router, &to, 1, ZMQ_SNDMORE);
            zmq_msg_send(&body, router, 0);
            zmq_msg_init(&body);
        } else {
            reported++;
        }
        zmq_send(router, &from, 1, ZMQ_SNDMORE);
        zmq_send(router, "acknowledged", 12, 0);
    }
    double elapsed_s = now_s() - start_s;
    zmq_msg_close(&peer);
    zmq_msg_close(&body);
    return (double)messages / elapsed_s;
}

static void
wait_for_both(void *router)
{
    char seen[2];
    for (int peer_index = 0; peer_index < 2; peer_index++) {
        char hello;
        zmq_recv(router, &seen[peer_index], 1, 0);
        zmq_recv(router, &hello, 1, 0);
    }
    for (int peer_index = 0; peer_index < 2; peer_index++) {
        zmq_send(router, &seen[peer_index], 1, ZMQ_SNDMORE);
        zmq_send(router, "g", 1, 0);
    }
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: raw_hops TASKS BATCH WINDOW BYTES\n");
        return 2;
    }
    long tasks = strtol(argv[1], NULL, 10);
    long batch = strtol(argv[2], NULL, 10);
    long window = strtol(argv[3], NULL, 10) / batch;
    size_t bytes = (size_t)strtol(argv[4], NULL, 10) * (size_t)batch;
    long messages = tasks / batch;
    int address_pipe[2][2];
    pid_t children[2];
    for (int child_index = 0; child_index < 2; child_index++) {
        if (pipe(address_pipe[child_index]) != 0) {
            return 1;
        }
        children[child_index] = fork();
        if (children[child_index] == 0) {
            char address[128] = {0};
            if (read(address_pipe[child_index][0], address, sizeof address - 1) <= 0) {
                _exit(1);
            }
            if (child_index == 0) {
                work(address, messages);
            } else {
                produce(address, messages, window > 0 ? window : 1, bytes);
            }
            _exit(0);
        }
    }
    void *context = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER);
    int mark = 0;
    zmq_setsockopt(router, ZMQ_SNDHWM, &mark, sizeof mark);
    zmq_setsockopt(router, ZMQ_RCVHWM, &mark, sizeof mark);
    zmq_bind(router, "tcp://127.0.0.1:*");
    char address[128];
    size_t len = sizeof address;
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, address, &len);
    for (int child_index = 0; child_index < 2; child_index++) {
        if (write(address_pipe[child_index][1], address, strlen(address)) < 0) {
            return 1;
        }
    }
    wait_for_both(router);
    printf("%.0f\n", serve(router, messages) * (double)batch);
    for (int child_index = 0; child_index < 2; child_index++) {
        waitpid(children[child_index], NULL, 0);
    }
    zmq_close(router);
    zmq_ctx_term(context);
    return 0;
}
