// random.h: the one source of chance of a simulation: the same seed, the same run.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct uid;

struct random {
    uint64_t state;
};

void
random_init(struct random *random, uint64_t seed);
uint64_t
random_next(struct random *random);
// random_below answers 0 … bound − 1; bound > 0.
uint64_t
random_below(struct random *random, uint64_t bound);
// random_is is true in `permille` of 1,000 cases.
bool
random_is(struct random *random, unsigned permille);
void
random_draw_uid(struct random *random, struct uid *uid);
