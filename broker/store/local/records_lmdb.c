// Records on LMDB. Three threads share nothing but two mailboxes: the loop hands over a batch or a
// list of keys, the committer and the fetcher hand back completions; an eventfd wakes the loop.
// LMDB is never touched by the loop after the start.
//
// The mailboxes are the one place outside base/log.c with a lock
// (docs/decisions/0005-store-mailboxes.md).
#include "store/local/records.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/local/pages.h"
#include "store/local/warm.h"

#define MAP_BYTES ((size_t)1 << 40)
#define MAP_BYTES_MIN ((size_t)1 << 36)
enum {
    FETCH_MAX = 256,
    FETCH_NS_MAX = 5000000,
    PAGE_BYTES = 4096,
    CACHE_LINE_BYTES = 64,
    NODE_BYTES = 24,          // before a value: LMDB's own and the key
    RESERVE_PAGES_PER_OP = 3, // a delete in a page of its own copies its way to the root
    FULL_WAIT_MS = 200,       // between two looks at a full disk
};
#define RESERVE_BYTES ((uint64_t)16 << 20)

struct job {
    struct list_link link;
    struct completion completion;
    size_t key_len;
    uint8_t key[RECORD_KEY_MAX];
    uint8_t *value;
};

struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct list jobs;
    bool is_closed;
};

struct lmdb_records {
    struct records records;
    MDB_env *env;
    MDB_dbi dbi;
    char *data_path;
    int lock_fd;
    int event_fd;
    uint64_t free_min_bytes;
    struct mailbox commits, fetches, completions;
    pthread_t committer, fetcher;
    bool has_threads;
    struct warmer *warmer;      // for the scans of the start; the first commit ends it
    struct record_batch *batch; // being committed: the committer's until its completion
    uint64_t reserve_end;       // the committer's: the file has disk space up to here
    // Written by the committer, read by the loop; atomic.
    uint64_t used_bytes, free_bytes;
    bool is_full;
};

// ---- Mailboxes

static void
mailbox_init(struct mailbox *mailbox)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&mailbox->mutex, NULL);
    pthread_cond_init(&mailbox->filled, &attributes);
    pthread_condattr_destroy(&attributes);
    list_init(&mailbox->jobs);
}

static void
mailbox_fini(struct mailbox *mailbox)
{
    struct list_link *link;
    while ((link = list_first(&mailbox->jobs)) != NULL) {
        struct job *job = container_of(link, struct job, link);
        list_remove(link);
        free(job->value);
        free(job);
    }
    pthread_cond_destroy(&mailbox->filled);
    pthread_mutex_destroy(&mailbox->mutex);
}

static void
mailbox_put(struct mailbox *mailbox, struct job *job)
{
    pthread_mutex_lock(&mailbox->mutex);
    list_append(&mailbox->jobs, &job->link);
    pthread_cond_signal(&mailbox->filled);
    pthread_mutex_unlock(&mailbox->mutex);
}

static struct job *
mailbox_take(struct mailbox *mailbox, bool is_waiting)
{
    pthread_mutex_lock(&mailbox->mutex);
    while (is_waiting && list_is_empty(&mailbox->jobs) && !mailbox->is_closed) {
        pthread_cond_wait(&mailbox->filled, &mailbox->mutex);
    }
    struct list_link *link = list_first(&mailbox->jobs);
    if (link != NULL) {
        list_remove(link);
    }
    pthread_mutex_unlock(&mailbox->mutex);
    return link != NULL ? container_of(link, struct job, link) : NULL;
}

// Waits for a job or FULL_WAIT_MS; true: the mailbox is closed.
static bool
mailbox_wait(struct mailbox *mailbox)
{
    int64_t until_ns = clock_monotonic_ns() + (int64_t)FULL_WAIT_MS * 1000000;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    pthread_mutex_lock(&mailbox->mutex);
    if (list_is_empty(&mailbox->jobs) && !mailbox->is_closed) {
        pthread_cond_timedwait(&mailbox->filled, &mailbox->mutex, &until);
    }
    bool is_closed = mailbox->is_closed;
    pthread_mutex_unlock(&mailbox->mutex);
    return is_closed;
}

static void
mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->mutex);
    mailbox->is_closed = true;
    pthread_cond_broadcast(&mailbox->filled);
    pthread_mutex_unlock(&mailbox->mutex);
}

static void
complete(struct lmdb_records *self, struct job *job)
{
    mailbox_put(&self->completions, job);
    uint64_t one = 1;
    ssize_t written = write(self->event_fd, &one, sizeof one);
    (void)written; // full: the loop is awake anyway
}

