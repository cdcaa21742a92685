// filter_path.h: dotted keys (parity F6), split once.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "model/value.h"

struct path_part {
    const char *name; // borrowed from the key
    uint32_t len;
    bool is_index;  // int(name) works: lists are indexed, negative counts from the end
    bool is_digits; // name.isdigit(): what $exists asks instead
    int64_t index;  // saturated
};
struct path {
    struct path_part *parts;
    uint32_t parts_count;
};

// path_split splits key, which must outlive the path, at its dots; parts live in arena.
struct path
path_split(struct arena *arena, const struct value *key);

// path_extract walks from entry: into maps by name, into lists by index or else through every item
// (the answers then make a list in arena). *out is python_undefined() where there is nothing.
// Lowers *steps; below zero the answer is void.
void
path_extract(const struct path *path, const struct value *entry, struct arena *arena,
             int64_t *steps, struct value *out);

enum path_exists { PATH_ABSENT, PATH_PRESENT, PATH_RAISED };
// path_exists answers as {"dotted.key": {"$exists": …}} asks; is_nan: the operand is not equal to
// itself. RAISED: a name into a string, or digits that are no number, into a sequence.
enum path_exists
path_exists(const struct path *path, const struct value *entry, bool is_nan, int64_t *steps);
