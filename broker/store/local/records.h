// Path of a task, step 7 of 10: durable. From queue.c, to core/dispatch.c.
//
// records.h: where the local store keeps its records: keys and values, nothing of their meaning.
// One batch is committed at a time, on a thread of its own; bodies are fetched on another.
// Completions are taken by records_poll, on the loop's thread. Implementations: records_lmdb.c, and
// records_mem.c for tests (which delays, reorders, fails and forgets on demand).
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"

enum { RECORD_KEY_MAX = 32 };

// Puts and deletes in order. The bytes are one buffer: per operation 1 byte key length, 4 bytes
// value length (UINT32_MAX: delete), key, value.
struct record_batch {
    struct bytes ops;
    uint32_t ops_count;
};

enum completion_kind { COMPLETED_COMMIT, COMPLETED_COMMIT_FAILED, COMPLETED_FETCH };

struct completion {
    enum completion_kind kind;
    uint64_t tag;       // of the fetch; of the commit: the batch number
    struct span key;    // COMPLETED_FETCH; all spans live until records_done
    struct span value;  // data NULL: there is no such record
    const char *reason; // COMPLETED_COMMIT_FAILED
    int64_t elapsed_ns; // of a commit
    void *owner;        // the implementation's
};

struct records;

struct records_ops {
    // Takes the batch over until its completion; the implementation empties it.
    void (*commit)(struct records *records, struct record_batch *batch, uint64_t number);
    void (*fetch)(struct records *records, struct span key, uint64_t tag);
    // False: nothing has completed. The completion is given back by done.
    bool (*poll)(struct records *records, struct completion *completion);
    void (*done)(struct records *records, struct completion *completion);
    // At open only, before any commit: every record whose key begins with prefix, ascending, until
    // visit returns false. With values_max the value may be cut to so many bytes (headers are read
    // without their bodies).
    bool (*scan)(struct records *records, struct span prefix,
                 bool (*visit)(void *arg, struct span key, struct span value), void *arg,
                 struct problem *problem);
    bool scans_on_any_thread; // one scan at a time, but not only on the loop's thread
    int (*fd)(const struct records *records);
    // Bytes used and free on disk, and whether intake must close.
    void (*space)(const struct records *records, uint64_t *used_bytes, uint64_t *free_bytes,
                  bool *is_full);
    void (*destroy)(struct records *records);
};

struct records {
    const struct records_ops *ops;
};

void
record_put(struct record_batch *batch, struct span key, struct span value);
void
record_delete(struct record_batch *batch, struct span key);
// record_next walks a batch: *at from 0; value.data NULL: a delete. False at the end.
bool
record_next(const struct record_batch *batch, size_t *at, struct span *key, struct span *value);

// The two implementations. LMDB: STORE_LOCKED, STORE_CORRUPT, IO; path is the directory, made when
// missing.
ZKT_MUST enum zkt_err
records_lmdb_open(const char *path, uint64_t free_min_bytes, struct records **records,
                  struct problem *problem);
// records_lmdb_copy makes a compacted copy of the store at path in the empty folder copy_path, also
// while a broker writes to it.
ZKT_MUST enum zkt_err
records_lmdb_copy(const char *path, const char *copy_path, struct problem *problem);
struct records *
records_mem_new(void);