// ---- Committer

static uint64_t
used_bytes_of(struct lmdb_records *self)
{
    MDB_envinfo info;
    bool is_known = mdb_env_info(self->env, &info) == 0;
    return is_known ? ((uint64_t)info.me_last_pgno + 1) * PAGE_BYTES : 0;
}

// What LMDB has in pages of its file that nothing uses any more, about.
static uint64_t
inner_free_bytes(struct lmdb_records *self)
{
    MDB_stat stat;
    if (mdb_env_stat(self->env, &stat) != 0) {
        return 0;
    }
    uint64_t pages =
        (uint64_t)stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages + 2;
    uint64_t used_bytes = used_bytes_of(self);
    return used_bytes > pages * PAGE_BYTES ? used_bytes - pages * PAGE_BYTES : 0;
}

// Sets disk space aside behind LMDB's last page: without it a full disk would make the next commit
// fail, deletes too. False: there is none left, nor twice as much in free pages of the file.
static bool
extend_reserve(struct lmdb_records *self, uint64_t ops_count, uint64_t ops_bytes)
{
    mdb_filehandle_t fd;
    if (mdb_env_get_fd(self->env, &fd) != 0) {
        return false;
    }
    uint64_t start = used_bytes_of(self);
    uint64_t end =
        start + RESERVE_BYTES + ops_count * RESERVE_PAGES_PER_OP * PAGE_BYTES + ops_bytes;
    if (end <= self->reserve_end) {
        return true;
    }
    end += RESERVE_BYTES / 4; // not for every batch
    start = self->reserve_end > start ? self->reserve_end : start;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)(end - start)) == 0) {
        self->reserve_end = end;
        return true;
    }
    // A file system that cannot: only the free space is watched.
    return errno == EOPNOTSUPP || inner_free_bytes(self) >= (end - used_bytes_of(self)) * 2;
}

static void
look_at_space(struct lmdb_records *self, bool has_reserve)
{
    struct statvfs disk;
    __atomic_store_n(&self->used_bytes, used_bytes_of(self), __ATOMIC_RELAXED);
    if (statvfs(self->data_path, &disk) == 0) {
        uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize + inner_free_bytes(self);
        bool is_full = !has_reserve || free_bytes < self->free_min_bytes;
        __atomic_store_n(&self->free_bytes, free_bytes, __ATOMIC_RELAXED);
        __atomic_store_n(&self->is_full, is_full, __ATOMIC_RELAXED);
    }
}

static int
apply(MDB_txn *txn, MDB_dbi dbi, const struct record_batch *batch)
{
    size_t at = 0;
    struct span key;
    struct span value;
    while (record_next(batch, &at, &key, &value)) {
        MDB_val mdb_key = {.mv_size = key.len, .mv_data = (void *)(uintptr_t)key.data};
        MDB_val mdb_value = {.mv_size = value.len, .mv_data = (void *)(uintptr_t)value.data};
        int result = value.data != NULL ? mdb_put(txn, dbi, &mdb_key, &mdb_value, 0)
                                        : mdb_del(txn, dbi, &mdb_key, NULL);
        if (result != 0 && !(value.data == NULL && result == MDB_NOTFOUND)) {
            return result;
        }
    }
    return 0;
}

static int
commit_batch(struct lmdb_records *self)
{
    MDB_txn *txn;
    int result = mdb_txn_begin(self->env, NULL, 0, &txn);
    if (result != 0) {
        return result;
    }
    result = apply(txn, self->dbi, self->batch);
    if (result != 0) {
        mdb_txn_abort(txn);
        return result;
    }
    return mdb_txn_commit(txn);
}

// A commit that finds the disk full has written nothing that counts: the batch waits, unanswered,
// until there is room. Every other failure is final.
static int
commit_when_there_is_room(struct lmdb_records *self)
{
    for (;;) {
        bool has_reserve = extend_reserve(self, self->batch->ops_count, self->batch->ops.len);
        int result = commit_batch(self);
        look_at_space(self, has_reserve);
        bool is_full = !has_reserve && (result == ENOSPC || result == EIO);
        if (!is_full || mailbox_wait(&self->commits)) {
            return result;
        }
    }
}

// The next job. A full disk is looked at again while there is none.
static struct job *
next_commit(struct lmdb_records *self)
{
    while (self->is_full && !mailbox_wait(&self->commits)) {
        look_at_space(self, extend_reserve(self, 0, 0));
        struct job *job = mailbox_take(&self->commits, false);
        if (job != NULL) {
            return job;
        }
    }
    return mailbox_take(&self->commits, true);
}

