#include "io/log_pub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "wire/msgpack_value.h"

enum { SEND_HIGH_WATER_MARK = 10000, SUBSCRIPTIONS_MAX = 65536, TOPIC_BYTES_MAX = 1024 };

struct log_pub {
    void *socket;
    char address[256];
    struct span *prefixes; // subscribed to, each once; libzmq counts the subscribers
    size_t prefixes_count;
    size_t prefixes_capacity;
    struct bytes scratch;
    uint64_t published_count;
};

enum zkt_err
log_pub_new(void *zmq_context, const char *address, struct log_pub **log_pub_out,
            struct problem *problem)
{
    struct log_pub *log_pub = xcalloc(1, sizeof *log_pub);
    bytes_init(&log_pub->scratch);
    log_pub->socket = zmq_socket(zmq_context, ZMQ_XPUB);
    zkt_assert(log_pub->socket != NULL);
    int linger_ms = 200;
    int mark = SEND_HIGH_WATER_MARK;
    int ipv6 = strchr(address, '[') != NULL; // else addresses read ::ffff:
    zmq_setsockopt(log_pub->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(log_pub->socket, ZMQ_SNDHWM, &mark, sizeof mark);
    zmq_setsockopt(log_pub->socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    if (zmq_bind(log_pub->socket, address) == -1) {
        enum zkt_err err = errno == EADDRINUSE ? ZKT_ADDRESS_IN_USE : ZKT_CONFIG_INVALID;
        problem_set(problem, err, "[broker] events_listen %s: %s. Write a free tcp://HOST:PORT.",
                    address, zmq_strerror(errno));
        log_pub_destroy(&log_pub);
        return err;
    }
    size_t len = sizeof log_pub->address;
    int result = zmq_getsockopt(log_pub->socket, ZMQ_LAST_ENDPOINT, log_pub->address, &len);
    zkt_assert(result == 0);
    *log_pub_out = log_pub;
    return ZKT_OK;
}

void
log_pub_destroy(struct log_pub **log_pub_p)
{
    struct log_pub *log_pub = *log_pub_p;
    if (log_pub == NULL) {
        return;
    }
    zmq_close(log_pub->socket);
    for (size_t prefix_index = 0; prefix_index < log_pub->prefixes_count; prefix_index++) {
        free((void *)(uintptr_t)log_pub->prefixes[prefix_index].data);
    }
    free(log_pub->prefixes);
    bytes_fini(&log_pub->scratch);
    free(log_pub);
    *log_pub_p = NULL;
}

const char *
log_pub_address(const struct log_pub *log_pub)
{
    return log_pub->address;
}

void *
log_pub_socket(struct log_pub *log_pub)
{
    return log_pub->socket;
}

static void
subscribe(struct log_pub *log_pub, struct span prefix)
{
    if (log_pub->prefixes_count >= SUBSCRIPTIONS_MAX) {
        return;
    }
    if (log_pub->prefixes_count == log_pub->prefixes_capacity) {
        log_pub->prefixes_capacity = log_pub->prefixes_capacity * 2 + 16;
        log_pub->prefixes =
            xrealloc(log_pub->prefixes, log_pub->prefixes_capacity * sizeof *log_pub->prefixes);
    }
    void *copy = xmemdup(prefix.data, prefix.len);
    log_pub->prefixes[log_pub->prefixes_count++] = span_of(copy, prefix.len);
}

static void
unsubscribe(struct log_pub *log_pub, struct span prefix)
{
    for (size_t prefix_index = 0; prefix_index < log_pub->prefixes_count; prefix_index++) {
        if (span_equal(log_pub->prefixes[prefix_index], prefix)) {
            free((void *)(uintptr_t)log_pub->prefixes[prefix_index].data);
            log_pub->prefixes[prefix_index] = log_pub->prefixes[--log_pub->prefixes_count];
            return;
        }
    }
}

static void
answer_sync(struct log_pub *log_pub, struct span topic)
{
    if (topic.len > 5 && topic.len <= TOPIC_BYTES_MAX && memcmp(topic.data, "sync.", 5) == 0) {
        static const uint8_t empty_map = 0x80;
        zmq_send(log_pub->socket, topic.data, topic.len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send(log_pub->socket, &empty_map, 1, ZMQ_DONTWAIT);
    }
}

void
log_pub_poll(struct log_pub *log_pub)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, log_pub->socket, ZMQ_DONTWAIT) != -1) {
        const uint8_t *data = zmq_msg_data(&message);
        size_t len = zmq_msg_size(&message);
        if (len == 0 || len > TOPIC_BYTES_MAX) {
            continue;
        }
        struct span topic = span_of(data + 1, len - 1);
        if (data[0] == 1) {
            subscribe(log_pub, topic);
            answer_sync(log_pub, topic);
        } else if (data[0] == 0) {
            unsubscribe(log_pub, topic);
        }
    }
    zmq_msg_close(&message);
}

bool
log_pub_is_wanted(const struct log_pub *log_pub, const char *topic)
{
    size_t topic_len = strlen(topic);
    for (size_t prefix_index = 0; prefix_index < log_pub->prefixes_count; prefix_index++) {
        struct span prefix = log_pub->prefixes[prefix_index];
        if (prefix.len <= topic_len && memcmp(prefix.data, topic, prefix.len) == 0) {
            return true;
        }
    }
    return false;
}

void
log_pub_publish(struct log_pub *log_pub, const char *topic, const struct value *body)
{
    bytes_clear(&log_pub->scratch);
    msgpack_write_value(body, &log_pub->scratch);
    // XPUB never blocks: what a subscriber's full pipe does not take is dropped for that subscriber
    // alone.
    zmq_send(log_pub->socket, topic, strlen(topic), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(log_pub->socket, log_pub->scratch.data, log_pub->scratch.len, ZMQ_DONTWAIT);
    log_pub->published_count++;
}

uint64_t
log_pub_published_count(const struct log_pub *log_pub)
{
    return log_pub->published_count;
}
