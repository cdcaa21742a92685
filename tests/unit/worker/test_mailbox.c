// Mailboxes: order, closing, several receivers, waking.
#include "testing.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "mailbox.h"

static void
test_order_and_closing(void **state)
{
    (void)state;
    struct mailbox mailbox;
    struct note notes[3] = {0};
    mailbox_init(&mailbox, false);
    assert_null(mailbox_take(&mailbox));
    assert_true(mailbox_put(&mailbox, &notes[0]));
    notes[1].next = &notes[2];
    assert_true(mailbox_put_list(&mailbox, &notes[1], &notes[2], 2));
    assert_ptr_equal(mailbox_take(&mailbox), &notes[0]);
    struct note *rest = mailbox_take_all(&mailbox);
    assert_ptr_equal(rest, &notes[1]);
    assert_ptr_equal(rest->next, &notes[2]);
    assert_null(rest->next->next);
    assert_true(mailbox_put(&mailbox, &notes[0]));
    mailbox_close(&mailbox);
    assert_false(mailbox_put(&mailbox, &notes[1]));
    assert_ptr_equal(mailbox_wait(&mailbox, INT64_MAX), &notes[0]);
    assert_null(mailbox_wait(&mailbox, INT64_MAX));
    mailbox_fini(&mailbox);
}

static void
test_waits_no_longer_than_told(void **state)
{
    (void)state;
    struct mailbox mailbox;
    mailbox_init(&mailbox, false);
    assert_null(mailbox_wait(&mailbox, 0));
    assert_null(mailbox_wait(&mailbox, 1)); // the monotonic clock is past that
    mailbox_fini(&mailbox);
}

// A receiver that is awake is not woken; one that sleeps is, once.
static void
test_wakes_only_a_sleeper(void **state)
{
    (void)state;
    struct mailbox mailbox;
    struct note notes[2] = {0};
    mailbox_init(&mailbox, true);
    struct pollfd item = {.fd = mailbox.wake_fd, .events = POLLIN};
    assert_true(mailbox_put(&mailbox, &notes[0]));
    assert_int_equal(poll(&item, 1, 0), 0);
    assert_false(mailbox_sleep(&mailbox)); // something is there
    assert_ptr_equal(mailbox_take(&mailbox), &notes[0]);
    assert_true(mailbox_sleep(&mailbox));
    assert_true(mailbox_put(&mailbox, &notes[1]));
    assert_int_equal(poll(&item, 1, 0), 1);
    mailbox_awake(&mailbox);
    assert_int_equal(poll(&item, 1, 0), 0);
    mailbox_fini(&mailbox);
}

enum { RECEIVERS = 3, NOTES = 3000 };

struct counted {
    struct note note;
    atomic_int times;
};

static void *
receive_all(void *arg)
{
    struct note *note = NULL;
    while ((note = mailbox_wait(arg, INT64_MAX)) != NULL) {
        atomic_fetch_add(&((struct counted *)note)->times, 1);
    }
    return NULL;
}

static void
test_each_note_once(void **state)
{
    (void)state;
    static struct counted notes[NOTES];
    struct mailbox mailbox;
    pthread_t threads[RECEIVERS];
    mailbox_init(&mailbox, false);
    for (int thread_index = 0; thread_index < RECEIVERS; thread_index++) {
        assert_int_equal(pthread_create(&threads[thread_index], NULL, receive_all, &mailbox), 0);
    }
    for (int note_index = 0; note_index < NOTES; note_index++) {
        assert_true(mailbox_put(&mailbox, &notes[note_index].note));
    }
    mailbox_close(&mailbox);
    for (int thread_index = 0; thread_index < RECEIVERS; thread_index++) {
        pthread_join(threads[thread_index], NULL);
    }
    for (int note_index = 0; note_index < NOTES; note_index++) {
        assert_int_equal(atomic_load(&notes[note_index].times), 1);
    }
    mailbox_fini(&mailbox);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_closing),
        cmocka_unit_test(test_waits_no_longer_than_told),
        cmocka_unit_test(test_wakes_only_a_sleeper),
        cmocka_unit_test(test_each_note_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
