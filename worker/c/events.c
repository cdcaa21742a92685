// Logs and events: a SUB socket. A slow subscriber loses messages; the sequence numbers of a family
// show it how many.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "client.h"
#include "wire/msgpack_value.h"

enum { TOPIC_BYTES_MAX = 1024, FAMILIES_MAX = 16, SYNC_AGAIN_MS = 500 };

struct family {
    char name[32]; // "log."
    uint64_t last;
};

struct zkt_events {
    void *socket;
    char **topics; // as subscribed, NULL at the end
    char topic[TOPIC_BYTES_MAX + 1];
    struct arena arena;
    struct value body;
    struct family families[FAMILIES_MAX];
    size_t families_count;
    uint64_t missed_count;
    struct problem problem;
};

static bool
starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// Whether everything of the family comes here: only then a gap is a loss.
static bool
has_whole_family(const struct zkt_events *events, const char *family)
{
    for (size_t topic_index = 0; events->topics[topic_index] != NULL; topic_index++) {
        if (starts_with(family, events->topics[topic_index])) {
            return true;
        }
    }
    return false;
}

static struct family *
family_of(struct zkt_events *events)
{
    const char *dot = strchr(events->topic, '.');
    size_t len = dot == NULL ? 0 : (size_t)(dot - events->topic) + 1;
    if (len == 0 || len >= sizeof events->families[0].name) {
        return NULL;
    }
    for (size_t family_index = 0; family_index < events->families_count; family_index++) {
        struct family *family = &events->families[family_index];
        if (strlen(family->name) == len && memcmp(family->name, events->topic, len) == 0) {
            return family;
        }
    }
    if (events->families_count == FAMILIES_MAX) {
        return NULL;
    }
    struct family *family = &events->families[events->families_count++];
    memcpy(family->name, events->topic, len);
    return family;
}

static void
count_missed(struct zkt_events *events)
{
    const struct value *sequence = value_get(&events->body, "seq");
    struct family *family = family_of(events);
    if (sequence == NULL || sequence->type != VALUE_INT || sequence->integer <= 0 ||
        family == NULL || !has_whole_family(events, family->name)) {
        return;
    }
    uint64_t now = (uint64_t)sequence->integer;
    // A smaller number: the broker was started anew.
    if (family->last != 0 && now > family->last + 1) {
        events->missed_count += now - family->last - 1;
    }
    family->last = now;
}

// Receives one message [topic, body]; 0: nothing came, 1: a message, -1: one to be ignored.
static int
receive(struct zkt_events *events)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    int result = 0;
    if (zmq_msg_recv(&part, events->socket, ZMQ_DONTWAIT) != -1) {
        size_t len = zmq_msg_size(&part);
        bool is_fine = len <= TOPIC_BYTES_MAX && zmq_msg_more(&part);
        memcpy(events->topic, zmq_msg_data(&part), is_fine ? len : 0);
        events->topic[is_fine ? len : 0] = '\0';
        arena_clear(&events->arena);
        if (is_fine && zmq_msg_recv(&part, events->socket, 0) != -1) {
            struct span body = span_of(zmq_msg_data(&part), zmq_msg_size(&part));
            is_fine = msgpack_parse_value(body, &events->arena, &events->body, &events->problem) ==
                      ZKT_OK;
        }
        while (zmq_msg_more(&part) && zmq_msg_recv(&part, events->socket, 0) != -1) {
            is_fine = false;
        }
        result = is_fine ? 1 : -1;
    }
    zmq_msg_close(&part);
    return result;
}

static bool
wait_readable(struct zkt_events *events, int64_t deadline_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    if (deadline_ms != INT64_MAX && now_ms >= deadline_ms) {
        return false;
    }
    zmq_pollitem_t item = {.socket = events->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, deadline_ms == INT64_MAX ? -1 : (long)(deadline_ms - now_ms));
    return true;
}

static enum zkt_err
next_until(struct zkt_events *events, int64_t deadline_ms)
{
    int received = 0;
    while ((received = receive(events)) != 1) {
        if (received == 0 && !wait_readable(events, deadline_ms)) {
            return problem_set(&events->problem, ZKT_TIMEOUT, "no event in time");
        }
    }
    return ZKT_OK;
}

