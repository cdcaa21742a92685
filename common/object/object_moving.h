// object_moving.h: a store that is being replaced by another while both are in use. New objects go
// to the new one; reading, deleting and listing mind both. Whoever moves an object puts it into the
// new store before it takes it out of the old one, and takes it out of the new one again if it
// has vanished from the old one meanwhile: deleting goes through the old one first.
//
// URLs for reading are the old store's, which sends on to the new one whoever asks it for an
// object that it does not have (any more).
#pragma once
#include "object/object_store.h"

// object_moving_new borrows both stores, which must live longer.
struct object_store *
object_moving_new(struct object_store *from, struct object_store *to);
