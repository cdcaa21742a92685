// warm.h: asks the system for the pages of a file before they are touched, from a thread of its
// own. A store is scanned in order of keys, through a map without readahead (that would read too
// much for the single bodies that are fetched later): from a cold disk each page would be waited
// for alone.
#pragma once
#include <stdint.h>

struct warmer;

// warm_start begins with the first bytes of the file, at most half the machine's memory of them; fd
// stays the caller's and open until warm_stop.
struct warmer *
warm_start(int fd, uint64_t bytes);
// warm_cancel asks it to stop soon and does not wait.
void
warm_cancel(struct warmer *warmer);
// warm_stop waits for its end. NULL and a warmer that is through are fine.
void
warm_stop(struct warmer **warmer_p);
