// io_thread.h: the thread that owns the DEALER socket of one session with the broker: HELLO and
// resuming, heartbeats, SUBMIT in order, deliveries and their reports, questions, logs.
//
// It promises: heartbeats are sent whatever the application's threads do (S25); a lost connection
// and a restarted broker are invisible to them, except that things take longer. It never blocks but
// in its poll, and touches no file.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/problem.h"
#include "delivery.h"
#include "frame.h"
#include "mailbox.h"
#include "model/command.h"

enum {
    WINDOW_DEFAULT = 64,
    DELIVERY_BUCKETS = 1024,
};

// What the session is for. Texts live in the arena of the io.
struct io_options {
    enum role role;
    struct span identity;
    char *address;
    char *address_origin; // where it was configured
    char *ca_file;        // of an object store with https; "": the system's
    bool has_bind;
    bool join;
    struct bind bind;
    uint32_t concurrency;
    bool transactional;
    uint32_t window;      // 0: adaptive
    int64_t timeout_ms;   // of a task; 0: none
    uint32_t batch_tasks; // most tasks of a SUBMIT
};

enum session_state {
    SESSION_CLOSED,   // no socket; tries again at next_try_ms
    SESSION_GREETING, // HELLO is out
    SESSION_OPEN,
    SESSION_LEAVING, // BYE is out
    SESSION_DEAD,    // for good: problem says why
};

struct session {
    enum session_state state;
    int64_t next_try_ms;
    int64_t greeted_ms;
    unsigned tries_count;
    int64_t heard_ms;
    int64_t sent_ms;
    int64_t interval_ms;
    int64_t expiry_ms;
    uint64_t hello_id;
    uint64_t bind_generation;
    bool is_connected; // TCP
    bool is_retiring;
    bool was_open;            // ever
    bool is_missing_told;     // that nobody registered the consumer to join
    int64_t refused_since_ms; // nothing listens since; 0: somebody does
    char events_address[256];
    struct problem problem; // of SESSION_DEAD, or the last refusal
};

// One SUBMIT that is not answered yet.
struct open_submit {
    struct list_link link;
    uint64_t number;
    uint64_t id; // of its last sending; 0: to be sent (again)
    uint64_t delivery;
    struct note *tasks; // chain of struct zkt_task
    size_t tasks_count;
};

struct submits {
    struct note *waiting_first; // chain of struct zkt_task
    struct note *waiting_last;
    struct list open; // struct open_submit, ascending numbers
    size_t open_count;
    uint64_t next_number;
    int64_t resume_ms; // 0: not paused
    bool has_unsent;   // some of open have id 0
    bool is_probing;   // one refused SUBMIT is out again, the rest waits for its fate
    unsigned tries_count;
    _Atomic(int) refused_code; // why the broker takes none for now; ZKT_OK: it does
    struct task *models;       // scratch for encoding
};

struct reports {
    struct zkt_delivery *buckets[DELIVERY_BUCKETS];
    size_t deliveries_count; // in the buckets
    size_t unsettled_count;  // of them: the broker counts these as ours
    size_t in_process_count; // of them: queued for or with a slot
    struct list ready;       // outcome known, to be sent
    struct list sent;        // waiting for REPORTED
    int64_t resume_ms;       // NOT_YET: not before
    uint32_t window;         // as told by CREDIT
    bool is_window_told;
    unsigned quick_count;       // tasks in a row that were quick
    struct zkt_delivery *spare; // chain of free ones, by note.next
};

// A question to the broker; the asking thread waits for it on `reply`.
struct question {
    struct note note;
    struct list_link link;
    struct mailbox *reply;
    struct command command; // verb VERB_HELLO: wait until the session is open
    struct arena arena;     // of command and answer
    uint64_t id;            // 0: not sent
    bool is_once;           // must not be sent twice (CONTROL)
    struct frame *frame;
    struct command answer;
    struct problem problem;   // code ZKT_OK: answer holds
    char events_address[256]; // answer of VERB_HELLO
    bool is_answered;         // of the asking thread: it is back
    bool is_refused;          // abandoned while nothing listened at the address
};
// Asks the I/O thread to answer `request` at once.
struct abandon {
    struct note note;
    struct question *request;
};

struct log_note {
    struct note note;
    struct arena arena;
    struct value record;
};

struct logger;

// What the I/O thread sees of one thread that runs process.
struct slot_view {
    _Atomic(struct zkt_delivery *) current;
    _Atomic int64_t started_ms;
};

