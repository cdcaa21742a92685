#include "logger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "delivery.h"
#include "handles.h"
#include "io_thread.h"
#include "worker.h"

enum { MESSAGE_BYTES_MAX = LIMIT_LOG_RECORD_BYTES / 4 };

const char *
level_name(enum zkt_level level)
{
    if (level >= ZKT_ERROR) {
        return "ERROR";
    }
    if (level >= ZKT_WARNING) {
        return "WARNING";
    }
    return level >= ZKT_INFO ? "INFO" : "DEBUG";
}

void
logger_line(enum zkt_level level, const char *message)
{
    struct timespec now;
    struct tm local;
    char time_text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    strftime(time_text, sizeof time_text, "%Y-%m-%d %H:%M:%S", &local);
    struct bytes line = {0};
    bytes_printf(&line, "[%s,%03ld][%s] ", time_text, now.tv_nsec / 1000000, level_name(level));
    bytes_append_text(&line, message);
    bytes_append_byte(&line, '\n');
    // One write, so that lines of several threads do not mix. Nobody can be told if it fails.
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    bytes_fini(&line);
}

static void
put_text(struct arena *arena, struct value *map, const char *key, const char *text)
{
    // What a program logs may be any bytes: Latin-1 is a reading that never fails.
    size_t len = strlen(text);
    if (text_is_utf8(text, len)) {
        value_put(arena, map, key, value_string(arena, text, len));
        return;
    }
    char *wide = arena_alloc(arena, 2 * len + 1);
    size_t wide_len = 0;
    for (size_t byte_index = 0; byte_index < len; byte_index++) {
        unsigned char byte = (unsigned char)text[byte_index];
        if (byte >= 0x80) {
            wide[wide_len++] = (char)(0xC0 | byte >> 6);
            byte = 0x80 | (byte & 0x3F);
        }
        wide[wide_len++] = (char)byte;
    }
    value_put(arena, map, key, value_string(arena, wide, wide_len));
}

struct value
logger_record(const struct logger *logger, struct arena *arena, enum zkt_level level,
              const zkt_source_t *source, const char *message, const zkt_task_t *task)
{
    struct value map = value_map();
    const char *slash = strrchr(source->file, '/');
    const char *filename = slash == NULL ? source->file : slash + 1;
    const char *dot = strrchr(filename, '.');
    size_t module_len = dot == NULL ? strlen(filename) : (size_t)(dot - filename);
    put_text(arena, &map, "name", logger->name);
    put_text(arena, &map, "levelname", level_name(level));
    value_put(arena, &map, "levelno", value_int(level));
    put_text(arena, &map, "filename", filename);
    put_text(arena, &map, "module", arena_copy(arena, filename, module_len));
    value_put(arena, &map, "lineno", value_int(source->line));
    put_text(arena, &map, "funcName", source->function);
    value_put(arena, &map, "created", value_double((double)clock_wall_ms() / 1000.0));
    put_text(arena, &map, "task_id", task == NULL ? "(no task)" : zkt_task_uid(task));
    put_text(arena, &map, "type", "log");
    put_text(arena, &map, "message", message);
    put_text(arena, &map, "hostname", logger->host);
    if (task != NULL) {
        char *document = zkt_task_json(task, 0);
        if (strlen(document) < LIMIT_LOG_RECORD_BYTES / 2) {
            put_text(arena, &map, "task", document);
        }
        free(document);
    }
    return map;
}

static char *
format_message(const char *format, va_list arguments)
{
    char *message = xmalloc(MESSAGE_BYTES_MAX);
    vsnprintf(message, MESSAGE_BYTES_MAX, format, arguments);
    return message;
}

static void
publish(struct io *io, const struct logger *logger, enum zkt_level level,
        const zkt_source_t *source, const char *message, const zkt_task_t *task)
{
    struct log_note *log = xcalloc(1, sizeof *log);
    log->note.kind = NOTE_LOG;
    arena_init(&log->arena);
    log->record = logger_record(logger, &log->arena, level, source, message, task);
    if (!mailbox_put(&io->inbox, &log->note)) {
        arena_fini(&log->arena);
        free(log);
    }
}

void
io_note(const struct io *io, enum zkt_level level, const char *id, const char *format, ...)
{
    if (io->logger == NULL || level < io->logger->level) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    char *words = format_message(format, arguments);
    va_end(arguments);
    char *message = xasprintf("%s %s", id, words);
    logger_line(level, message);
    free(message);
    free(words);
}

void
zkt_log_at(zkt_delivery_t *delivery, enum zkt_level level, const zkt_source_t *source,
           const char *format, ...)
{
    const struct logger *logger =
        delivery != NULL && delivery->slot != NULL ? &delivery->slot->worker->logger : NULL;
    if (logger != NULL && level < logger->level) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    char *message = format_message(format, arguments);
    va_end(arguments);
    if (delivery != NULL && delivery->test != NULL) {
        test_log(delivery->test, level, message);
    } else {
        logger_line(level, message);
    }
    if (logger != NULL && logger->is_published) {
        publish(&delivery->slot->worker->io, logger, level, source, message, &delivery->task);
    }
    free(message);
}

void
zkt_worker_log(zkt_worker_t *worker, enum zkt_level level, const zkt_source_t *source,
               const char *format, ...)
{
    if (level < worker->logger.level) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    char *message = format_message(format, arguments);
    va_end(arguments);
    logger_line(level, message);
    if (worker->logger.is_published) {
        publish(&worker->io, &worker->logger, level, source, message, NULL);
    }
    free(message);
}
