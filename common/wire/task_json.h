// task_json.h: a task as Karton's JSON document and back (parity B "Task JSON", T1-T6).
#pragma once
#include "model/task.h"
#include "wire/json.h"

struct task_document {
    struct task task;
    enum task_state state;
    struct value error; // VALUE_LIST of strings (lines of a traceback), or VALUE_NULL
    double last_update; // seconds since 1970
    bool has_last_update;
};

// task_to_json appends the document, byte for byte as Karton serialises the same task when style is
// JSON_SORTED. INVALID: a payload is damaged, or refers to a resource that is not in the task.
ZKT_MUST enum zkt_err
task_to_json(const struct task_document *document, unsigned style, struct bytes *out,
             struct problem *problem);
// task_from_json reads one; fields that Karton does not know are ignored (T5), fields that old
// services leave out get their defaults. Everything lives in arena. INVALID names the field.
ZKT_MUST enum zkt_err
task_from_json(struct span text, struct arena *arena, struct task_document *out,
               struct problem *problem);

// The parts, for who holds payloads as values. resources_expand replaces every VALUE_RESOURCE in
// value by {"__karton_resource__": {…}}; false: an index without a resource.
ZKT_MUST bool
resources_expand(struct arena *arena, struct value *value, const struct resource *resources,
                 size_t resources_count);
// Resources that were found in a document, each once.
struct resource_list {
    struct resource *items; // in the arena
    size_t len;
};
// resources_collapse replaces every map with the key "__karton_resource__" by a VALUE_RESOURCE and
// adds what it holds to list. INVALID, TOO_LARGE names the field of the resource.
ZKT_MUST enum zkt_err
resources_collapse(struct arena *arena, struct value *value, struct resource_list *list,
                   struct problem *problem);
