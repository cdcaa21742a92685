// A file waits in the queue, or one thread has it for a turn, or nothing of it is to be done. Turns
// are short, so that many files share the threads, and a writer that waits goes first.
#include "object/object_hashing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/memory.h"
#include "object/object_file.h"

enum {
    THREADS_MAX = 4,
    LARGE_BYTES = 1 << 20, // from here on it is worth a hand-over
    TURN_BYTES = 256 << 10,
    BEHIND_MAX = 8 << 20,
    FLUSH_BYTES = 8 << 20, // written out early, so that the final sync is short
};

struct object_hashers {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t has_progress;
    struct list queue;
    pthread_t threads[THREADS_MAX];
    size_t threads_max;
    size_t threads_count;
    bool is_started;
    bool is_closed;
};

struct object_hashing {
    int fd;
    EVP_MD_CTX *sha256;
    EVP_MD_CTX *md5; // or NULL
    int64_t flushed_bytes;
    struct object_hashers *hashers; // NULL: the writer hashes. What follows is under their mutex.
    struct list_link link;          // in the queue
    bool is_in_turn;
    int64_t written_bytes;
    int64_t hashed_bytes;
    int reason; // errno: it could not be read
};

// ---- One file

static EVP_MD_CTX *
digest_new(const EVP_MD *kind)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    zkt_assert(digest != NULL);
    int is_ready = EVP_DigestInit_ex(digest, kind, NULL);
    zkt_assert(is_ready == 1);
    return digest;
}

// Up to `end`, all of it hashed.
static void
take(struct object_hashing *hashing, const void *data, size_t len, int64_t end)
{
    EVP_DigestUpdate(hashing->sha256, data, len);
    if (hashing->md5 != NULL) {
        EVP_DigestUpdate(hashing->md5, data, len);
    }
    if (end - hashing->flushed_bytes >= FLUSH_BYTES) {
        // Only begins to write, and only to be early: its failure shows in the sync.
        sync_file_range(hashing->fd, hashing->flushed_bytes, end - hashing->flushed_bytes,
                        SYNC_FILE_RANGE_WRITE);
        hashing->flushed_bytes = end;
    }
}

// Hashes a part of what lies between the two; how much of it, or 0 with errno.
static size_t
turn(struct object_hashing *hashing, void *buffer, int64_t from, int64_t until)
{
    size_t want = until - from < TURN_BYTES ? (size_t)(until - from) : TURN_BYTES;
    ssize_t got;
    do {
        got = pread(hashing->fd, buffer, want, from);
    } while (got == -1 && errno == EINTR);
    if (got <= 0) {
        errno = got == 0 ? EIO : errno; // somebody cut it
        return 0;
    }
    take(hashing, buffer, (size_t)got, from + got);
    return (size_t)got;
}

// ---- Threads

static bool
is_behind(const struct object_hashing *hashing)
{
    return hashing->reason == 0 && hashing->hashed_bytes < hashing->written_bytes;
}

static void
enqueue(struct object_hashing *hashing)
{
    if (is_behind(hashing) && !hashing->is_in_turn && !list_is_linked(&hashing->link)) {
        list_append(&hashing->hashers->queue, &hashing->link);
        pthread_cond_signal(&hashing->hashers->has_work);
    }
}

static void *
run(void *arg)
{
    struct object_hashers *hashers = arg;
    void *buffer = xmalloc(TURN_BYTES);
    pthread_mutex_lock(&hashers->mutex);
    while (true) {
        while (list_is_empty(&hashers->queue) && !hashers->is_closed) {
            pthread_cond_wait(&hashers->has_work, &hashers->mutex);
        }
        if (hashers->is_closed) {
            break;
        }
        struct object_hashing *hashing =
            container_of(list_first(&hashers->queue), struct object_hashing, link);
        list_remove(&hashing->link);
        hashing->is_in_turn = true;
        int64_t from = hashing->hashed_bytes;
        int64_t until = hashing->written_bytes;
        pthread_mutex_unlock(&hashers->mutex);
        size_t len = turn(hashing, buffer, from, until);
        int reason = len == 0 ? errno : 0;
        pthread_mutex_lock(&hashers->mutex);
        hashing->hashed_bytes += (int64_t)len;
        hashing->reason = reason;
        hashing->is_in_turn = false;
        enqueue(hashing);
        pthread_cond_broadcast(&hashers->has_progress);
    }
    pthread_mutex_unlock(&hashers->mutex);
    free(buffer);
    return NULL;
}

// With the mutex. Waits until no more than this is left to hash, ahead of all others.
static void
wait_behind(struct object_hashing *hashing, int64_t left_max)
{
    struct object_hashers *hashers = hashing->hashers;
    while (is_behind(hashing) && hashing->written_bytes - hashing->hashed_bytes > left_max) {
        if (list_is_linked(&hashing->link)) {
            list_remove(&hashing->link);
            list_prepend(&hashers->queue, &hashing->link);
        }
        pthread_cond_wait(&hashers->has_progress, &hashers->mutex);
    }
}

