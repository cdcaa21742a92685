// Names in folders made durable, in groups: who comes while a folder is being synced waits for the
// next sync of it, which is one for all that wait. A sync answers only those who came, and so had
// renamed, before it began.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "object/object_dir_internal.h"

// One caller.
struct waiter {
    struct waiter *next;
    bool is_done;
    int reason; // errno, 0: synced
};

struct folder {
    struct folder *next;
    char *path;
    struct waiter *waiters; // for the next sync
    size_t users_count;
    bool is_syncing;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t is_synced = PTHREAD_COND_INITIALIZER;
static struct folder *folders; // few: one for each thread at most

static struct folder *
enter(const char *path)
{
    struct folder *folder = folders;
    while (folder != NULL && strcmp(folder->path, path) != 0) {
        folder = folder->next;
    }
    if (folder == NULL) {
        folder = xcalloc(1, sizeof(*folder));
        folder->path = xstrdup(path);
        folder->next = folders;
        folders = folder;
    }
    folder->users_count++;
    return folder;
}

static void
leave(struct folder *folder)
{
    if (--folder->users_count > 0) {
        return;
    }
    struct folder **link = &folders;
    while (*link != folder) {
        link = &(*link)->next;
    }
    *link = folder->next;
    free(folder->path);
    free(folder);
}

static int
sync_now(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int reason = fd == -1 || fsync(fd) == -1 ? errno : 0;
    if (fd != -1) {
        close(fd);
    }
    return reason;
}

// For all that wait; mutex is held, but not meanwhile.
static void
sync_group(struct folder *folder)
{
    struct waiter *waiters = folder->waiters;
    folder->waiters = NULL;
    folder->is_syncing = true;
    pthread_mutex_unlock(&mutex);
    int reason = sync_now(folder->path);
    pthread_mutex_lock(&mutex);
    folder->is_syncing = false;
    while (waiters != NULL) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->reason = reason;
        waiter->is_done = true;
    }
    pthread_cond_broadcast(&is_synced);
}

enum zkt_err
object_dir_sync(const char *path, struct problem *problem)
{
    struct waiter self = {.next = NULL};
    pthread_mutex_lock(&mutex);
    struct folder *folder = enter(path);
    self.next = folder->waiters;
    folder->waiters = &self;
    while (!self.is_done) {
        if (folder->is_syncing) {
            pthread_cond_wait(&is_synced, &mutex);
        } else {
            sync_group(folder);
        }
    }
    leave(folder);
    pthread_mutex_unlock(&mutex);
    errno = self.reason;
    return self.reason != 0 ? object_io_problem(problem, path) : ZKT_OK;
}
