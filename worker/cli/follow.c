#include "follow.h"

#include <inttypes.h>

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
    while (err == ZKT_OK && code == EXIT_YES) {
        const char *topic = NULL;
        const zkt_value_t *body = NULL;
        err = zkt_events_next(events, time_left(cli, start_ms), &topic, &body);
        if (err == ZKT_OK) {
            code = visit(arg, topic, body);
        }
        uint64_t now_count = zkt_events_missed_count(events);
        if (now_count > missed_count) {
            cli_note(cli, "zkarton: warning: %" PRIu64 " messages were lost: this reader is slow",
                     now_count - missed_count);
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
