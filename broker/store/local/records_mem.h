// records_mem.h: records in memory, for tests: they delay and reorder completions, fail a commit,
// call the disk full, and lose power on demand.
//
// The disk is what is durable. It belongs to the test and outlives the records that are opened on
// it, so that a store can be reopened from exactly what had been committed.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/local/records.h"

struct mem_faults {
    uint64_t seed;              // of the delays and the order; 0: everything at the next poll
    unsigned commit_polls_max;  // a commit waits for up to so many polls
    unsigned fetch_polls_max;   // a fetch likewise; different ones overtake each other
    bool fails_next_commit;     // nothing of it is kept
    bool is_full;               // as `space` tells it
    bool keeps_commit_at_crash; // the commit under way at the end is on the disk all the same
    bool is_crashing;           // destroying is a loss of power: nothing is waited for
};

struct mem_disk;

struct mem_disk *
mem_disk_new(void);
void
mem_disk_destroy(struct mem_disk **disk_p);
size_t
mem_disk_len(const struct mem_disk *disk); // records
// mem_disk_count counts the records of one kind.
size_t
mem_disk_count(const struct mem_disk *disk, uint8_t kind);
// mem_disk_flip changes one bit of the value of the record with this rank in key order; false: no
// such record or bit.
bool
mem_disk_flip(struct mem_disk *disk, size_t record_index, size_t bit_index);

// mem_disk_open makes records on the disk, which must outlive them.
struct records *
mem_disk_open(struct mem_disk *disk);
struct mem_faults *
records_mem_faults(struct records *records);
