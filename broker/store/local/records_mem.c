// Records in memory: a map that is what a disk would be, and completions that come when the faults
// say so. A commit reaches the disk when its completion is taken, all of it or nothing.
#include "store/local/records_mem.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"

struct mem_record {
    size_t key_len;
    size_t value_len;
    uint8_t bytes[]; // key, then value
};

struct mem_disk {
    struct map *records; // owns struct mem_record
    uint64_t used_bytes;
};

struct mem_job {
    struct list_link link;
    uint64_t tag;
    unsigned polls_left;
    size_t key_len;
    uint8_t key[RECORD_KEY_MAX];
    struct bytes value;
};

struct mem_records {
    struct records records; // first
    struct mem_disk *disk;
    bool owns_disk;
    struct mem_faults faults;
    struct record_batch *batch; // being committed; NULL: none
    uint64_t batch_number;
    unsigned commit_polls_left;
    bool has_failed;
    struct list fetches; // of struct mem_job, in the order asked for
};

// ---- Disk

struct mem_disk *
mem_disk_new(void)
{
    struct mem_disk *disk = xcalloc(1, sizeof *disk);
    disk->records = map_new();
    return disk;
}

void
mem_disk_destroy(struct mem_disk **disk_p)
{
    struct mem_disk *disk = *disk_p;
    if (disk == NULL) {
        return;
    }
    struct map_cursor cursor = {0};
    while (map_next(disk->records, &cursor)) {
        free(cursor.value);
    }
    map_destroy(&disk->records);
    free(disk);
    *disk_p = NULL;
}

size_t
mem_disk_len(const struct mem_disk *disk)
{
    return map_len(disk->records);
}

size_t
mem_disk_count(const struct mem_disk *disk, uint8_t kind)
{
    size_t count = 0;
    struct map_cursor cursor = {0};
    while (map_next(disk->records, &cursor)) {
        const struct mem_record *record = cursor.value;
        count += record->key_len > 0 && record->bytes[0] == kind;
    }
    return count;
}

static void
disk_forget(struct mem_disk *disk, struct mem_record *record)
{
    if (record != NULL) {
        disk->used_bytes -= record->key_len + record->value_len;
        free(record);
    }
}

static void
disk_apply(struct mem_disk *disk, const struct record_batch *batch)
{
    size_t at = 0;
    struct span key;
    struct span value;
    while (record_next(batch, &at, &key, &value)) {
        if (value.data == NULL) {
            disk_forget(disk, map_remove(disk->records, key.data, key.len));
            continue;
        }
        struct mem_record *record = xmalloc(sizeof *record + key.len + value.len);
        record->key_len = key.len;
        record->value_len = value.len;
        memcpy(record->bytes, key.data, key.len);
        memcpy(record->bytes + key.len, value.data, value.len);
        disk_forget(disk, map_put(disk->records, key.data, key.len, record));
        disk->used_bytes += key.len + value.len;
    }
}

static int
compare_records(const void *a, const void *b)
{
    const struct mem_record *left = *(struct mem_record *const *)a;
    const struct mem_record *right = *(struct mem_record *const *)b;
    return span_compare(span_of(left->bytes, left->key_len), span_of(right->bytes, right->key_len));
}

// Every record whose key begins with prefix, ascending; the caller frees the list.
static struct mem_record **
disk_sorted(const struct mem_disk *disk, struct span prefix, size_t *count)
{
    struct mem_record **list = xmalloc((map_len(disk->records) + 1) * sizeof(struct mem_record *));
    size_t len = 0;
    struct map_cursor cursor = {0};
    while (map_next(disk->records, &cursor)) {
        struct mem_record *record = cursor.value;
        if (record->key_len >= prefix.len &&
            (prefix.len == 0 || memcmp(record->bytes, prefix.data, prefix.len) == 0)) {
            list[len++] = record;
        }
    }
    if (len > 1) {
        qsort(list, len, sizeof *list, compare_records);
    }
    *count = len;
    return list;
}

bool
mem_disk_flip(struct mem_disk *disk, size_t record_index, size_t bit_index)
{
    size_t count;
    struct mem_record **list = disk_sorted(disk, (struct span){0}, &count);
    bool is_there = record_index < count && bit_index / 8 < list[record_index]->value_len;
    if (is_there) {
        struct mem_record *record = list[record_index];
        record->bytes[record->key_len + bit_index / 8] ^= (uint8_t)(1u << (bit_index % 8));
    }
    free(list);
    return is_there;
}

// ---- The seam

static struct mem_records *
self_of(struct records *records)
{
    return container_of(records, struct mem_records, records);
}

static unsigned
draw(struct mem_records *self, unsigned max)
{
    if (self->faults.seed == 0 || max == 0) {
        return 0;
    }
    // xorshift64: any order will do, as long as the seed repeats it.
    self->faults.seed ^= self->faults.seed << 13;
    self->faults.seed ^= self->faults.seed >> 7;
    self->faults.seed ^= self->faults.seed << 17;
    return (unsigned)(self->faults.seed % (max + 1ull));
}

