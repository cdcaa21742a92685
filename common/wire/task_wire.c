// Tasks and resources on the wire.
#include "base/limits.h"
#include "model/task.h"
#include "wire/shape.h"

#define AT(type, member) .offset = offsetof(type, member), .has_offset = NO_OFFSET
#define COUNTED(type, member, count)                                                               \
    .offset = offsetof(type, member), .has_offset = offsetof(type, count)

static const struct field resource_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = FIELD_REQUIRED, AT(struct resource, uid)},
    {NAMED("name"), .kind = FIELD_STRING, .flags = FIELD_REQUIRED, AT(struct resource, name),
     .max = LIMIT_RESOURCE_NAME_BYTES},
    {NAMED("bucket"), .kind = FIELD_STRING, .flags = FIELD_OMIT_ZERO, AT(struct resource, bucket),
     .max = LIMIT_RESOURCE_NAME_BYTES},
    // -1 when it is not known (T2), which is also how it goes over the wire.
    {NAMED("size"), .kind = FIELD_I64, .flags = FIELD_REQUIRED, AT(struct resource, size)},
    {NAMED("sha256"), .kind = FIELD_SHA256, COUNTED(struct resource, sha256, has_sha256)},
    {NAMED("flags"), .kind = FIELD_U32, .flags = FIELD_OMIT_ZERO, AT(struct resource, flags)},
    {NAMED("metadata"), .kind = FIELD_VALUE, .flags = FIELD_OMIT_ZERO,
     AT(struct resource, metadata), .value_type = VALUE_MAP, .max = LIMIT_HEADERS_BYTES},
};
static const struct shape resource_shape = {.fields = resource_fields,
                                            .fields_count =
                                                sizeof resource_fields / sizeof *resource_fields,
                                            .size = sizeof(struct resource)};

// uid, root, parent, orig, prio; then headers; then hp, payload, pp, resources.
static const struct field task_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = FIELD_REQUIRED, AT(struct task, uid)},
    {NAMED("root"), .kind = FIELD_UID, .flags = FIELD_OMIT_ZERO, AT(struct task, root)},
    {NAMED("parent"), .kind = FIELD_UID, .flags = FIELD_OMIT_ZERO, AT(struct task, parent)},
    {NAMED("orig"), .kind = FIELD_UID, .flags = FIELD_OMIT_ZERO, AT(struct task, orig)},
    {NAMED("prio"), .kind = FIELD_U32, .flags = FIELD_REQUIRED, AT(struct task, priority),
     .max = PRIORITIES_COUNT - 1},
    {NAMED("headers"), .kind = FIELD_VALUE, .flags = FIELD_REQUIRED, AT(struct task, headers),
     .value_type = VALUE_MAP, .max = LIMIT_HEADERS_BYTES},
    {NAMED("hp"), .kind = FIELD_VALUE, .flags = FIELD_OMIT_ZERO, AT(struct task, header_keys),
     .value_type = VALUE_LIST},
    {NAMED("payload"), .kind = FIELD_BINARY, .flags = FIELD_OMIT_ZERO, AT(struct task, payload)},
    {NAMED("pp"), .kind = FIELD_BINARY, .flags = FIELD_OMIT_ZERO,
     AT(struct task, payload_persistent)},
    {NAMED("resources"), .kind = FIELD_LIST, .flags = FIELD_OMIT_ZERO,
     COUNTED(struct task, resources, resources_count), .max = LIMIT_RESOURCES_COUNT,
     .shape = &resource_shape},
};
enum {
    IDS_COUNT = 5,
    BODY_FIRST = 6,
    TASK_FIELDS_COUNT = sizeof task_fields / sizeof *task_fields
};

const struct shape task_shape = {
    .fields = task_fields, .fields_count = TASK_FIELDS_COUNT, .size = sizeof(struct task)};
const struct shape task_ids_shape = {
    .fields = task_fields, .fields_count = IDS_COUNT, .size = sizeof(struct task)};
const struct shape body_shape = {.fields = task_fields + BODY_FIRST,
                                 .fields_count = TASK_FIELDS_COUNT - BODY_FIRST,
                                 .size = sizeof(struct task)};
_Static_assert(sizeof(enum priority) == sizeof(uint32_t), "FIELD_U32 holds a priority");