// Whether there are threads.
static bool
start(struct object_hashers *hashers)
{
    pthread_mutex_lock(&hashers->mutex);
    bool is_more = !hashers->is_started;
    hashers->is_started = true;
    while (is_more && hashers->threads_count < hashers->threads_max) {
        pthread_t *thread = &hashers->threads[hashers->threads_count];
        is_more = pthread_create(thread, NULL, run, hashers) == 0; // fewer do as well
        if (is_more) {
            pthread_setname_np(*thread, "hasher");
            hashers->threads_count++;
        }
    }
    bool has_threads = hashers->threads_count > 0;
    pthread_mutex_unlock(&hashers->mutex);
    return has_threads;
}

size_t
object_hashers_fitting(void)
{
    long processors_count = sysconf(_SC_NPROCESSORS_ONLN);
    return processors_count > 1 ? (size_t)processors_count - 1 : 0;
}

struct object_hashers *
object_hashers_new(size_t threads_max)
{
    struct object_hashers *hashers = xcalloc(1, sizeof(*hashers));
    hashers->threads_max = threads_max < THREADS_MAX ? threads_max : THREADS_MAX;
    pthread_mutex_init(&hashers->mutex, NULL);
    pthread_cond_init(&hashers->has_work, NULL);
    pthread_cond_init(&hashers->has_progress, NULL);
    list_init(&hashers->queue);
    return hashers;
}

void
object_hashers_destroy(struct object_hashers **hashers_p)
{
    struct object_hashers *hashers = *hashers_p;
    *hashers_p = NULL;
    if (hashers == NULL) {
        return;
    }
    pthread_mutex_lock(&hashers->mutex);
    hashers->is_closed = true;
    pthread_cond_broadcast(&hashers->has_work);
    pthread_mutex_unlock(&hashers->mutex);
    for (size_t i = 0; i < hashers->threads_count; i++) {
        pthread_join(hashers->threads[i], NULL);
    }
    zkt_assert(list_is_empty(&hashers->queue));
    pthread_cond_destroy(&hashers->has_progress);
    pthread_cond_destroy(&hashers->has_work);
    pthread_mutex_destroy(&hashers->mutex);
    free(hashers);
}

// ---- The writer's side

struct object_hashing *
object_hashing_new(struct object_hashers *hashers, int fd, int64_t size, bool has_md5)
{
    struct object_hashing *hashing = xcalloc(1, sizeof(*hashing));
    hashing->fd = fd;
    hashing->sha256 = digest_new(EVP_sha256());
    hashing->md5 = has_md5 ? digest_new(EVP_md5()) : NULL;
    hashing->hashers = size >= LARGE_BYTES && start(hashers) ? hashers : NULL;
    return hashing;
}

void
object_hashing_add(struct object_hashing *hashing, const void *data, size_t len)
{
    struct object_hashers *hashers = hashing->hashers;
    if (hashers == NULL) {
        hashing->written_bytes += (int64_t)len;
        take(hashing, data, len, hashing->written_bytes);
        return;
    }
    pthread_mutex_lock(&hashers->mutex);
    hashing->written_bytes += (int64_t)len;
    if (hashing->written_bytes - hashing->hashed_bytes >= TURN_BYTES) {
        enqueue(hashing);
    }
    wait_behind(hashing, BEHIND_MAX);
    pthread_mutex_unlock(&hashers->mutex);
}

enum zkt_err
object_hashing_finish(struct object_hashing *hashing, uint8_t sha256[32], uint8_t md5[16],
                      struct problem *problem)
{
    if (hashing->hashers != NULL) {
        pthread_mutex_lock(&hashing->hashers->mutex);
        enqueue(hashing);
        wait_behind(hashing, 0);
        errno = hashing->reason;
        pthread_mutex_unlock(&hashing->hashers->mutex);
        if (errno != 0) {
            return object_io_problem(problem, "what was just written");
        }
    }
    EVP_DigestFinal_ex(hashing->sha256, sha256, NULL);
    if (md5 != NULL) {
        EVP_DigestFinal_ex(hashing->md5, md5, NULL);
    }
    return ZKT_OK;
}

void
object_hashing_destroy(struct object_hashing **hashing_p)
{
    struct object_hashing *hashing = *hashing_p;
    *hashing_p = NULL;
    if (hashing == NULL) {
        return;
    }
    if (hashing->hashers != NULL) {
        struct object_hashers *hashers = hashing->hashers;
        pthread_mutex_lock(&hashers->mutex);
        hashing->written_bytes = 0; // nothing more
        list_remove(&hashing->link);
        while (hashing->is_in_turn) {
            pthread_cond_wait(&hashers->has_progress, &hashers->mutex);
        }
        pthread_mutex_unlock(&hashers->mutex);
    }
    EVP_MD_CTX_free(hashing->sha256);
    EVP_MD_CTX_free(hashing->md5);
    free(hashing);
}
