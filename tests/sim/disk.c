// Records are in a map; scan sorts. A commit is applied at its completion, as a whole; fetches
// complete in any order, except that what was durable when they were asked for is what they see or
// newer. The space is as free as the world says.
#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/memory.h"

struct stored {
    size_t key_len;
    size_t value_len;
    uint8_t bytes[]; // key, value
};

struct fetching {
    struct fetching *next;
    uint64_t tag;
    int64_t due_ms;
    size_t key_len;
    uint8_t key[RECORD_KEY_MAX];
    struct bytes value; // filled at completion
    bool is_there;
};

struct disk {
    struct random *random;
    struct map *stored;
    int64_t now_ms;
    int64_t commit_ms_max;
    int64_t fetch_ms_max;
    bool is_full;
    bool fails_next;
    bool is_blind;
    // of the records in use
    struct sim_records *current;
    bool is_committing;
    bool commit_fails;
    int64_t commit_due_ms;
    uint64_t commit_number;
    struct bytes commit_ops;
    uint64_t durable;
    struct fetching *fetching;
};

struct sim_records {
    struct records records; // first
    struct disk *disk;      // NULL: dead
};

static void
put(struct disk *disk, struct span key, struct span value)
{
    struct stored *stored = xmalloc(sizeof *stored + key.len + value.len);
    stored->key_len = key.len;
    stored->value_len = value.len;
    memcpy(stored->bytes, key.data, key.len);
    if (value.len > 0) {
        memcpy(stored->bytes + key.len, value.data, value.len);
    }
    free(map_put(disk->stored, key.data, key.len, stored));
}

static void
apply(struct disk *disk)
{
    struct record_batch batch = {.ops = disk->commit_ops};
    size_t at = 0;
    struct span key;
    struct span value;
    while (!disk->is_blind && record_next(&batch, &at, &key, &value)) {
        if (value.data == NULL) {
            free(map_remove(disk->stored, key.data, key.len));
        } else {
            put(disk, key, value);
        }
    }
}

static void
sim_commit(struct records *records, struct record_batch *batch, uint64_t number)
{
    struct disk *disk = ((struct sim_records *)records)->disk;
    if (disk == NULL) {
        return;
    }
    zkt_assert(!disk->is_committing);
    disk->is_committing = true;
    disk->commit_fails = disk->fails_next;
    disk->fails_next = false;
    disk->commit_number = number;
    disk->commit_due_ms =
        disk->now_ms + (int64_t)random_below(disk->random, (uint64_t)disk->commit_ms_max + 1);
    bytes_clear(&disk->commit_ops);
    bytes_append(&disk->commit_ops, batch->ops.data, batch->ops.len);
    bytes_clear(&batch->ops);
    batch->ops_count = 0;
}

static void
sim_fetch(struct records *records, struct span key, uint64_t tag)
{
    struct disk *disk = ((struct sim_records *)records)->disk;
    if (disk == NULL) {
        return;
    }
    struct fetching *fetching = xcalloc(1, sizeof *fetching);
    fetching->tag = tag;
    fetching->due_ms =
        disk->now_ms + (int64_t)random_below(disk->random, (uint64_t)disk->fetch_ms_max + 1);
    fetching->key_len = key.len;
    memcpy(fetching->key, key.data, key.len);
    struct fetching **at = &disk->fetching;
    while (*at != NULL && ((*at)->due_ms <= fetching->due_ms)) {
        at = &(*at)->next;
    }
    fetching->next = *at;
    *at = fetching;
}

static bool
poll_commit(struct disk *disk, struct completion *completion)
{
    if (!disk->is_committing || disk->commit_due_ms > disk->now_ms) {
        return false;
    }
    disk->is_committing = false;
    *completion = (struct completion){.kind = COMPLETED_COMMIT, .tag = disk->commit_number};
    if (disk->commit_fails) {
        completion->kind = COMPLETED_COMMIT_FAILED;
        completion->reason = "injected: the disk does not answer";
        return true;
    }
    apply(disk);
    disk->durable = disk->commit_number;
    return true;
}

static bool
sim_poll(struct records *records, struct completion *completion)
{
    struct disk *disk = ((struct sim_records *)records)->disk;
    if (disk == NULL) {
        return false;
    }
    if (poll_commit(disk, completion)) {
        return true;
    }
    struct fetching *fetching = disk->fetching;
    if (fetching == NULL || fetching->due_ms > disk->now_ms) {
        return false;
    }
    disk->fetching = fetching->next;
    const struct stored *stored = map_get(disk->stored, fetching->key, fetching->key_len);
    if (stored != NULL) {
        fetching->is_there = true;
        bytes_append(&fetching->value, stored->bytes + stored->key_len, stored->value_len);
        (void)bytes_reserve(&fetching->value, 1);
    }
    *completion = (struct completion){
        .kind = COMPLETED_FETCH,
        .tag = fetching->tag,
        .key = span_of(fetching->key, fetching->key_len),
        .value = fetching->is_there ? bytes_span(&fetching->value) : (struct span){0},
        .owner = fetching,
    };
    return true;
}

