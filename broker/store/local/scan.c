// One thread reads pages and verifies checksums, the caller's builds the index: two halves of about
// the same length. They pass a ring of chunks; a chunk belongs to the reader until it is filled and
// to the caller until it is emptied (docs/decisions/0005-store-mailboxes.md).
#include "store/local/scan.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"

enum { CHUNK_TASKS = 256, RING_CHUNKS = 8 };

struct chunk {
    size_t len;
    struct scanned_task tasks[CHUNK_TASKS];
};

struct scan {
    struct records *records;
    uint8_t prefix;
    bool has_reader;
    struct chunk *ring; // RING_CHUNKS of them with a reader, else one
    uint64_t filled_count, emptied_count;
    bool is_over;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    void (*take)(void *arg, const struct scanned_task *tasks, size_t tasks_len);
    void *arg;
    // The reader's until it is over.
    struct problem problem;
    bool is_read;
};

static struct chunk *
chunk_at(struct scan *scan, uint64_t count)
{
    return &scan->ring[scan->has_reader ? count % RING_CHUNKS : 0];
}

// Hands the chunk over that is being filled. With a reader it waits until there is another.
static void
chunk_filled(struct scan *scan)
{
    struct chunk *chunk = chunk_at(scan, scan->filled_count);
    if (!scan->has_reader) {
        scan->take(scan->arg, chunk->tasks, chunk->len);
        chunk->len = 0;
        return;
    }
    pthread_mutex_lock(&scan->mutex);
    scan->filled_count++;
    pthread_cond_broadcast(&scan->changed);
    while (scan->filled_count - scan->emptied_count == RING_CHUNKS) {
        pthread_cond_wait(&scan->changed, &scan->mutex);
    }
    pthread_mutex_unlock(&scan->mutex);
    chunk_at(scan, scan->filled_count)->len = 0;
}

static bool
visit(void *arg, struct span key, struct span value)
{
    struct scan *scan = arg;
    struct chunk *chunk = chunk_at(scan, scan->filled_count);
    struct scanned_task *task = &chunk->tasks[chunk->len++];
    task->key = key;
    task->value = value;
    task->is_whole = parse_task(key, value, false, &task->record, &task->reason);
    if (chunk->len == CHUNK_TASKS) {
        chunk_filled(scan);
    }
    return true;
}

static void
read_all(struct scan *scan)
{
    scan->is_read = scan->records->ops->scan(scan->records, span_of(&scan->prefix, 1), visit, scan,
                                             &scan->problem);
    if (chunk_at(scan, scan->filled_count)->len > 0) {
        chunk_filled(scan);
    }
}

static void *
run_reader(void *arg)
{
    struct scan *scan = arg;
    read_all(scan);
    pthread_mutex_lock(&scan->mutex);
    scan->is_over = true;
    pthread_cond_broadcast(&scan->changed);
    pthread_mutex_unlock(&scan->mutex);
    return NULL;
}

static void
take_all(struct scan *scan)
{
    for (;;) {
        pthread_mutex_lock(&scan->mutex);
        while (scan->filled_count == scan->emptied_count && !scan->is_over) {
            pthread_cond_wait(&scan->changed, &scan->mutex);
        }
        bool is_empty = scan->filled_count == scan->emptied_count;
        pthread_mutex_unlock(&scan->mutex);
        if (is_empty) {
            return;
        }
        const struct chunk *chunk = chunk_at(scan, scan->emptied_count);
        scan->take(scan->arg, chunk->tasks, chunk->len);
        pthread_mutex_lock(&scan->mutex);
        scan->emptied_count++;
        pthread_cond_broadcast(&scan->changed);
        pthread_mutex_unlock(&scan->mutex);
    }
}

bool
scan_tasks(struct records *records, enum record_kind kind,
           void (*take)(void *arg, const struct scanned_task *tasks, size_t tasks_len), void *arg,
           struct problem *problem)
{
    struct scan scan = {.records = records,
                        .prefix = (uint8_t)kind,
                        .has_reader = records->ops->scans_on_any_thread,
                        .take = take,
                        .arg = arg,
                        .problem = {.code = ZKT_OK}};
    pthread_t reader;
    scan.ring = xcalloc(scan.has_reader ? RING_CHUNKS : 1, sizeof *scan.ring);
    pthread_mutex_init(&scan.mutex, NULL);
    pthread_cond_init(&scan.changed, NULL);
    if (scan.has_reader && pthread_create(&reader, NULL, run_reader, &scan) == 0) {
        take_all(&scan);
        pthread_join(reader, NULL);
    } else {
        scan.has_reader = false;
        read_all(&scan);
    }
    pthread_cond_destroy(&scan.changed);
    pthread_mutex_destroy(&scan.mutex);
    free(scan.ring);
    if (!scan.is_read) {
        *problem = scan.problem;
    }
    return scan.is_read;
}
