// gone.h: what became of objects that are not there any more: the last so many, in memory only, so
// that who asks for one hears more than that it is missing.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/uid.h"

struct gone;

struct gone *
gone_new(void);
void
gone_destroy(struct gone **gone_p);
// gone_add: task none: the object's upload hold ended, and nobody had referred to it.
void
gone_add(struct gone *gone, const struct uid *object, const struct uid *task, int64_t at_ms);
bool
gone_find(const struct gone *gone, const struct uid *object, struct uid *task, int64_t *at_ms);
