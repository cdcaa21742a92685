// fixture.h: an engine over in-memory records, and what it said.
#pragma once
#include <stdbool.h>

#include "base/arena.h"
#include "core/engine.h"
#include "core/state.h"

enum { SAID_MAX = 4096 };

struct said {
    uint64_t peer;
    struct command command; // in the fixture's arena
};
struct published {
    const char *topic;
    struct value body;
};

struct fixture {
    struct engine *engine;
    struct arena arena;
    struct said said[SAID_MAX];
    size_t said_count;
    struct published published[SAID_MAX];
    size_t published_count;
    int64_t now_ms;
    int64_t wall_ms;
    uint64_t next_id;
    uint64_t deaf_peer; // sends to it fail
    bool is_wanted;
    char failure[64];
};

struct fixture *
fixture_new(uint64_t tasks_max);
// fixture_new_with: tasks are packed and unpacked by this codec; borrowed.
struct fixture *
fixture_new_with(uint64_t tasks_max, const struct task_codec *codec);
void
fixture_destroy(struct fixture **fixture_p);
// fixture_teardown is cmocka's, for a state that is a fixture.
int
fixture_teardown(void **state);
// fixture_say hands a command to the engine and makes turns until nothing waits. Returns its id.
uint64_t
fixture_say(struct fixture *fixture, uint64_t peer, struct command command);
void
fixture_turns(struct fixture *fixture, int count, int64_t elapsed_ms);
// fixture_answer finds the answer to id, or NULL.
const struct command *
fixture_answer(const struct fixture *fixture, uint64_t id);
// fixture_last finds the last command of a verb to a peer, or NULL.
const struct command *
fixture_last(const struct fixture *fixture, uint64_t peer, enum verb verb);
size_t
fixture_count(const struct fixture *fixture, uint64_t peer, enum verb verb);
const struct published *
fixture_event(const struct fixture *fixture, const char *topic);

struct uid
test_uid(unsigned number);
struct command
hello_of(unsigned instance, enum role role, const char *identity);
// worker_hello: filters {"type": type}.
struct command
worker_hello(struct fixture *fixture, unsigned instance, const char *identity, const char *type);
struct task
task_of(struct fixture *fixture, unsigned uid, const char *type);
struct command
submit_of(uint64_t number, uint64_t delivery, const struct task *tasks, size_t count);
struct command
credit_of(uint32_t window);
struct command
report_of(uint64_t delivery, const struct uid *uid, enum report_state state, uint64_t after);
// join_worker says HELLO and CREDIT.
void
join_worker(struct fixture *fixture, uint64_t peer, unsigned instance, const char *identity,
            const char *type);
