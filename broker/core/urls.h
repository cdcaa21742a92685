// urls.h: URLS, the answer to UPLOAD and DOWNLOAD. To sign an address takes microseconds, and one
// message may ask for thousands: beyond a slice they are signed over several turns, for all peers
// wait while a turn lasts.
#pragma once
#include "core/state.h"

// urls_answer gives every item an address that has no refusal (code), and answers the command once
// all have theirs. items are of release_arena. A session that has too many such answers under way
// gets ERROR.
void
urls_answer(struct engine *engine, struct session *session, const struct command *command,
            struct object_item *items);
// urls_turn signs a slice of what is under way; true: more is left.
bool
urls_turn(struct engine *engine);
bool
urls_is_empty(const struct engine *engine);
void
urls_destroy_all(struct engine *engine);
// urls_refuse says in the item why it gets no address; text is copied.
void
urls_refuse(struct arena *arena, struct object_item *item, enum zkt_err code, const char *text);
