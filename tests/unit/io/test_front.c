// The front: how much it takes at once.
#include "unit/testing.h"

#include <string.h>
#include <zmq.h>

#include "io/front.h"

enum { MESSAGES_COUNT = 6, LARGE_BYTES = 64 << 10, WRITTEN_BYTES = 64 << 10 };

static size_t
on_command(void *arg, struct span peer, const struct command *command)
{
    (void)peer, (void)command;
    ++*(size_t *)arg;
    return WRITTEN_BYTES;
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

// What is large, or writes much, takes long: when the time of a turn is over, the next one waits.
static void
test_the_time_of_a_turn(void **state)
{
    static const char large[LARGE_BYTES];
    static const char heartbeat[] = {(char)0x93, 3, 0, (char)0x80};
    static const struct span messages[] = {{(const uint8_t *)large, sizeof large},
                                           {(const uint8_t *)heartbeat, sizeof heartbeat}};
    (void)state;
    size_t handled_count = 0;
    struct problem problem = {.text = ""};
    const struct front_handlers handlers = {&handled_count, on_command, on_bad_frame};
    void *context = zmq_ctx_new();
    struct front *front = NULL;
    assert_int_equal(front_new(context, "tcp://127.0.0.1:*", &handlers, &front, &problem), ZKT_OK);
    void *peer = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(peer, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(peer, front_address(front)), 0);
    for (int round = 0; round < 4; round++) {
        const struct span message = messages[round / 2];
        bool is_over = round % 2 == 0;
        for (int i = 0; i < MESSAGES_COUNT; i++) {
            assert_int_equal(zmq_send(peer, message.data, message.len, 0), message.len);
        }
        size_t turns_count = 0;
        drain_all(front, 100, is_over ? 0 : INT64_MAX, &turns_count);
        if (is_over) {
            assert_int_equal(turns_count, MESSAGES_COUNT);
        }
    }
    size_t count = 1;
    assert_true(front_drain(front, 100, INT64_MAX, &count));
    assert_int_equal(count, 0);
    assert_int_equal(handled_count, 4 * MESSAGES_COUNT);
    assert_int_equal(front_counts(front)->bad_frames_count, 2 * MESSAGES_COUNT);
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
