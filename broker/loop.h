// loop.h: the broker's one loop: drain → apply → hand over → release → dispatch → tick
// (docs/architecture.md). It owns the front, the events socket and the engine; nothing of them is
// touched from another thread.
#pragma once
#include "base/problem.h"
#include "options.h"

struct loop;

// loop_new binds every socket, recovers the store, starts the http and janitor threads and writes
// endpoints.json.
ZKT_MUST enum zkt_err
loop_new(const struct broker_options *options, struct loop **loop, struct problem *problem);
// loop_run runs until SIGTERM or SIGINT; answers the process's exit code: 0 after a drain, 1 after
// a failed commit.
int
loop_run(struct loop *loop, int signal_fd);
void
loop_destroy(struct loop **loop_p);
