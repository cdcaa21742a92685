// store_suite.h: the tests of every store by subject, a file each (store_queues.c, …). A list ends
// with one that has no name.
#pragma once
#include "seams/store_bench.h"

struct store_case {
    const char *name;
    CMUnitTestFunction test;
};
#define STORE_CASE(function)                                                                       \
    {                                                                                              \
        .name = #function, .test = (function)                                                      \
    }

extern const struct store_case store_queues_cases[], store_children_cases[], store_drops_cases[],
    store_restart_cases[], store_objects_cases[], store_pages_cases[];
