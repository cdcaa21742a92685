// pages.h: reads an LMDB file by itself, trusting nothing: every page, node and length is checked
// before it is used. For check and dump: LMDB has no checksums and may end the process on a
// damaged page. And for the start, what LMDB itself trusts before it looks at anything.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"

struct pages_visitor {
    void *arg;
    // Every record in the order of the file, which is that of keys unless a page is damaged.
    void (*record)(void *arg, struct span key, struct span value);
    void (*damage)(void *arg, uint64_t page, const char *reason);
};

// pages_walk visits all records of the file at path, and everything that is wrong with its pages.
// NOT_FOUND or IO: the file cannot be read at all. The file must not be written meanwhile.
ZKT_MUST enum zkt_err
pages_walk(const char *path, const struct pages_visitor *visitor, struct problem *problem);
// pages_verify answers STORE_CORRUPT with the first damage of the file at path: of its length, its
// meta pages and its roots, or, if is_whole, of any page. The file must not be written meanwhile.
ZKT_MUST enum zkt_err
pages_verify(const char *path, bool is_whole, struct problem *problem);
