#include "model/task.h"

#include <string.h>

#include "base/limits.h"

static const char *const priority_names[PRIORITIES_COUNT] = {"high", "normal", "low"};
static const char *const state_names[TASK_STATES_COUNT] = {"Declared", "Spawned", "Started",
                                                           "Finished", "Crashed"};

static bool
find_name(const char *const *names, size_t names_count, struct span text, size_t *name_index)
{
    for (*name_index = 0; *name_index < names_count; (*name_index)++) {
        if (span_equal(span_of_text(names[*name_index]), text)) {
            return true;
        }
    }
    return false;
}

const char *
priority_name(enum priority priority)
{
    return priority_names[priority];
}

bool
priority_parse(struct span text, enum priority *priority)
{
    size_t name_index;
    if (!find_name(priority_names, PRIORITIES_COUNT, text, &name_index)) {
        return false;
    }
    *priority = (enum priority)name_index;
    return true;
}

const char *
task_state_name(enum task_state state)
{
    return state_names[state];
}

bool
task_state_parse(struct span text, enum task_state *state)
{
    size_t name_index;
    if (!find_name(state_names, TASK_STATES_COUNT, text, &name_index)) {
        return false;
    }
    *state = (enum task_state)name_index;
    return true;
}

enum zkt_err
identity_check(struct span identity, bool empty_allowed, struct problem *problem)
{
    if (identity.len == 0 && !empty_allowed) {
        return problem_set(problem, ZKT_IDENTITY_INVALID,
                           "identity is empty. Write a name like my.service");
    }
    if (identity.len > LIMIT_IDENTITY_BYTES) {
        return problem_set(problem, ZKT_IDENTITY_INVALID, "identity has %zu bytes, limit %d",
                           identity.len, LIMIT_IDENTITY_BYTES);
    }
    if (!text_is_utf8(identity.data, identity.len)) {
        return problem_set(problem, ZKT_IDENTITY_INVALID, "identity is not valid UTF-8");
    }
    for (size_t byte_index = 0; byte_index < identity.len; byte_index++) {
        uint8_t byte = identity.data[byte_index];
        if (byte < ' ' || byte == 0x7f) {
            return problem_set(problem, ZKT_IDENTITY_INVALID,
                               "identity has the control character 0x%02x at byte %zu", byte,
                               byte_index);
        }
        if (byte == ' ' || byte == '?') {
            return problem_set(
                problem, ZKT_IDENTITY_INVALID,
                "identity \"%.*s\": space and \"?\" are not allowed. Write my.service",
                (int)identity.len, (const char *)identity.data);
        }
    }
    return ZKT_OK;
}
