// mailbox.h: how the threads of the library talk: an ordered queue of notes. A note belongs to the
// sender until mailbox_put and to the receiver once it is taken; nothing else is shared.
//
// Why not inproc sockets: a note is handed over in some 40 ns with no allocation, a receiver that
// is busy costs no system call, and several threads may take from one mailbox, fairly.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum note_kind {
    NOTE_TASK,     // struct zkt_task: to submit; back: submitted or refused
    NOTE_REQUEST,  // struct question: a question to the broker; back: answered
    NOTE_ABANDON,  // struct abandon: answer that request now
    NOTE_DELIVERY, // struct zkt_delivery: to process; back: processed
    NOTE_LOG,      // struct log_note: a record to publish
    NOTE_CLOSE,    // struct note: the other side ends
};

// Embedded in what is sent; no destructor: the kind says what it is.
struct note {
    struct note *next;
    enum note_kind kind;
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    struct note *first;
    struct note *last;
    size_t len;
    int wake_fd; // an eventfd for a receiver that polls; -1: it waits in mailbox_wait
    bool is_receiver_asleep;
    bool is_closed; // nothing more goes in; mailbox_wait answers NULL once empty
};

void
mailbox_init(struct mailbox *mailbox, bool has_wake_fd);
// mailbox_fini: nothing may be left inside that somebody owns.
void
mailbox_fini(struct mailbox *mailbox);
// mailbox_put hands note over; false: the mailbox is closed, the note stays with the sender.
bool
mailbox_put(struct mailbox *mailbox, struct note *note);
// mailbox_put_list hands over a chain of count notes, first to last.
bool
mailbox_put_list(struct mailbox *mailbox, struct note *first, struct note *last, size_t count);
// mailbox_take returns one note, or NULL at once.
struct note *
mailbox_take(struct mailbox *mailbox);
// mailbox_take_all returns the whole chain, or NULL.
struct note *
mailbox_take_all(struct mailbox *mailbox);
// mailbox_wait waits for a note until the monotonic time deadline_ms (INT64_MAX: for ever, 0: not
// at all); NULL: none came, or closed.
struct note *
mailbox_wait(struct mailbox *mailbox, int64_t deadline_ms);
// mailbox_sleep announces that the receiver is about to poll wake_fd; false: something is there
// already. mailbox_awake ends that.
bool
mailbox_sleep(struct mailbox *mailbox);
void
mailbox_awake(struct mailbox *mailbox);
// mailbox_close takes nothing more and wakes every receiver; what is inside can still be taken.
void
mailbox_close(struct mailbox *mailbox);
