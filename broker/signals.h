// signals.h: the broker's signals, as a descriptor to poll.
#pragma once

// signals_open blocks SIGTERM, SIGINT and SIGHUP in this thread and all threads made later, ignores
// SIGPIPE, and returns a signalfd for them; -1 with errno.
int
signals_open(void);
// signals_next returns the next signal that waits, 0: none.
int
signals_next(int signal_fd);
