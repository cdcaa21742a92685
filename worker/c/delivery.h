// delivery.h: one task inside one call of process, and what the I/O thread knows of it.
//
// Who touches what: the I/O thread owns a delivery while it is queued and after it came back; the
// slot that took it owns the fields under "slot" until it puts it into the I/O thread's inbox; what
// is atomic may be read by both.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/problem.h"
#include "handles.h"
#include "mailbox.h"
#include "model/command.h"
#include "zkarton.h"

struct io;
struct slot;
struct zkt_test;

enum cancel_reason { CANCEL_NONE, CANCEL_REVOKED, CANCEL_TIMEOUT, CANCEL_ABORTED };

// Files and memory that process was handed: they end with it.
struct handout {
    struct handout *next;
    char *path;          // a file or a folder; NULL: none
    void *data;          // mapped; NULL: none
    size_t size;         // of data
    struct uid resource; // of a file
};

struct zkt_delivery {
    struct note note;
    struct list_link link; // in a list of struct reports
    struct zkt_delivery *next_in_bucket;
    uint64_t number;
    uint32_t attempt;
    struct zkt_task task;

    // Read by both sides.
    atomic_int cancel_reason;
    atomic_int cancel_fd; // an eventfd once asked for; -1: none

    // I/O thread.
    bool is_with_slot; // in the work mailbox or in process
    bool is_settled;   // REPORTED, or no longer ours
    bool is_start_reported;
    bool has_outcome;
    enum report_state outcome;
    char *error; // of the outcome; NULL: none
    int64_t delay_ms;
    uint64_t after;         // highest SUBMIT number
    uint32_t children_open; // not answered yet
    uint64_t report_id;     // of the REPORT under way

    // Slot.
    struct slot *slot; // NULL: in the test kit
    int64_t started_ms;
    int64_t ended_ms;
    struct zkt_test *test;
    enum zkt_err result; // of process
    bool is_given_back;
    int64_t give_back_delay_ms;
    struct problem problem; // the last failure
    char *failure;          // the text of zkt_delivery_fail
    struct handout *handouts;
    char *folder; // everything on disk is below it
    unsigned files_count;
};

struct zkt_delivery *
delivery_new(void);
void
delivery_destroy(struct zkt_delivery **delivery_p);
// delivery_cancel sets the reason once and makes the descriptor readable. Any thread.
void
delivery_cancel(struct zkt_delivery *delivery, enum cancel_reason reason);
// delivery_clean removes what was handed out.
void
delivery_clean(struct zkt_delivery *delivery);
// delivery_problem keeps the failure of a call and returns its code.
enum zkt_err
delivery_problem(struct zkt_delivery *delivery, const struct problem *problem);
