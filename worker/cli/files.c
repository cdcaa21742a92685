#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

enum { COPY_CHUNK_BYTES = 64 << 10 };

static bool
write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return false;
        }
        data += written;
        size -= (size_t)written;
    }
    return true;
}

bool
file_copy(int from_fd, int to_fd)
{
    ssize_t copied;
    // Inside the kernel where it can (copy_file_range also shares blocks), by hand where not.
    while ((copied = copy_file_range(from_fd, NULL, to_fd, NULL, 1 << 30, 0)) > 0) {
    }
    char *chunk = xmalloc(COPY_CHUNK_BYTES);
    bool is_good = true;
    while (is_good) {
        ssize_t len = read(from_fd, chunk, COPY_CHUNK_BYTES);
        if (len == 0) {
            break;
        }
        if (len == -1 && errno == EINTR) {
            continue;
        }
        is_good = len > 0 && write_all(to_fd, chunk, (size_t)len);
    }
    int saved = errno;
    free(chunk);
    errno = saved;
    return is_good;
}

bool
file_copy_path(const char *from, const char *to, mode_t mode)
{
    int from_fd = open(from, O_RDONLY | O_CLOEXEC);
    if (from_fd == -1) {
        return false;
    }
    int to_fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool is_good = to_fd != -1 && file_copy(from_fd, to_fd);
    int saved = errno;
    if (to_fd != -1 && close(to_fd) == -1 && is_good) {
        saved = errno;
        is_good = false;
    }
    close(from_fd);
    errno = saved;
    return is_good;
}

int
file_spool(int fd)
{
    int spool = open(temp_base(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (spool == -1) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/zkarton-XXXXXX", temp_base());
        spool = mkostemp(path, O_CLOEXEC);
        if (spool == -1) {
            return -1;
        }
        unlink(path);
    }
    if (!file_copy(fd, spool)) {
        int saved = errno;
        close(spool);
        errno = saved;
        return -1;
    }
    return spool;
}

bool
file_write(const char *path, const void *data, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd == -1) {
        return false;
    }
    bool is_good = write_all(fd, data, size);
    int saved = errno;
    if (close(fd) == -1 && is_good) {
        saved = errno;
        is_good = false;
    }
    errno = saved;
    return is_good;
}

const char *
temp_base(void)
{
    const char *base = getenv("TMPDIR");
    return base != NULL && base[0] == '/' ? base : "/tmp";
}
