// The one lock of broker/ and common/: lines of several threads must not mix, and SIGHUP changes
// the file under them.
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

enum { LINE_BYTES = 4096 };
_Static_assert(LINE_BYTES <= PIPE_BUF, "a line goes into a pipe as a whole");

static struct {
    pthread_mutex_t mutex;
    enum log_level level;
    int fd;
    char *path;                    // NULL: stderr
    unsigned long long lost_count; // lines since the last one that got through
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO, .fd = STDERR_FILENO};

void
log_set_level(enum log_level level)
{
    pthread_mutex_lock(&sink.mutex);
    sink.level = level;
    pthread_mutex_unlock(&sink.mutex);
}

static int
open_path(const char *path)
{
    return path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                        : STDERR_FILENO;
}

int
log_open(const char *path)
{
    int fd = open_path(path);
    if (fd == -1) {
        return -1;
    }
    pthread_mutex_lock(&sink.mutex);
    if (sink.path != NULL) {
        close(sink.fd);
    }
    char *copy = path != NULL ? xstrdup(path) : NULL;
    free(sink.path);
    sink.path = copy;
    sink.fd = fd;
    pthread_mutex_unlock(&sink.mutex);
    return 0;
}

int
log_reopen(void)
{
    pthread_mutex_lock(&sink.mutex);
    int result = 0;
    if (sink.path != NULL) {
        int fd = open_path(sink.path);
        if (fd == -1) {
            result = -1;
        } else {
            close(sink.fd);
            sink.fd = fd;
        }
    }
    pthread_mutex_unlock(&sink.mutex);
    return result;
}

static const char *
level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "DEBUG";
    case LOG_INFO:
        return "INFO";
    case LOG_WARNING:
        return "WARNING";
    case LOG_ERROR:
        break;
    }
    return "ERROR";
}

static size_t
write_head(char *line, size_t size, enum log_level level, const char *id)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &parts);
    int more = snprintf(line + len, size - len, ".%03dZ %s %s ", (int)(now.tv_nsec / 1000000),
                        level_name(level), id);
    return len + (size_t)more;
}

// A reader of stderr that stands still must not stop the loop: what a full pipe does not take is
// lost, and counted in the next line that gets through. A pipe that polls as writable takes
// LINE_BYTES without blocking.
static void
put_line(char *line, size_t len)
{
    struct pollfd ready = {.fd = sink.fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) {
        sink.lost_count++;
        return;
    }
    char told[64];
    if (sink.lost_count > 0) {
        int told_len = snprintf(told, sizeof told, " log_lines_lost=%llu\n", sink.lost_count);
        if (len - 1 + (size_t)told_len <= LINE_BYTES) {
            memcpy(line + len - 1, told, (size_t)told_len);
            len += (size_t)told_len - 1;
            sink.lost_count = 0;
        }
    }
    ssize_t written = write(sink.fd, line, len);
    (void)written; // there is nowhere to tell it
}

void
log_write(enum log_level level, const char *id, const char *format, ...)
{
    pthread_mutex_lock(&sink.mutex);
    if (level >= sink.level) {
        char line[LINE_BYTES];
        size_t len = write_head(line, sizeof line, level, id);
        va_list args;
        va_start(args, format);
        int more = vsnprintf(line + len, sizeof line - len - 1, format, args);
        va_end(args);
        len += more > 0 ? (size_t)more : 0;
        len = len < sizeof line - 1 ? len : sizeof line - 2;
        for (size_t byte_index = 0; byte_index < len; byte_index++) {
            if ((unsigned char)line[byte_index] < ' ') {
                line[byte_index] = ' '; // a peer's text cannot forge a line
            }
        }
        line[len++] = '\n';
        put_line(line, len);
    }
    pthread_mutex_unlock(&sink.mutex);
}
