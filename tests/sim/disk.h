// disk.h: a disk that is slow, fails and forgets on demand: struct records for the simulator.
//
// What was committed survives disk_crash; the batch in flight survives or not, as one piece, by
// chance. The disk outlives the stores that are opened on it: disk_records makes a new records for
// each of them.
#pragma once
#include "sim/random.h"
#include "store/local/records.h"

struct disk;

struct disk *
disk_new(struct random *random);
void
disk_destroy(struct disk **disk_p);
// disk_records is handed to store_open, which owns and destroys it.
struct records *
disk_records(struct disk *disk);
// disk_advance lets commits and fetches that are due complete.
void
disk_advance(struct disk *disk, int64_t now_ms);
// disk_crash: power fails. The records in use are dead until destroyed.
void
disk_crash(struct disk *disk);
void
disk_fail_next_commit(struct disk *disk);
void
disk_set_full(struct disk *disk, bool is_full);
// disk_set_delay: the longest delay of a commit and of a fetch.
void
disk_set_delay(struct disk *disk, int64_t commit_ms, int64_t fetch_ms);
// disk_set_blind: what is written is forgotten (for millions of records that nobody reads again).
void
disk_set_blind(struct disk *disk);
// disk_durable is the number of the last batch that is durable since the last open; 0: none.
uint64_t
disk_durable(const struct disk *disk);
uint64_t
disk_in_flight(const struct disk *disk); // the batch being committed; 0: none
size_t
disk_records_count(const struct disk *disk);
