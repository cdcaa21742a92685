// store_bench.h: a store under test: one way to open it per implementation of the records, and what
// it told its engine.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "store/local/records_mem.h"
#include "store/store.h"

enum { OFFERS_MAX = 4096, EVENTS_MAX = 4096 };

enum bench_kind { BENCH_MEM, BENCH_MEM_DELAYED, BENCH_LMDB };

struct bench_event {
    struct uid uid; // task, root or object
    uint64_t number;
    struct analysis_counts counts;
    char reason[64];
};
struct bench_events {
    struct bench_event items[EVENTS_MAX];
    size_t len;
};

struct bench {
    enum bench_kind kind;
    struct store *store;
    struct store_options options;
    struct mem_disk *disk; // of the records in memory
    struct records *records;
    char path[64]; // of LMDB
    int64_t now_ms;
    struct arena arena;
    struct hold *offers[OFFERS_MAX];
    size_t offers_len;
    struct bench_events done, unreferenced, ended, gone, dropped, durable, failed;
    struct hold *resumed;
    bool is_taken;
    size_t resumed_count;
    struct uid retried; // none: the last retry was answered with no
    size_t retried_count;
    uint32_t release_to; // consumer that takes released children; 0: none
    size_t released_count;
    struct value rows;
    char next[64];
    size_t results_count;
};

struct bench *
bench_new(enum bench_kind kind);
void
bench_destroy(struct bench **bench_p);
enum zkt_err
bench_open(struct bench *bench, struct problem *problem);
void
bench_close(struct bench *bench);
// bench_reopen closes in order; bench_crash forgets what was not durable.
void
bench_reopen(struct bench *bench);
void
bench_crash(struct bench *bench);
// bench_run turns the loop until nothing is under way.
void
bench_run(struct bench *bench);
// bench_turns runs without ever committing.
void
bench_turns(struct bench *bench);

uint32_t
bench_consumer(struct bench *bench, const char *identity);
// bench_task makes a task of its own analysis, with a payload of so many bytes and one header "n".
struct task
bench_task(struct bench *bench, int64_t n, size_t payload_bytes);
void
bench_submit(struct bench *bench, const struct task *task, uint32_t consumer);
int64_t
bench_n(struct bench *bench, const struct hold *hold);
void
bench_uid(struct uid *uid, uint64_t number); // version 4
struct hold *
bench_take(struct bench *bench); // the first offer, out of the list
void
bench_finish(struct bench *bench, struct hold *hold);
struct store_stats
bench_stats(const struct bench *bench);
size_t
bench_records(struct bench *bench, uint8_t kind); // in memory only
