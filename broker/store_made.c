#include "store_made.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum zkt_err
store_made_check(const char *data_path, struct problem *problem)
{
    char *mark = xasprintf("%s/keys/store.made", data_path);
    char *file = xasprintf("%s/store/data.mdb", data_path);
    enum zkt_err err = ZKT_OK;
    if (access(mark, F_OK) == 0 && access(file, F_OK) != 0 && errno == ENOENT) {
        err = problem_set(problem, ZKT_STORE_CORRUPT,
                          "%s is gone: there was a store. Put a copy back; to begin without its "
                          "tasks and let their objects go, delete %s",
                          file, mark);
    }
    free(file);
    free(mark);
    return err;
}

enum zkt_err
store_made_note(const char *data_path, struct problem *problem)
{
    char *mark = xasprintf("%s/keys/store.made", data_path);
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1) {
        problem_set(problem, ZKT_IO, "%s: %s", mark, strerror(errno));
    }
    free(mark);
    if (fd == -1) {
        return ZKT_IO;
    }
    close(fd);
    return ZKT_OK;
}
