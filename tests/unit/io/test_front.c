// The front: how much it takes at once.
#include "unit/testing.h"

#include <string.h>
#include <zmq.h>

#include "io/front.h"

enum { MESSAGES_COUNT = 6, LARGE_BYTES = 64 << 10 };

static void
on_command(void *arg, struct span peer, const struct command *command)
{
    (void)arg, (void)peer, (void)command;
}

static void
on_bad_frame(void *arg, struct span peer, const struct command *partial,
             const struct problem *problem)
{
    (void)peer, (void)partial, (void)problem;
    ++*(size_t *)arg;
}

static void
drain_all(struct front *front, size_t messages_max, int64_t until_ns, size_t *turns_count)
{
    size_t total = 0;
    while (total < MESSAGES_COUNT) {
        zmq_pollitem_t item = {.socket = front_socket(front), .events = ZMQ_POLLIN};
        assert_true(zmq_poll(&item, 1, 30000) > 0);
        size_t count = 0;
        (void)front_drain(front, messages_max, until_ns, &count);
        assert_true(count <= messages_max);
        total += count;
        *turns_count += count > 0;
    }
}

// What is large may ask for much: when the time of a turn is over, the next one waits.
static void
test_the_time_of_a_turn(void **state)
{
    (void)state;
    size_t bad_count = 0;
    struct problem problem = {.text = ""};
    const struct front_handlers handlers = {&bad_count, on_command, on_bad_frame};
    void *context = zmq_ctx_new();
    struct front *front = NULL;
    assert_int_equal(front_new(context, "tcp://127.0.0.1:*", &handlers, &front, &problem), ZKT_OK);
    void *peer = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(peer, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(peer, front_address(front)), 0);
    static const char large[LARGE_BYTES];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MESSAGES_COUNT; i++) {
            assert_int_equal(zmq_send(peer, large, sizeof large, 0), sizeof large);
        }
        size_t turns_count = 0;
        drain_all(front, 100, round == 0 ? 0 : INT64_MAX, &turns_count);
        if (round == 0) {
            assert_int_equal(turns_count, MESSAGES_COUNT);
        }
    }
    size_t count = 1;
    assert_true(front_drain(front, 100, INT64_MAX, &count));
    assert_int_equal(count, 0);
    assert_int_equal(bad_count, 2 * MESSAGES_COUNT);
    front_destroy(&front);
    zmq_close(peer);
    zmq_ctx_term(context);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_time_of_a_turn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
