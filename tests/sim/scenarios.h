// scenarios.h: one named situation each, with a world of its own.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "sim/world.h"

struct scenario {
    const char *name;
    const char *says; // what must be true
    void (*run)(struct world *world);
};
extern const struct scenario scenarios[];
extern const size_t scenarios_count;