// Subscribes to a topic of our own that the broker answers: what was subscribed to before is in
// force then.
static enum zkt_err
synchronise(struct zkt_events *events, const char *address, int64_t deadline_ms)
{
    struct uid random;
    char uid_text[UID_TEXT_SIZE];
    char sync[64];
    uid_random(&random);
    uid_format(&random, uid_text);
    int len = snprintf(sync, sizeof sync, "sync.%s", uid_text);
    zmq_setsockopt(events->socket, ZMQ_SUBSCRIBE, sync, (size_t)len);
    enum zkt_err err = ZKT_OK;
    while (err == ZKT_OK && strcmp(events->topic, sync) != 0) {
        err = next_until(events, deadline_ms);
    }
    zmq_setsockopt(events->socket, ZMQ_UNSUBSCRIBE, sync, (size_t)len);
    if (err != ZKT_OK) {
        err = problem_set(&events->problem, ZKT_UNREACHABLE, "no events from %s", address);
    }
    return err;
}

static enum zkt_err
subscribe(struct zkt_events *events, void *context, const char *address, const char *const *topics)
{
    size_t topics_count = 0;
    while (topics[topics_count] != NULL) {
        topics_count++;
    }
    events->topics = xcalloc(topics_count + 1, sizeof *events->topics);
    events->socket = zmq_socket(context, ZMQ_SUB);
    zkt_assert(events->socket != NULL);
    int zero = 0;
    int ipv6 = 1;
    zmq_setsockopt(events->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(events->socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    for (size_t topic_index = 0; topic_index < topics_count; topic_index++) {
        events->topics[topic_index] = xstrdup(topics[topic_index]);
        zmq_setsockopt(events->socket, ZMQ_SUBSCRIBE, topics[topic_index],
                       strlen(topics[topic_index]));
    }
    if (zmq_connect(events->socket, address) == -1) {
        return problem_set(&events->problem, ZKT_UNREACHABLE, "events address \"%s\": %s", address,
                           zmq_strerror(zmq_errno()));
    }
    return ZKT_OK;
}

enum zkt_err
zkt_events_new(zkt_client_t *client, const char *const *topics, zkt_events_t **events_out)
{
    struct zkt_events *events = xcalloc(1, sizeof *events);
    *events_out = events;
    arena_init(&events->arena);
    int64_t deadline_ms = client_deadline(client, 0);
    struct question request;
    request_begin(&request, VERB_HELLO);
    enum zkt_err err = client_ask(client, &request, deadline_ms);
    if (err == ZKT_OK) {
        err = subscribe(events, client->io->context, request.events_address, topics);
    } else {
        events->problem = client->problem;
    }
    if (err == ZKT_OK) {
        err = synchronise(events, request.events_address, deadline_ms);
    }
    request_end(&request);
    return err;
}

enum zkt_err
zkt_events_next(zkt_events_t *events, int timeout_ms, const char **topic, const zkt_value_t **body)
{
    int64_t deadline_ms = timeout_ms < 0 ? INT64_MAX : clock_monotonic_ms() + timeout_ms;
    enum zkt_err err = ZKT_OK;
    do {
        err = next_until(events, deadline_ms);
    } while (err == ZKT_OK && starts_with(events->topic, "sync."));
    *topic = NULL;
    *body = NULL;
    if (err == ZKT_OK) {
        count_missed(events);
        *topic = events->topic;
        *body = value_public(&events->body);
    }
    return err;
}

uint64_t
zkt_events_missed_count(const zkt_events_t *events)
{
    return events->missed_count;
}

int
zkt_events_fd(const zkt_events_t *events)
{
    int fd = -1;
    size_t len = sizeof fd;
    if (events->socket == NULL || zmq_getsockopt(events->socket, ZMQ_FD, &fd, &len) == -1) {
        return -1;
    }
    return fd;
}

const char *
zkt_events_error(const zkt_events_t *events)
{
    return events->problem.text;
}

void
zkt_events_destroy(zkt_events_t **events_p)
{
    struct zkt_events *events = *events_p;
    *events_p = NULL;
    if (events == NULL) {
        return;
    }
    if (events->socket != NULL) {
        zmq_close(events->socket);
    }
    for (size_t topic_index = 0; events->topics != NULL && events->topics[topic_index] != NULL;
         topic_index++) {
        free(events->topics[topic_index]);
    }
    free(events->topics);
    arena_fini(&events->arena);
    free(events);
}
