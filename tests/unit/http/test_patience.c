// How long a connection may take, and how many there are.
#include "unit/testing.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/watch.h"
#include "unit/http/place.h"

enum { DEADLINE_MS = 20000, STEP_MS = 20 };

// What does not move is closed after a second, other than between requests.
static int
enter_impatient(void **state)
{
    return enter_with(state, (struct http_patience){.idle_s = 10, .head_s = 1, .request_s = 1});
}

// Whether the server has closed it within the time.
static bool
is_closed(int fd, int wait_ms)
{
    char answer[256];
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, wait_ms) == 1 && recv(fd, answer, sizeof answer, 0) <= 0;
}

// Waits until so many requests ended.
static void
wait_ended(const struct place *place, uint64_t count)
{
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    while (http_server_requests_count(place->server) < count) {
        poll(NULL, 0, STEP_MS);
        assert_true(clock_monotonic_ms() < end_ms);
    }
}

// Four at once: three send a byte now and then, two of them in a head, the fourth is silent.
static void
heads_and_bodies_have_to_come(void **state)
{
    const struct place *place = *state;
    static const char *const beginnings[] = {
        "GET /", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nX: "};
    enum { COUNT = 4, SILENT = 3 };
    struct uid uid;
    int fds[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        uid_random(&uid);
        fds[i] = i < 2 ? dial(place) : begin_upload(place, &uid, 1 << 20);
        if (i < 2) {
            send_all(fds[i], beginnings[i], strlen(beginnings[i]));
        }
    }
    int64_t start_ms = clock_monotonic_ms();
    for (size_t open_count = COUNT; open_count > 0;) {
        for (size_t i = 0; i < COUNT; i++) {
            if (fds[i] != -1 && is_closed(fds[i], STEP_MS / COUNT)) {
                assert_in_range(clock_monotonic_ms() - start_ms, 900, DEADLINE_MS);
                close(fds[i]);
                fds[i] = -1;
                open_count--;
            } else if (fds[i] != -1 && i != SILENT) {
                send_all(fds[i], "x", 1);
            }
        }
        assert_true(clock_monotonic_ms() < start_ms + DEADLINE_MS);
    }
    wait_ended(place, 4); // of the second head the first line is there
    assert_true(is_empty(place));
}

// Far longer than a second in all.
static void
a_slow_body_may_take_its_time(void **state)
{
    const struct place *place = *state;
    enum { PARTS_COUNT = 12 };
    static const char zeroes[WATCH_PROGRESS_BYTES];
    struct uid uid;
    uid_random(&uid);
    int fd = begin_upload(place, &uid, PARTS_COUNT * sizeof zeroes);
    for (int i = 0; i < PARTS_COUNT; i++) {
        assert_false(is_closed(fd, 200)); // the pause is the test
        send_all(fd, zeroes, sizeof zeroes);
    }
    assert_false(is_closed(fd, DEADLINE_MS)); // the answer
    assert_true(is_there(place, &uid));
    close(fd);
}

static void
an_answer_has_to_be_read(void **state)
{
    const struct place *place = *state;
    enum { SIZE = 32 << 20 };
    struct bytes answer = {0};
    struct uid uid;
    uid_random(&uid);
    char *content = xcalloc(1, SIZE);
    char *in = put_target(place, &uid, content, SIZE);
    char *out = get_target(place, &uid, 0);
    assert_int_equal(put(place, in, content, SIZE, SIZE, &answer), 200);
    char *head = xasprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", out,
                           http_server_port(place->server));
    int fd = dial(place);
    send_all(fd, head, strlen(head));
    wait_ended(place, 2); // and there it is not read yet
    close(fd);
    free(head);
    free(in);
    free(out);
    free(content);
    bytes_fini(&answer);
}

// ---- How many

enum { FILES_MAX = 400, CONNECTIONS_MAX = FILES_MAX / 4 };
static struct rlimit files_before;

static int
enter_with_few_files(void **state)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files_before), 0);
    struct rlimit few = {.rlim_cur = FILES_MAX, .rlim_max = files_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    return enter(state);
}

static int
leave_with_all_files(void **state)
{
    int result = leave(state);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files_before), 0);
    return result;
}

// Whether a request on this connection, which stays, is answered.
static bool
is_served(int fd)
{
    static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    char answer[1024];
    send_all(fd, ask, strlen(ask));
    return recv(fd, answer, sizeof answer, 0) > 0;
}

static void
one_connection_too_many_is_closed(void **state)
{
    const struct place *place = *state;
    int fds[CONNECTIONS_MAX];
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        fds[i] = dial(place);
        assert_true(is_served(fds[i]));
    }
    for (int round = 0; round < 3; round++) {
        int fd = dial(place);
        assert_false(is_served(fd));
        close(fd);
        assert_true(is_served(fds[round]));
    }
    close(fds[0]);
    int64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;
    bool has_room = false;
    while (!has_room) { // when the server has seen that
        fds[0] = dial(place);
        has_room = is_served(fds[0]);
        if (!has_room) {
            close(fds[0]);
        }
        assert_true(clock_monotonic_ms() < end_ms);
    }
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        close(fds[i]);
    }
}

int
main(void)
{
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, enter_impatient, leave)
    const struct CMUnitTest tests[] = {
        IMPATIENT(heads_and_bodies_have_to_come),
        IMPATIENT(a_slow_body_may_take_its_time),
        IMPATIENT(an_answer_has_to_be_read),
        cmocka_unit_test_setup_teardown(one_connection_too_many_is_closed, enter_with_few_files,
                                        leave_with_all_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
