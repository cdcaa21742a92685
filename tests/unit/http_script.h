// http_script.h: an HTTP server with a script: one answer, and one connection, for each step.
#pragma once
#include <pthread.h>
#include <stddef.h>

enum { STEPS_MAX = 8, REQUEST_BYTES_MAX = 4096 };

// Reads a request, answers with the text, hangs up; then the next one.
struct server {
    const char *answers[STEPS_MAX]; // as many as are not NULL, or steps_count
    size_t steps_count;
    int listener;
    pthread_t thread;
    char requests[STEPS_MAX][REQUEST_BYTES_MAX];
    char url[64]; // http://127.0.0.1:PORT/objects/x
};

void
server_start(struct server *server);
// server_stop waits until every step was taken.
void
server_stop(struct server *server);