static void *
run_committer(void *arg)
{
    struct lmdb_records *self = arg;
    struct job *job;
    while ((job = next_commit(self)) != NULL) {
        int64_t start_ns = clock_monotonic_ns();
        int result = commit_when_there_is_room(self);
        job->completion.kind = result == 0 ? COMPLETED_COMMIT : COMPLETED_COMMIT_FAILED;
        job->completion.reason = result == 0 ? NULL : mdb_strerror(result);
        job->completion.elapsed_ns = clock_monotonic_ns() - start_ns;
        complete(self, job);
        if (result != 0) {
            break; // final: nothing later is tried
        }
    }
    return NULL;
}

// ---- Fetcher

static void
fetch_one(struct lmdb_records *self, MDB_txn *txn, struct job *job)
{
    MDB_val key = {.mv_size = job->key_len, .mv_data = job->key};
    MDB_val value;
    job->completion.kind = COMPLETED_FETCH;
    job->completion.key = span_of(job->key, job->key_len);
    job->completion.value = (struct span){0};
    if (txn != NULL && mdb_get(txn, self->dbi, &key, &value) == 0) {
        job->value = xmemdup(value.mv_data, value.mv_size);
        job->completion.value = span_of(job->value, value.mv_size);
    }
    complete(self, job);
}

static void *
run_fetcher(void *arg)
{
    struct lmdb_records *self = arg;
    struct job *job;
    while ((job = mailbox_take(&self->fetches, true)) != NULL) {
        MDB_txn *txn = NULL;
        if (mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn) != 0) {
            txn = NULL;
        }
        int64_t end_ns = clock_monotonic_ns() + FETCH_NS_MAX;
        for (int count = 0; job != NULL; count++) {
            fetch_one(self, txn, job);
            bool goes_on = count + 1 < FETCH_MAX && clock_monotonic_ns() < end_ns;
            job = goes_on ? mailbox_take(&self->fetches, false) : NULL;
        }
        if (txn != NULL) {
            mdb_txn_abort(txn);
        }
    }
    return NULL;
}

// ---- The seam

static struct lmdb_records *
self_of(struct records *records)
{
    return container_of(records, struct lmdb_records, records);
}

static void
lmdb_commit(struct records *records, struct record_batch *batch, uint64_t number)
{
    struct lmdb_records *self = self_of(records);
    struct job *job = xcalloc(1, sizeof *job);
    job->completion.tag = number;
    self->batch = batch;
    warm_cancel(self->warmer);
    mailbox_put(&self->commits, job);
}

static void
lmdb_fetch(struct records *records, struct span key, uint64_t tag)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->completion.tag = tag;
    job->key_len = key.len;
    memcpy(job->key, key.data, key.len);
    mailbox_put(&self_of(records)->fetches, job);
}

static bool
lmdb_poll(struct records *records, struct completion *completion)
{
    struct lmdb_records *self = self_of(records);
    struct job *job = mailbox_take(&self->completions, false);
    if (job == NULL) {
        uint64_t count;
        ssize_t got = read(self->event_fd, &count, sizeof count);
        (void)got;
        job = mailbox_take(&self->completions, false); // one may have come before the read
    }
    if (job == NULL) {
        return false;
    }
    *completion = job->completion;
    completion->owner = job;
    if (completion->kind == COMPLETED_COMMIT) {
        bytes_clear(&self->batch->ops);
        self->batch->ops_count = 0;
    }
    return true;
}

static void
lmdb_done(struct records *records, struct completion *completion)
{
    struct job *job = completion->owner;
    (void)records;
    free(job->value);
    free(job);
}

// Records of one size lie alike in all their pages: what the next page has in the place of this
// record, its header and the page's own, is asked for while this one is being verified.
static void
prefetch_next(const MDB_val *value)
{
    const char *next = (const char *)value->mv_data + PAGE_BYTES;
    __builtin_prefetch(next - (uintptr_t)next % PAGE_BYTES);
    __builtin_prefetch(next - NODE_BYTES);
    __builtin_prefetch(next + CACHE_LINE_BYTES - NODE_BYTES);
    __builtin_prefetch(next + 2 * CACHE_LINE_BYTES - NODE_BYTES);
}

