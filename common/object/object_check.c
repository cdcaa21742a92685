// Reads every object and compares it with its checksum.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "object/object_dir_internal.h"

struct checking {
    void (*on_damage)(void *arg, const char *path, const char *why);
    void *arg;
    struct object_check *found;
};

static enum zkt_err
compare(int fd, const char *path, struct object_check *found, struct problem *problem)
{
    struct object_meta meta = {.size = 0};
    uint8_t sha256[32];
    enum zkt_err err = object_file_read(fd, path, &meta, problem);
    if (err == ZKT_OK) {
        err = object_file_hash(fd, path, meta.size, sha256, problem);
    }
    found->files_count++;
    found->bytes_count += (uint64_t)meta.size;
    if (err == ZKT_OK && !meta.has_sha256) {
        found->unknown_count++;
    } else if (err == ZKT_OK && memcmp(sha256, meta.sha256, sizeof(sha256)) != 0) {
        err = problem_set(problem, ZKT_IO, "the content is not what was put: another SHA-256");
    }
    object_meta_fini(&meta);
    return err;
}

static void
check_file(struct checking *checking, const char *path)
{
    struct problem problem = {.code = ZKT_OK};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1 && errno == ENOENT) {
        return; // deleted meanwhile
    }
    enum zkt_err err =
        fd == -1 ? object_io_problem(&problem, path) : compare(fd, path, checking->found, &problem);
    if (fd != -1) {
        close(fd);
    }
    if (err != ZKT_OK) {
        checking->found->damaged_count++;
        checking->on_damage(checking->arg, path, problem.text);
    }
}

// What lies there is an object: UID in a shard, fSEGMENT in a bucket.
static bool
is_object(const FTSENT *entry, bool is_bucket)
{
    struct uid uid;
    return is_bucket ? entry->fts_name[0] == 'f'
                     : uid_parse(entry->fts_name, strlen(entry->fts_name), &uid);
}

static enum zkt_err
check_tree(struct checking *checking, char *path, bool is_bucket, struct problem *problem)
{
    char *const paths[] = {path, NULL};
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    enum zkt_err err = tree == NULL ? object_io_problem(problem, path) : ZKT_OK;
    FTSENT *entry;
    while (err == ZKT_OK && (entry = fts_read(tree)) != NULL) {
        if (entry->fts_info == FTS_F && is_object(entry, is_bucket)) {
            check_file(checking, entry->fts_path);
        } else if ((entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) &&
                   entry->fts_errno != ENOENT) {
            errno = entry->fts_errno;
            err = object_io_problem(problem, entry->fts_path);
        }
    }
    if (tree != NULL) {
        fts_close(tree);
    }
    return err;
}

enum zkt_err
object_dir_check(const char *path, void (*on_damage)(void *arg, const char *path, const char *why),
                 void *arg, struct object_check *found, struct problem *problem)
{
    struct checking checking = {.on_damage = on_damage, .arg = arg, .found = found};
    enum zkt_err err = ZKT_OK;
    *found = (struct object_check){.files_count = 0};
    if (access(path, R_OK | X_OK) != 0) {
        return object_io_problem(problem, path);
    }
    for (unsigned shard = 0; err == ZKT_OK && shard <= OBJECT_SHARDS; shard++) {
        bool is_bucket = shard == OBJECT_SHARDS;
        char *folder =
            is_bucket ? xasprintf("%s/buckets", path) : xasprintf("%s/%02x", path, shard);
        if (access(folder, F_OK) == 0) {
            err = check_tree(&checking, folder, is_bucket, problem);
        }
        free(folder);
    }
    return err;
}
