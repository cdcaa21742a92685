// filter_translator.h: the state of filter_translate.c while it reads one pattern. Internal to it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"

enum {
    GROUPS_DEPTH_MAX = 100,
    GROUPS_COUNT_MAX = 1000,
    REPEAT_MAX = 65535, // PCRE2's
};

static const uint64_t WIDTH_MAX = UINT32_MAX;
static const uint64_t REPEAT_ENDLESS = UINT64_MAX;
static const uint32_t SURROGATE_FIRST = 0xd800;
static const uint32_t SURROGATE_LAST = 0xdfff;
static const uint32_t SURROGATE_STAND_IN = 0x10f800; // private use, plane 16

struct width {
    uint64_t min;
    uint64_t max;
};

// What the last piece of a branch allows behind it.
enum piece { PIECE_NONE, PIECE_ANCHOR, PIECE_ITEM, PIECE_REPEATED };

enum group_kind { GROUP_WHOLE, GROUP_PLAIN, GROUP_CAPTURE, GROUP_LOOK, GROUP_LOOKBEHIND, GROUP_IF };

// An open group; the first is the whole pattern.
struct level {
    enum group_kind kind;
    uint32_t number;      // GROUP_CAPTURE
    unsigned flags;       // in force outside
    uint32_t behind_from; // groups from this number on may not be referred to; 0: no lookbehind
    uint32_t branches_count;
    struct width branches; // of the alternatives before
    struct width branch;   // of this one, without its last piece
    struct width last;     // of its last piece
    enum piece piece;
};
struct capture {
    const uint32_t *name;
    size_t name_len;
    struct width width;
    bool is_closed;
};

struct translator {
    const uint32_t *points;
    size_t len;
    size_t at;
    unsigned flags;
    bool flags_allowed; // nothing but flags so far: "(?i)" may stand here
    struct bytes *out;
    struct arena *arena;
    struct problem *problem;
    struct level levels[GROUPS_DEPTH_MAX];
    uint32_t depth; // levels in use - 1
    struct capture captures[GROUPS_COUNT_MAX];
    uint32_t captures_count; // number of the next group
    uint32_t condition_max;  // highest group that a condition names
};
