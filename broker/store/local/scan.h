// scan.h: the records of tasks as a restart reads them: their headers verified, in order of keys.
// Where the records allow it another thread reads and verifies ahead of the one that takes.
#pragma once
#include "store/local/format.h"
#include "store/local/records.h"

struct scanned_task {
    struct span key, value; // in the records: they live until scan_tasks returns
    struct task_record record;
    bool is_whole;
    const char *reason; // why it does not verify
};

// scan_tasks hands all records of a kind (T, H, X or F) to take, on the caller's thread, some at a
// time. At open only. False: the records cannot be read; the problem is set.
bool
scan_tasks(struct records *records, enum record_kind kind,
           void (*take)(void *arg, const struct scanned_task *tasks, size_t tasks_len), void *arg,
           struct problem *problem);
