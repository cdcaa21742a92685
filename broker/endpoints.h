// endpoints.h: <data>/endpoints.json, which tells what the broker bound: {"broker", "events",
// "http", "pid"}.
#pragma once
#include <stdint.h>

#include "base/problem.h"

struct endpoints {
    const char *broker; // "tcp://127.0.0.1:5570"
    const char *events;
    const char *http; // "http://127.0.0.1:5572"
    int64_t pid;
};

// endpoints_write replaces the file as a whole (written aside, renamed). IO names the file.
ZKT_MUST enum zkt_err
endpoints_write(const char *data_path, const struct endpoints *endpoints, struct problem *problem);
void
endpoints_remove(const char *data_path);
