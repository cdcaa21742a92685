// bind.h: what a consumer declared (parity "Bind JSON", T7).
#pragma once
#include <stdbool.h>

#include "base/bytes.h"
#include "model/value.h"

struct bind {
    struct span identity;
    struct value filters; // as given: a list, or {} (S18)
    bool persistent;
    bool is_async;
    struct value info;            // string or null
    struct value version;         // string or null: the library's
    struct value service_version; // string or null
};

// bind_replaces: a bind that differs in filters, persistent, or a given service_version replaces
// the old one.
bool
bind_replaces(const struct bind *old_bind, const struct bind *new_bind);
// bind_copy copies everything into arena.
struct bind
bind_copy(struct arena *arena, const struct bind *bind);
