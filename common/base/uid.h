// uid.h: 128-bit identifiers (RFC 9562 UUIDs). All zero means "none".
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { UID_TEXT_SIZE = 37 };

struct uid {
    uint8_t bytes[16];
};

static inline bool
uid_equal(const struct uid *a, const struct uid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline bool
uid_is_none(const struct uid *uid)
{
    static const struct uid none;
    return uid_equal(uid, &none);
}

int
uid_compare(const struct uid *a, const struct uid *b);
// uid_format writes 36 characters, lower case, and a NUL.
void
uid_format(const struct uid *uid, char text[UID_TEXT_SIZE]);
// uid_parse accepts exactly the 36-character form (either case), or "{root}:uid" (the part behind
// the last ':').
bool
uid_parse(const char *text, size_t len, struct uid *uid);
// uid_random draws a version 4 uid from the kernel. Not for the core, which is handed its uids.
void
uid_random(struct uid *uid);
// uid_routed makes the version 8 uid of a routed task: 48-bit store id and 64-bit sequence.
// The 64 bits of sequence lie in order around version and variant; uid_sequence is the inverse and
// false for a uid that is not version 8 or of another store.
void
uid_routed(uint64_t store_id, uint64_t sequence, struct uid *uid);
bool
uid_sequence(const struct uid *uid, uint64_t store_id, uint64_t *sequence);
uint64_t
uid_hash(const struct uid *uid);