static void
mem_commit(struct records *records, struct record_batch *batch, uint64_t number)
{
    struct mem_records *self = self_of(records);
    zkt_assert(self->batch == NULL);
    self->batch = batch;
    self->batch_number = number;
    self->commit_polls_left = draw(self, self->faults.commit_polls_max);
}

static void
mem_fetch(struct records *records, struct span key, uint64_t tag)
{
    struct mem_records *self = self_of(records);
    struct mem_job *job = xcalloc(1, sizeof *job);
    job->tag = tag;
    job->polls_left = draw(self, self->faults.fetch_polls_max);
    job->key_len = key.len;
    memcpy(job->key, key.data, key.len);
    list_append(&self->fetches, &job->link);
}

static bool
poll_commit(struct mem_records *self, struct completion *completion)
{
    if (self->batch == NULL || self->has_failed) {
        return false;
    }
    if (self->commit_polls_left > 0) {
        self->commit_polls_left--;
        return false;
    }
    *completion = (struct completion){.kind = COMPLETED_COMMIT, .tag = self->batch_number};
    if (self->faults.fails_next_commit) {
        self->has_failed = true; // as with a real disk: nothing later is tried
        completion->kind = COMPLETED_COMMIT_FAILED;
        completion->reason = "the disk refuses to write";
        return true;
    }
    disk_apply(self->disk, self->batch);
    bytes_clear(&self->batch->ops);
    self->batch->ops_count = 0;
    self->batch = NULL;
    return true;
}

static bool
poll_fetch(struct mem_records *self, struct completion *completion)
{
    for (struct list_link *link = list_first(&self->fetches); link != NULL;
         link = list_next(&self->fetches, link)) {
        struct mem_job *job = container_of(link, struct mem_job, link);
        if (job->polls_left > 0) {
            job->polls_left--;
            continue;
        }
        list_remove(link);
        const struct mem_record *record = map_get(self->disk->records, job->key, job->key_len);
        *completion = (struct completion){.kind = COMPLETED_FETCH, .tag = job->tag, .owner = job};
        completion->key = span_of(job->key, job->key_len);
        if (record != NULL) {
            bytes_append(&job->value, record->bytes + record->key_len, record->value_len);
            completion->value = bytes_span(&job->value);
        }
        return true;
    }
    return false;
}

static bool
mem_poll(struct records *records, struct completion *completion)
{
    struct mem_records *self = self_of(records);
    return poll_commit(self, completion) || poll_fetch(self, completion);
}

static void
free_job(struct mem_job *job)
{
    bytes_fini(&job->value);
    free(job);
}

static void
mem_done(struct records *records, struct completion *completion)
{
    (void)records;
    if (completion->owner != NULL) {
        free_job(completion->owner);
    }
}

static bool
mem_scan(struct records *records, struct span prefix,
         bool (*visit)(void *arg, struct span key, struct span value), void *arg,
         struct problem *problem)
{
    size_t count;
    struct mem_record **list = disk_sorted(self_of(records)->disk, prefix, &count);
    (void)problem;
    for (size_t index = 0; index < count; index++) {
        const struct mem_record *record = list[index];
        if (!visit(arg, span_of(record->bytes, record->key_len),
                   span_of(record->bytes + record->key_len, record->value_len))) {
            break;
        }
    }
    free(list);
    return true;
}

static int
mem_fd(const struct records *records)
{
    (void)records;
    return -1;
}

static void
mem_space(const struct records *records, uint64_t *used_bytes, uint64_t *free_bytes, bool *is_full)
{
    const struct mem_records *self = container_of(records, struct mem_records, records);
    *used_bytes = self->disk->used_bytes;
    *free_bytes = UINT64_MAX;
    *is_full = self->faults.is_full;
}

static void
mem_destroy(struct records *records)
{
    struct mem_records *self = self_of(records);
    bool is_kept = !self->faults.is_crashing || self->faults.keeps_commit_at_crash;
    if (self->batch != NULL && !self->has_failed && is_kept) {
        disk_apply(self->disk, self->batch);
    }
    struct list_link *link;
    while ((link = list_first(&self->fetches)) != NULL) {
        list_remove(link);
        free_job(container_of(link, struct mem_job, link));
    }
    if (self->owns_disk) {
        mem_disk_destroy(&self->disk);
    }
    free(self);
}

static const struct records_ops mem_ops = {.commit = mem_commit,
                                           .fetch = mem_fetch,
                                           .poll = mem_poll,
                                           .done = mem_done,
                                           .scan = mem_scan,
                                           .fd = mem_fd,
                                           .space = mem_space,
                                           .destroy = mem_destroy};

struct records *
mem_disk_open(struct mem_disk *disk)
{
    struct mem_records *self = xcalloc(1, sizeof *self);
    self->records.ops = &mem_ops;
    self->disk = disk;
    list_init(&self->fetches);
    return &self->records;
}

struct records *
records_mem_new(void)
{
    struct records *records = mem_disk_open(mem_disk_new());
    self_of(records)->owns_disk = true;
    return records;
}

struct mem_faults *
records_mem_faults(struct records *records)
{
    return &self_of(records)->faults;
}
