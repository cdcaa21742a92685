#include "follow.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

// How long to wait for the next event; -1: for ever.
static int
time_left(const struct cli *cli, int64_t start_ms)
{
    if (cli->timeout_ms == 0) {
        return -1;
    }
    int64_t left_ms = start_ms + cli->timeout_ms - clock_monotonic_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

// stdout when it is something whose reader may go away, else -1: poll leaves it out.
static int
read_by_somebody(void)
{
    struct stat status;
    bool is_stream = fstat(STDOUT_FILENO, &status) == 0 &&
                     (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
    return is_stream ? STDOUT_FILENO : -1;
}

// The next event; also returns when the reader of stdout went away (*is_over): with nothing to
// write, nothing else would tell.
static enum zkt_err
next_event(zkt_events_t *events, int timeout_ms, bool *is_over, const char **topic,
           const zkt_value_t **body)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : clock_monotonic_ms() + timeout_ms;
    for (;;) {
        enum zkt_err err = zkt_events_next(events, 0, topic, body);
        int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - clock_monotonic_ms();
        if (err != ZKT_TIMEOUT || (deadline_ms >= 0 && left_ms <= 0)) {
            return err;
        }
        struct pollfd fds[] = {{.fd = zkt_events_fd(events), .events = POLLIN},
                               {.fd = read_by_somebody()}};
        poll(fds, 2, (int)left_ms);
        if ((fds[1].revents & (POLLERR | POLLHUP)) != 0) {
            *is_over = true;
            return ZKT_OK;
        }
    }
}

int
follow(struct cli *cli, const char *const *topics,
       int (*visit)(void *arg, const char *topic, const zkt_value_t *body), void *arg)
{
    int64_t start_ms = clock_monotonic_ms();
    int code = cli_connect(cli);
    if (code != EXIT_YES) {
        return code;
    }
    zkt_events_t *events = NULL;
    enum zkt_err err = zkt_events_new(cli->client, topics, &events);
    uint64_t missed_count = 0;
    if (err == ZKT_OK && cli->is_verbose) {
        cli_note(cli, "zkarton: connected");
    }
    bool is_over = false;
    while (err == ZKT_OK && code == EXIT_YES && !is_over) {
        const char *topic = NULL;
        const zkt_value_t *body = NULL;
        err = next_event(events, time_left(cli, start_ms), &is_over, &topic, &body);
        if (err == ZKT_OK && !is_over) {
            code = visit(arg, topic, body);
        }
        uint64_t now_count = zkt_events_missed_count(events);
        if (now_count > missed_count) {
            cli_note(cli, "zkarton: warning: %" PRIu64 " message%s lost: this reader is slow",
                     now_count - missed_count, now_count - missed_count == 1 ? " was" : "s were");
            missed_count = now_count;
        }
    }
    if (err == ZKT_TIMEOUT) {
        code = EXIT_TIMEOUT;
    } else if (err != ZKT_OK) {
        const char *text = zkt_events_error(events);
        code = cli_fail(err, "%s", text != NULL ? text : "no events");
    }
    zkt_events_destroy(&events);
    return code;
}
