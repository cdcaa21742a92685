#include "object/object_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hex.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

static enum zkt_err
draw(const char *path, size_t digits_count, char *hex, struct problem *problem)
{
    unsigned char drawn[OBJECT_SECRET_MAX / 2];
    if (getrandom(drawn, digits_count / 2, 0) != (ssize_t)(digits_count / 2)) {
        return object_io_problem(problem, "getrandom");
    }
    hex_format(drawn, digits_count / 2, hex);
    char *aside = xasprintf("%s.new", path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum zkt_err err = ZKT_OK;
    if (fd == -1 || fchmod(fd, 0600) == -1 ||
        write(fd, hex, digits_count) != (ssize_t)digits_count || fsync(fd) == -1 ||
        rename(aside, path) == -1) {
        err = object_io_problem(problem, aside);
    }
    if (fd != -1) {
        close(fd);
    }
    free(aside);
    return err;
}

static enum zkt_err
take(int fd, const char *path, size_t digits_count, bool is_private, char *hex,
     struct problem *problem)
{
    struct stat status;
    ssize_t len = read(fd, hex, digits_count);
    if (len == -1 || fstat(fd, &status) == -1) {
        return object_io_problem(problem, path);
    }
    hex[len] = '\0';
    if ((size_t)len != digits_count || strspn(hex, "0123456789abcdef") != digits_count) {
        return problem_set(problem, ZKT_IO, "%s: not %zu hex digits", path, digits_count);
    }
    if (is_private && (status.st_mode & 077) != 0) {
        return problem_set(problem, ZKT_INSECURE, "%s: others can read it. Write chmod 600 %s",
                           path, path);
    }
    return ZKT_OK;
}

enum zkt_err
object_secret_load(const char *path, size_t digits_count, bool is_private, char *hex,
                   struct problem *problem)
{
    zkt_assert(digits_count % 2 == 0 && digits_count <= OBJECT_SECRET_MAX);
    const char *slash = strrchr(path, '/');
    char *folder = slash != NULL && slash != path ? xmemdup(path, (size_t)(slash - path)) : NULL;
    enum zkt_err err = folder != NULL ? object_dir_make(folder, problem) : ZKT_OK;
    int fd = err == ZKT_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd != -1) {
        err = take(fd, path, digits_count, is_private, hex, problem);
        close(fd);
    } else if (err == ZKT_OK && errno == ENOENT) {
        err = draw(path, digits_count, hex, problem);
        if (err == ZKT_OK && folder != NULL) {
            err = object_dir_sync(folder, problem);
        }
    } else if (err == ZKT_OK) {
        err = object_io_problem(problem, path);
    }
    free(folder);
    return err;
}