static bool
lmdb_scan(struct records *records, struct span prefix,
          bool (*visit)(void *arg, struct span key, struct span value), void *arg,
          struct problem *problem)
{
    struct lmdb_records *self = self_of(records);
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    int result = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &txn);
    if (result == 0) {
        result = mdb_cursor_open(txn, self->dbi, &cursor);
    } else {
        txn = NULL;
    }
    MDB_val key = {.mv_size = prefix.len, .mv_data = (void *)(uintptr_t)prefix.data};
    MDB_val value;
    if (result == 0) {
        result = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    }
    while (result == 0 && key.mv_size >= prefix.len &&
           memcmp(key.mv_data, prefix.data, prefix.len) == 0 &&
           visit(arg, span_of(key.mv_data, key.mv_size), span_of(value.mv_data, value.mv_size))) {
        prefetch_next(&value);
        result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (result != 0 && result != MDB_NOTFOUND) {
        problem_set(problem, ZKT_STORE_CORRUPT, "the store cannot be read: %s",
                    mdb_strerror(result));
        return false;
    }
    return true;
}

static int
lmdb_fd(const struct records *records)
{
    return container_of(records, struct lmdb_records, records)->event_fd;
}

static void
lmdb_space(const struct records *records, uint64_t *used_bytes, uint64_t *free_bytes, bool *is_full)
{
    const struct lmdb_records *self = container_of(records, struct lmdb_records, records);
    *used_bytes = __atomic_load_n(&self->used_bytes, __ATOMIC_RELAXED);
    *free_bytes = __atomic_load_n(&self->free_bytes, __ATOMIC_RELAXED);
    *is_full = __atomic_load_n(&self->is_full, __ATOMIC_RELAXED);
}

static void
lmdb_destroy(struct records *records)
{
    struct lmdb_records *self = self_of(records);
    if (self->has_threads) {
        mailbox_close(&self->commits);
        mailbox_close(&self->fetches);
        pthread_join(self->committer, NULL);
        pthread_join(self->fetcher, NULL);
    }
    warm_stop(&self->warmer);
    mailbox_fini(&self->commits);
    mailbox_fini(&self->fetches);
    mailbox_fini(&self->completions);
    if (self->env != NULL) {
        mdb_env_close(self->env);
    }
    if (self->lock_fd != -1) {
        close(self->lock_fd);
    }
    if (self->event_fd != -1) {
        close(self->event_fd);
    }
    free(self->data_path);
    free(self);
}

static const struct records_ops lmdb_ops = {.commit = lmdb_commit,
                                            .fetch = lmdb_fetch,
                                            .poll = lmdb_poll,
                                            .done = lmdb_done,
                                            .scan = lmdb_scan,
                                            .scans_on_any_thread = true,
                                            .fd = lmdb_fd,
                                            .space = lmdb_space,
                                            .destroy = lmdb_destroy};

static enum zkt_err
take_lock(struct lmdb_records *self, const char *path, struct problem *problem)
{
    char *lock_path = xasprintf("%s/lock", path);
    self->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(lock_path);
    if (self->lock_fd == -1) {
        return problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    }
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) == -1) {
        return problem_set(problem, ZKT_STORE_LOCKED, "%s is in use by another broker", path);
    }
    return ZKT_OK;
}

static int
open_map(struct lmdb_records *self, size_t map_bytes)
{
    int result = mdb_env_create(&self->env);
    if (result == 0) {
        result = mdb_env_set_mapsize(self->env, map_bytes);
    }
    return result == 0 ? mdb_env_open(self->env, self->data_path, MDB_NOTLS | MDB_NORDAHEAD, 0600)
                       : result;
}

// The map takes address space, no memory. Where there is less of it (a limit on the process, a
// sanitizer) a smaller one does.
static int
open_env(struct lmdb_records *self)
{
    MDB_txn *txn;
    size_t map_bytes = MAP_BYTES;
    int result = open_map(self, map_bytes);
    while (result == ENOMEM && map_bytes > MAP_BYTES_MIN) {
        mdb_env_close(self->env);
        self->env = NULL;
        map_bytes /= 4;
        result = open_map(self, map_bytes);
    }
    if (result == 0) {
        result = mdb_txn_begin(self->env, NULL, 0, &txn);
    }
    if (result != 0) {
        return result;
    }
    result = mdb_dbi_open(txn, NULL, 0, &self->dbi);
    if (result != 0) {
        mdb_txn_abort(txn);
        return result;
    }
    return mdb_txn_commit(txn);
}

// A new file must be found again after a loss of power.
static void
sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd != -1) {
        fsync(fd);
        close(fd);
    }
}

// ---- A new file

