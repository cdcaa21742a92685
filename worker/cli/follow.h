// follow.h: events of the broker, one after the other.
#pragma once
#include "cli.h"

// follow calls visit for every event under the topics (NULL-ended) until Ctrl-C, --timeout, an
// error, or the end of the reader of stdout; visit returns EXIT_YES to go on. What was lost is told
// on stderr.
int
follow(struct cli *cli, const char *const *topics,
       int (*visit)(void *arg, const char *topic, const zkt_value_t *body), void *arg);