static void
fetching_free(struct fetching *fetching)
{
    bytes_fini(&fetching->value);
    free(fetching);
}

static void
sim_done(struct records *records, struct completion *completion)
{
    (void)records;
    if (completion->kind == COMPLETED_FETCH) {
        fetching_free(completion->owner);
    }
    *completion = (struct completion){0};
}

static int
compare_stored(const void *a, const void *b)
{
    const struct stored *left = *(const struct stored *const *)a;
    const struct stored *right = *(const struct stored *const *)b;
    return span_compare(span_of(left->bytes, left->key_len), span_of(right->bytes, right->key_len));
}

static bool
sim_scan(struct records *records, struct span prefix,
         bool (*visit)(void *arg, struct span key, struct span value), void *arg,
         struct problem *problem)
{
    (void)problem;
    struct disk *disk = ((struct sim_records *)records)->disk;
    size_t count = 0;
    const struct stored **found = xcalloc(map_len(disk->stored) + 1, sizeof(struct stored *));
    struct map_cursor cursor = {0};
    while (map_next(disk->stored, &cursor)) {
        if (cursor.key_len >= prefix.len && memcmp(cursor.key, prefix.data, prefix.len) == 0) {
            found[count++] = cursor.value;
        }
    }
    qsort(found, count, sizeof *found, compare_stored);
    for (size_t i = 0; i < count; i++) {
        if (!visit(arg, span_of(found[i]->bytes, found[i]->key_len),
                   span_of(found[i]->bytes + found[i]->key_len, found[i]->value_len))) {
            break;
        }
    }
    free(found);
    return true;
}

static int
sim_fd(const struct records *records)
{
    (void)records;
    return -1;
}

static void
sim_space(const struct records *records, uint64_t *used_bytes, uint64_t *free_bytes, bool *is_full)
{
    const struct disk *disk = ((const struct sim_records *)records)->disk;
    *used_bytes = 1 << 20;
    *free_bytes = disk != NULL && disk->is_full ? 0 : (uint64_t)1 << 40;
    *is_full = disk != NULL && disk->is_full;
}

static void
sim_destroy(struct records *records)
{
    struct sim_records *self = (struct sim_records *)records;
    if (self->disk != NULL) {
        self->disk->current = NULL;
    }
    free(self);
}

static const struct records_ops sim_ops = {
    .commit = sim_commit,
    .fetch = sim_fetch,
    .poll = sim_poll,
    .done = sim_done,
    .scan = sim_scan,
    .fd = sim_fd,
    .space = sim_space,
    .destroy = sim_destroy,
};

struct disk *
disk_new(struct random *random)
{
    struct disk *disk = xcalloc(1, sizeof *disk);
    disk->random = random;
    disk->stored = map_new();
    return disk;
}

static void
forget_flight(struct disk *disk)
{
    while (disk->fetching != NULL) {
        struct fetching *next = disk->fetching->next;
        fetching_free(disk->fetching);
        disk->fetching = next;
    }
    disk->is_committing = false;
    disk->durable = 0;
    disk->fails_next = false;
}

void
disk_destroy(struct disk **disk_p)
{
    struct disk *disk = *disk_p;
    *disk_p = NULL;
    forget_flight(disk);
    struct map_cursor cursor = {0};
    while (map_next(disk->stored, &cursor)) {
        free(cursor.value);
    }
    map_destroy(&disk->stored);
    bytes_fini(&disk->commit_ops);
    free(disk);
}

struct records *
disk_records(struct disk *disk)
{
    zkt_assert(disk->current == NULL);
    struct sim_records *records = xcalloc(1, sizeof *records);
    records->records.ops = &sim_ops;
    records->disk = disk;
    disk->current = records;
    return &records->records;
}

void
disk_advance(struct disk *disk, int64_t now_ms)
{
    disk->now_ms = now_ms;
}

void
disk_crash(struct disk *disk)
{
    if (disk->is_committing && !disk->commit_fails && random_is(disk->random, 500)) {
        apply(disk);
    }
    forget_flight(disk);
    if (disk->current != NULL) {
        disk->current->disk = NULL;
        disk->current = NULL;
    }
}

void
disk_fail_next_commit(struct disk *disk)
{
    disk->fails_next = true;
}

void
disk_set_full(struct disk *disk, bool is_full)
{
    disk->is_full = is_full;
}

void
disk_set_delay(struct disk *disk, int64_t commit_ms, int64_t fetch_ms)
{
    disk->commit_ms_max = commit_ms;
    disk->fetch_ms_max = fetch_ms;
}

void
disk_set_blind(struct disk *disk)
{
    disk->is_blind = true;
}

uint64_t
disk_durable(const struct disk *disk)
{
    return disk->durable;
}

uint64_t
disk_in_flight(const struct disk *disk)
{
    return disk->is_committing ? disk->commit_number : 0;
}

size_t
disk_records_count(const struct disk *disk)
{
    return map_len(disk->stored);
}
