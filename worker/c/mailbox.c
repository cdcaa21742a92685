#include "mailbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

void
mailbox_init(struct mailbox *mailbox, bool has_wake_fd)
{
    *mailbox = (struct mailbox){.wake_fd = -1};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int result = pthread_mutex_init(&mailbox->lock, NULL);
    zkt_assert(result == 0);
    result = pthread_cond_init(&mailbox->arrived, &attributes);
    zkt_assert(result == 0);
    pthread_condattr_destroy(&attributes);
    if (has_wake_fd) {
        mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        zkt_assert(mailbox->wake_fd != -1);
    }
}

void
mailbox_fini(struct mailbox *mailbox)
{
    if (mailbox->wake_fd != -1) {
        close(mailbox->wake_fd);
    }
    pthread_cond_destroy(&mailbox->arrived);
    pthread_mutex_destroy(&mailbox->lock);
}

static void
wake(struct mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t written = write(mailbox->wake_fd, &one, sizeof one);
    zkt_assert(written == (ssize_t)sizeof one || errno == EAGAIN);
}

bool
mailbox_put_list(struct mailbox *mailbox, struct note *first, struct note *last, size_t count)
{
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->is_closed) {
        pthread_mutex_unlock(&mailbox->lock);
        return false;
    }
    last->next = NULL;
    if (mailbox->last == NULL) {
        mailbox->first = first;
    } else {
        mailbox->last->next = first;
    }
    mailbox->last = last;
    mailbox->len += count;
    bool is_asleep = mailbox->is_receiver_asleep;
    mailbox->is_receiver_asleep = false;
    pthread_mutex_unlock(&mailbox->lock);
    if (mailbox->wake_fd == -1) {
        if (count == 1) {
            pthread_cond_signal(&mailbox->arrived);
        } else {
            pthread_cond_broadcast(&mailbox->arrived);
        }
    } else if (is_asleep) {
        wake(mailbox);
    }
    return true;
}

bool
mailbox_put(struct mailbox *mailbox, struct note *note)
{
    return mailbox_put_list(mailbox, note, note, 1);
}

static struct note *
take_locked(struct mailbox *mailbox)
{
    struct note *note = mailbox->first;
    if (note != NULL) {
        mailbox->first = note->next;
        mailbox->len--;
        note->next = NULL;
        if (mailbox->first == NULL) {
            mailbox->last = NULL;
        }
    }
    return note;
}

struct note *
mailbox_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct note *note = take_locked(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return note;
}

struct note *
mailbox_take_all(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct note *first = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = NULL;
    mailbox->len = 0;
    pthread_mutex_unlock(&mailbox->lock);
    return first;
}

struct note *
mailbox_wait(struct mailbox *mailbox, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                             .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    pthread_mutex_lock(&mailbox->lock);
    int result = 0;
    while (mailbox->first == NULL && !mailbox->is_closed && deadline_ms > 0 &&
           result != ETIMEDOUT) {
        if (deadline_ms == INT64_MAX) {
            pthread_cond_wait(&mailbox->arrived, &mailbox->lock);
        } else {
            result = pthread_cond_timedwait(&mailbox->arrived, &mailbox->lock, &until);
        }
    }
    struct note *note = take_locked(mailbox);
    pthread_mutex_unlock(&mailbox->lock);
    return note;
}

bool
mailbox_sleep(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    bool is_empty = mailbox->first == NULL;
    mailbox->is_receiver_asleep = is_empty;
    pthread_mutex_unlock(&mailbox->lock);
    return is_empty;
}

void
mailbox_awake(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->is_receiver_asleep = false;
    pthread_mutex_unlock(&mailbox->lock);
    uint64_t count = 0;
    ssize_t got = read(mailbox->wake_fd, &count, sizeof count);
    zkt_assert(got == (ssize_t)sizeof count || errno == EAGAIN);
}

void
mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->is_closed = true;
    pthread_mutex_unlock(&mailbox->lock);
    pthread_cond_broadcast(&mailbox->arrived);
}
