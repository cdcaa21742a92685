#include "io/pair.h"

#include <stdio.h>
#include <zmq.h>

#include "base/uid.h"

static void *
open_end(void *zmq_context)
{
    void *socket = zmq_socket(zmq_context, ZMQ_PAIR);
    int none = 0;
    if (socket != NULL) {
        zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
        zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
        zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    }
    return socket;
}

enum zkt_err
pair_open(void *zmq_context, const char *name, void **near_end, void **far_end,
          struct problem *problem)
{
    struct uid random;
    char random_text[UID_TEXT_SIZE];
    char address[128];
    uid_random(&random);
    uid_format(&random, random_text);
    snprintf(address, sizeof address, "inproc://%s-%s", name, random_text);
    *near_end = open_end(zmq_context);
    *far_end = open_end(zmq_context);
    if (*near_end != NULL && *far_end != NULL && zmq_bind(*near_end, address) == 0 &&
        zmq_connect(*far_end, address) == 0) {
        return ZKT_OK;
    }
    enum zkt_err err =
        problem_set(problem, ZKT_IO, "the %s did not start: %s", name, zmq_strerror(zmq_errno()));
    if (*near_end != NULL) {
        zmq_close(*near_end);
    }
    if (*far_end != NULL) {
        zmq_close(*far_end);
    }
    *near_end = *far_end = NULL;
    return err;
}