struct io {
    struct io_options options;
    struct arena arena;
    pthread_t thread;
    bool is_running;
    void *context;
    void *socket; // NULL: none
    void *monitor;
    unsigned sockets_count;
    struct uid instance;
    struct mailbox inbox;
    struct mailbox work;     // to the slots
    struct slot_view *views; // of a worker's slots
    size_t views_count;
    const struct logger *logger; // NULL: silent
    struct mailbox *ended;       // gets end_note when the thread is through
    struct note end_note;
    atomic_int stop_level; // 0: run, 1: finish, 2: give back
    bool is_ending;        // what was not started went back
    bool is_stuck;         // every slot is behind a task timeout
    int level_seen;
    int64_t level_ms;   // when level_seen was seen
    bool is_closing;    // NOTE_CLOSE came
    int64_t closing_ms; // since when; 0: not
    bool is_over;
    enum zkt_err result; // why it ended
    int64_t now_ms;
    uint64_t next_id;
    uint64_t events_serial;
    struct session session;
    struct submits submits;
    struct reports reports;
    struct list requests;
    struct note *logs_first;
    struct note *logs_last;
    size_t logs_count;
    atomic_ulong logs_dropped_count;
    struct frame *frame; // being received
    struct bytes scratch;
    struct arena scratch_arena;
};

// ---- io_thread.c
// io_start makes the thread; the io's options, slots and `ended` are set before.
void
io_init(struct io *io);
void
io_start(struct io *io);
// io_stop raises the level; signal-safe.
void
io_stop(struct io *io, int level);
// io_join waits for the thread; io_fini frees.
void
io_join(struct io *io);
void
io_fini(struct io *io);
// Inside the thread:
// io_note tells the operator of a worker, on stderr, what became of the session: id, then
// key=value.
void
io_note(const struct io *io, enum zkt_level level, const char *id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void
io_send(struct io *io, const struct command *command);
uint64_t
io_next_id(struct io *io);
int64_t
io_jitter_ms(struct io *io, unsigned tries_count, int64_t first_ms, int64_t most_ms);

// ---- session.c
void
session_tick(struct io *io);
void
session_lost(struct io *io, const char *why);
void
session_die(struct io *io, const struct problem *problem);
void
session_welcome(struct io *io, const struct command *command);
void
session_error(struct io *io, const struct command *command);
void
session_watch(struct io *io); // the monitor's events
void
session_leave(struct io *io); // BYE
void
session_close(struct io *io);
int64_t
session_next_ms(const struct io *io);

// ---- submit.c
void
submit_init(struct submits *submits);
void
submit_take(struct io *io, struct zkt_task *task);
void
submit_flush(struct io *io);
void
submit_resume(struct io *io, uint64_t last_number); // after WELCOME
void
submit_answered(struct io *io, const struct submitted *submitted);
// False: the id is of no SUBMIT.
bool
submit_refused(struct io *io, uint64_t id, const struct error_body *error);
// submit_refuse_all gives everything back as refused.
void
submit_refuse_all(struct io *io, const struct problem *problem);
bool
submit_is_idle(const struct submits *submits);

// ---- report.c
void
report_init(struct reports *reports);
void
report_fini(struct io *io);
void
report_deliver(struct io *io, const struct deliver *deliver);
void
report_processed(struct io *io, struct zkt_delivery *delivery); // a slot gave it back
void
report_child_answered(struct io *io, struct zkt_delivery *delivery, const struct zkt_task *child);
void
report_answered(struct io *io, const struct reported *reported);
// False: the id is of no REPORT.
bool
report_refused(struct io *io, uint64_t id, const struct error_body *error);
void
report_revoke(struct io *io, const struct revoke *revoke);
void
report_flush(struct io *io);
void
report_resume(struct io *io, uint64_t last_number); // after WELCOME: everything unanswered again
size_t
report_held(struct io *io, struct held **held); // into scratch_arena
void
report_return_unstarted(struct io *io);
// report_settle: the broker does not count it as ours any more.
void
report_settle(struct io *io, struct zkt_delivery *delivery);
void
report_tell_window(struct io *io, uint32_t window);
void
report_set_outcome(struct io *io, struct zkt_delivery *delivery, enum report_state outcome,
                   const char *error);

// ---- watch.c: the I/O thread's eye on the slots
void
watch_slots(struct io *io);
int64_t
watch_next_ms(const struct io *io);
// watch_is_ending: nothing new is taken.
bool
watch_is_ending(const struct io *io);
void
watch_finished(struct io *io, int64_t took_ms);
void
watch_stop(struct io *io); // drives a graceful or hard stop; sets is_over

// ---- request.c
void
request_take(struct io *io, struct question *request);
void
request_flush(struct io *io);
void
request_abandon(struct io *io, struct question *request);
bool
request_answered(struct io *io, uint64_t id, const struct command *command);
bool
request_refused(struct io *io, uint64_t id, const struct error_body *error);
void
request_resume(struct io *io);
void
request_refuse_all(struct io *io, const struct problem *problem);
void
log_flush(struct io *io);
