#include "model/bind.h"

bool
bind_replaces(const struct bind *old_bind, const struct bind *new_bind)
{
    if (!value_same(&old_bind->filters, &new_bind->filters) ||
        old_bind->persistent != new_bind->persistent) {
        return true;
    }
    return new_bind->service_version.type != VALUE_NULL &&
           !value_same(&old_bind->service_version, &new_bind->service_version);
}

struct bind
bind_copy(struct arena *arena, const struct bind *bind)
{
    struct bind copy = *bind;
    copy.identity =
        span_of(arena_copy(arena, bind->identity.data, bind->identity.len), bind->identity.len);
    copy.filters = value_copy(arena, &bind->filters);
    copy.info = value_copy(arena, &bind->info);
    copy.version = value_copy(arena, &bind->version);
    copy.service_version = value_copy(arena, &bind->service_version);
    return copy;
}
