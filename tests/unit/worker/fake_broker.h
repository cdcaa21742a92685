// fake_broker.h: a scripted peer for the tests of libzkarton: a ROUTER on a port of the kernel's
// choice, driven step by step by the test. The client under test runs in threads of its own.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "model/command.h"

struct fake_broker {
    void *context;
    void *socket;
    char address[64];
    struct bytes peer;  // who sent the last command
    struct bytes frame; // the last command's
    struct arena arena;
    struct command command;
    unsigned heartbeats_count;
    bool is_mute;          // answers no heartbeat
    bool keeps_heartbeats; // fake_next returns them too
};

// fake_open binds; address NULL: a free port of the loopback.
void
fake_open(struct fake_broker *fake, const char *address);
// fake_close drops every connection; the address can be bound again.
void
fake_close(struct fake_broker *fake);
// fake_next waits for the next command (10 s, then the test fails).
const struct command *
fake_next(struct fake_broker *fake);
// fake_expect also fails if it is of another verb; CREDIT, LOG and Started reports are passed over
// on the way to others.
const struct command *
fake_expect(struct fake_broker *fake, enum verb verb);
// fake_quiet fails if anything that fake_expect would not pass over arrives within the time.
void
fake_quiet(struct fake_broker *fake, int wait_ms);
// fake_send answers the peer of the last command.
void
fake_send(struct fake_broker *fake, const struct command *command);
void
fake_welcome(struct fake_broker *fake, uint64_t last_number); // to the HELLO just received
void
fake_error(struct fake_broker *fake, uint64_t id, enum zkt_err code, const char *message);
// fake_submitted answers the SUBMIT just received: all taken by taken_count consumers.
void
fake_submitted(struct fake_broker *fake, uint32_t taken_count);
void
fake_deliver(struct fake_broker *fake, uint64_t delivery, const char *headers_json);
// fake_reported answers the REPORT just received.
void
fake_reported(struct fake_broker *fake, enum zkt_err code);
