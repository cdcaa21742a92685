// log.h: structured log lines on stderr or a file: time, level, stable id (schemas/events.json),
// key=value. The one place in broker/ and common/ with a lock and with process-wide state.
#pragma once

enum log_level { LOG_DEBUG = 10, LOG_INFO = 20, LOG_WARNING = 30, LOG_ERROR = 40 };

void
log_set_level(enum log_level level);
// log_open sends lines to the file at path (append), NULL: stderr. log_reopen opens the same path
// again (SIGHUP).
int
log_open(const char *path);
int
log_reopen(void);
void
log_write(enum log_level level, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// log_warn("LEASE-EXPIRED", "task=%s identity=%s", …): id first, then key=value words.
#define log_debug(id, ...) log_write(LOG_DEBUG, (id), __VA_ARGS__)
#define log_info(id, ...) log_write(LOG_INFO, (id), __VA_ARGS__)
#define log_warn(id, ...) log_write(LOG_WARNING, (id), __VA_ARGS__)
#define log_error(id, ...) log_write(LOG_ERROR, (id), __VA_ARGS__)
