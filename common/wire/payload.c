#include "wire/payload.h"

#include "base/assert.h"

void
payload_merge(struct arena *arena, const struct value *parent_persistent, struct value *payload,
              struct value *persistent)
{
    zkt_assert(payload->type == VALUE_MAP);
    zkt_assert(persistent->type == VALUE_MAP);
    for (uint32_t member_index = 0; member_index < parent_persistent->len; member_index++) {
        const struct member *member = &parent_persistent->members[member_index];
        value_remove_n(payload, member->key.text, member->key.len);
        value_put_key(arena, persistent, value_copy(arena, &member->key),
                      value_copy(arena, &member->value));
    }
}
