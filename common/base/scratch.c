#include "base/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

static const char NEW_PREFIX[] = "zkarton-new-";
static const char *const PREFIXES[] = {"zkarton-new-", "zkarton-exec-", "zkarton-work-"};
enum { YOUNG_S = 60, TREE_FDS_MAX = 32 };

// A command may leave folders that it made unreadable: open them up before walking in.
static int
open_up(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)where;
    if (type == FTW_DNR || type == FTW_D) {
        (void)chmod(path, 0700);
    }
    return 0;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path) == -1 && errno != ENOENT ? -1 : 0;
}

bool
tree_remove(const char *path)
{
    int flags = FTW_PHYS | FTW_DEPTH | FTW_MOUNT;
    if (nftw(path, remove_one, TREE_FDS_MAX, flags) == 0 || errno == ENOENT) {
        return true;
    }
    (void)nftw(path, open_up, TREE_FDS_MAX, FTW_PHYS | FTW_MOUNT);
    return nftw(path, remove_one, TREE_FDS_MAX, flags) == 0 || errno == ENOENT;
}

// Removes one folder unless its process lives or, without a lock, may still be making it.
static void
sweep_one(const char *path, bool is_new)
{
    struct stat status;
    bool is_folder =
        lstat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
    bool is_young = is_folder && time(NULL) - status.st_mtime <= YOUNG_S;
    if (!is_folder || (is_young && is_new)) {
        return; // even to try its lock would be in the way of who is making it
    }
    char *lock_path = xasprintf("%s/.lock", path);
    int lock = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    free(lock_path);
    bool is_free = lock == -1 || flock(lock, LOCK_EX | LOCK_NB) == 0;
    if (is_free && !(is_young && lock == -1)) {
        tree_remove(path);
    }
    if (lock != -1) {
        close(lock);
    }
}

static bool
is_ours(const char *name)
{
    bool is_one = false;
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++) {
        is_one = is_one || strncmp(name, PREFIXES[i], strlen(PREFIXES[i])) == 0;
    }
    return is_one;
}

static void
sweep(const char *temp)
{
    DIR *folder = opendir(temp);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (is_ours(entry->d_name)) {
            char *path = xasprintf("%s/%s", temp, entry->d_name);
            sweep_one(path, strncmp(entry->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0);
            free(path);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

// Gives the folder its name once its lock is held.
static bool
lock_and_name(const char *path, struct scratch *scratch)
{
    char *lock_path = xasprintf("%s/.lock", path);
    scratch->lock = open(lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    free(lock_path);
    return scratch->lock != -1 && flock(scratch->lock, LOCK_EX | LOCK_NB) == 0 &&
           rename(path, scratch->path) == 0;
}

enum zkt_err
scratch_open(const char *temp, const char *kind, struct scratch *scratch, struct problem *problem)
{
    *scratch = (struct scratch){.lock = -1};
    char *real = realpath(temp, NULL);
    if (real == NULL) {
        return problem_set(problem, ZKT_IO, "%s: %s", temp, strerror(errno));
    }
    sweep(real);
    char *path = xasprintf("%s/%sXXXXXX", real, NEW_PREFIX);
    enum zkt_err err = ZKT_OK;
    if (mkdtemp(path) == NULL) {
        err = problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    } else {
        scratch->path = xasprintf("%s/zkarton-%s-%s", real, kind, path + strlen(path) - 6);
        if (!lock_and_name(path, scratch)) {
            err = problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
            tree_remove(path);
            free(scratch->path);
            scratch->path = NULL;
        }
    }
    if (err != ZKT_OK && scratch->lock != -1) {
        close(scratch->lock);
        scratch->lock = -1;
    }
    free(path);
    free(real);
    return err;
}

void
scratch_close(struct scratch *scratch)
{
    if (scratch->path != NULL) {
        tree_remove(scratch->path);
    }
    if (scratch->lock != -1) {
        close(scratch->lock);
    }
    free(scratch->path);
    *scratch = (struct scratch){.lock = -1};
}
