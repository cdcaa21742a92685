// endpoints.h: <data>/endpoints.json, which tells what the broker bound: {"broker", "events",
// "http", "objects", "pid"}.
#pragma once
#include <stdint.h>

#include "base/problem.h"

// Objects move from the directory to S3.
#define ENDPOINTS_MOVING "dir to s3"

struct endpoints {
    const char *broker; // "tcp://127.0.0.1:5570"
    const char *events;
    const char *http;    // "http://127.0.0.1:5572"
    const char *objects; // "dir", "s3", ENDPOINTS_MOVING
    int64_t pid;
};

// endpoints_write replaces the file as a whole (written aside, renamed). IO names the file.
ZKT_MUST enum zkt_err
endpoints_write(const char *data_path, const struct endpoints *endpoints, struct problem *problem);
// endpoints_may_move: no broker runs in the data directory, or one that minds both stores. Else
// IN_USE.
ZKT_MUST enum zkt_err
endpoints_may_move(const char *data_path, struct problem *problem);
void
endpoints_remove(const char *data_path);
