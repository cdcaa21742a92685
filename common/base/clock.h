// clock.h: the two clocks, in milliseconds and nanoseconds. The core never calls these: it is
// handed `now`.
#pragma once
#include <stdint.h>

int64_t
clock_monotonic_ms(void);
int64_t
clock_monotonic_ns(void);
int64_t
clock_wall_ms(void); // since 1970 UTC