static int
make_in(const char *path)
{
    MDB_env *env = NULL;
    mdb_filehandle_t fd;
    int result = mdb_env_create(&env);
    if (result == 0) {
        result = mdb_env_open(env, path, MDB_NOTLS, 0600);
    }
    if (result == 0 && mdb_env_get_fd(env, &fd) == 0 && fsync(fd) != 0) {
        result = errno;
    }
    if (env != NULL) {
        mdb_env_close(env);
    }
    return result;
}

static void
remove_in(const char *folder, const char *name)
{
    char *path = xasprintf("%s/%s", folder, name);
    unlink(path);
    free(path);
}

// A new file gets its name when it is whole: one of that name that is not is damaged.
static enum zkt_err
make_file(const char *path, const char *file, struct problem *problem)
{
    char *folder = xasprintf("%s/new", path);
    char *made = xasprintf("%s/data.mdb", folder);
    remove_in(folder, "data.mdb"); // of a start that was killed
    remove_in(folder, "lock.mdb");
    int result = mkdir(folder, 0700) == 0 || errno == EEXIST ? make_in(folder) : errno;
    if (result == 0 && rename(made, file) != 0) {
        result = errno;
    }
    remove_in(folder, "lock.mdb");
    rmdir(folder);
    free(made);
    free(folder);
    return result == 0 ? ZKT_OK
                       : problem_set(problem, ZKT_IO, "%s: %s", file, mdb_strerror(result));
}

// LMDB believes what its meta pages say and reads the map there, which ends the process where the
// file does not reach.
static enum zkt_err
make_or_verify(const char *path, struct problem *problem)
{
    struct stat status;
    char *file = xasprintf("%s/data.mdb", path);
    bool is_missing = lstat(file, &status) != 0 && errno == ENOENT;
    enum zkt_err err =
        is_missing ? make_file(path, file, problem) : pages_verify(file, false, problem);
    free(file);
    return err;
}

enum zkt_err
records_lmdb_open(const char *path, uint64_t free_min_bytes, struct records **records,
                  struct problem *problem)
{
    struct lmdb_records *self = xcalloc(1, sizeof *self);
    self->records.ops = &lmdb_ops;
    self->data_path = xstrdup(path);
    self->free_min_bytes = free_min_bytes;
    self->lock_fd = -1;
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    mailbox_init(&self->commits);
    mailbox_init(&self->fetches);
    mailbox_init(&self->completions);
    enum zkt_err err = mkdir(path, 0700) == 0 || errno == EEXIST
                           ? ZKT_OK
                           : problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    if (err == ZKT_OK) {
        err = take_lock(self, path, problem);
    }
    if (err == ZKT_OK) {
        err = make_or_verify(path, problem);
    }
    int result = err == ZKT_OK ? open_env(self) : 0;
    if (result != 0) {
        bool is_damaged = result == MDB_INVALID || result == MDB_CORRUPTED ||
                          result == MDB_VERSION_MISMATCH || result == MDB_PAGE_NOTFOUND;
        err = problem_set(problem, is_damaged ? ZKT_STORE_CORRUPT : ZKT_IO, "%s: %s", path,
                          mdb_strerror(result));
    }
    if (err != ZKT_OK) {
        lmdb_destroy(&self->records);
        return err;
    }
    sync_folder(path);
    look_at_space(self, extend_reserve(self, 0, 0));
    mdb_filehandle_t fd;
    self->warmer = mdb_env_get_fd(self->env, &fd) == 0 ? warm_start(fd, self->used_bytes) : NULL;
    pthread_create(&self->committer, NULL, run_committer, self);
    pthread_create(&self->fetcher, NULL, run_fetcher, self);
    pthread_setname_np(self->committer, "committer");
    pthread_setname_np(self->fetcher, "fetcher");
    self->has_threads = true;
    *records = &self->records;
    return ZKT_OK;
}

enum zkt_err
records_lmdb_copy(const char *path, const char *copy_path, struct problem *problem)
{
    MDB_env *env = NULL;
    int result = mdb_env_create(&env);
    if (result == 0) {
        result = mdb_env_set_mapsize(env, MAP_BYTES);
    }
    if (result == 0) {
        result = mdb_env_open(env, path, MDB_RDONLY | MDB_NOTLS, 0600);
    }
    if (result == 0) {
        result = mdb_env_copy2(env, copy_path, MDB_CP_COMPACT);
        if (result != 0) {
            remove_in(copy_path, "data.mdb");
        }
    }
    if (env != NULL) {
        mdb_env_close(env);
    }
    return result == 0 ? ZKT_OK
                       : problem_set(problem, ZKT_IO, "%s: %s", path, mdb_strerror(result));
}
