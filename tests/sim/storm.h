// storm.h: the random world: a seed's run.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct storm_result {
    uint64_t events_count;
    uint64_t acked_count;
    uint64_t restarts_count;
    char violation[512]; // empty: none
};

void
storm_run(uint64_t seed, uint64_t events_min, bool is_traced, struct storm_result *result);
