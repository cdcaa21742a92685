// logger.h: Karton's log records (S13, parity B "Log record"): a line on stderr, and a record to be
// published.
#pragma once
#include <stdarg.h>
#include <stdbool.h>

#include "base/arena.h"
#include "model/value.h"
#include "zkarton.h"

struct logger {
    char *name; // the identity
    enum zkt_level level;
    bool is_published;
    char host[256];
};

const char *
level_name(enum zkt_level level);
// logger_line writes "[time][LEVEL] message" to stderr in one write.
void
logger_line(enum zkt_level level, const char *message);
// logger_record makes the record in arena; task NULL: "(no task)".
struct value
logger_record(const struct logger *logger, struct arena *arena, enum zkt_level level,
              const zkt_source_t *source, const char *message, const zkt_task_t *task);
