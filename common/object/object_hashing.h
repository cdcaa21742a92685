// object_hashing.h: hashes of a file while it is being written. A small one is hashed by whoever
// writes; behind the writer of a large one other threads read again what was written, hash it, and
// let it begin to go to disk. What lies between the two is in the page cache, and bounded.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"

struct object_hashers; // the threads, of one store
struct object_hashing; // of one file

// object_hashers_new: at most so many threads; 0: who writes hashes.
struct object_hashers *
object_hashers_new(size_t threads_max);
// object_hashers_fitting: as many as leave a processor to who writes.
size_t
object_hashers_fitting(void);
// object_hashers_destroy: no hashing is left.
void
object_hashers_destroy(struct object_hashers **hashers_p);

// object_hashing_new: a file that will have this many bytes, from its beginning; the descriptor can
// be read. Threads are started with the first large file.
struct object_hashing *
object_hashing_new(struct object_hashers *hashers, int fd, int64_t size, bool has_md5);
// object_hashing_add: this was just written behind all before. Waits while too much is not hashed.
void
object_hashing_add(struct object_hashing *hashing, const void *data, size_t len);
// object_hashing_finish waits for the rest and tells the hashes; md5 NULL: not wanted. IO.
ZKT_MUST enum zkt_err
object_hashing_finish(struct object_hashing *hashing, uint8_t sha256[32], uint8_t md5[16],
                      struct problem *problem);
// object_hashing_destroy: from here on the descriptor is not used.
void
object_hashing_destroy(struct object_hashing **hashing_p);
