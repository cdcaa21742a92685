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
// clock_cpu_ns: processor time of the calling thread.
int64_t
clock_cpu_ns(void);

enum { TIME_TEXT_SIZE = 21 };
// time_format writes a wall time as 2026-01-31T12:00:00Z.
void
time_format(int64_t wall_ms, char text[TIME_TEXT_SIZE]);
