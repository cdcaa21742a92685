// log_pub.h: the XPUB socket of logs and events. Two frames: topic, body (msgpack map). A slow
// subscriber loses its own records (its pipe is full) and sees that by the gaps in `seq`; nothing
// else waits for it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "model/value.h"

struct log_pub;

// log_pub_new binds to address; errors as front_new.
ZKT_MUST enum zkt_err
log_pub_new(void *zmq_context, const char *address, struct log_pub **log_pub,
            struct problem *problem);
void
log_pub_destroy(struct log_pub **log_pub_p);
const char *
log_pub_address(const struct log_pub *log_pub);
void *
log_pub_socket(struct log_pub *log_pub);
// log_pub_poll takes subscriptions. One to "sync.<anything>" is answered at once by a message of
// that very topic: what the same subscriber subscribed to before is in force when it arrives.
void
log_pub_poll(struct log_pub *log_pub);
// log_pub_is_wanted: somebody subscribed to a prefix of topic.
bool
log_pub_is_wanted(const struct log_pub *log_pub, const char *topic);
void
log_pub_publish(struct log_pub *log_pub, const char *topic, const struct value *body);
uint64_t
log_pub_published_count(const struct log_pub *log_pub);
