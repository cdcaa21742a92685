// Tasks: life cycle, loading what was delivered, packing what is sent, inheritance (A1-A4).
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "frame.h"
#include "handles.h"
#include "wire/msgpack_value.h"
#include "wire/payload.h"

// Upper bounds of what msgpack adds around a value, a task, a resource.
enum { VALUE_OVERHEAD = 9, TASK_OVERHEAD = 192, RESOURCE_OVERHEAD = 160 };

void
task_init(struct zkt_task *task)
{
    *task = (struct zkt_task){0};
    arena_init(&task->arena);
    task->model.priority = PRIORITY_NORMAL;
    task->model.headers = value_map();
    task->model.header_keys = value_list();
    task->payload = value_map();
    task->payload_persistent = value_map();
}

void
task_fini(struct zkt_task *task)
{
    resource_list_fini(&task->resources);
    bytes_fini(&task->packed);
    frame_unref(&task->frame);
    arena_fini(&task->arena);
    free(task->error);
    free(task->refusal);
    task->error = NULL;
    task->refusal = NULL;
}

void
task_set_mistake(struct zkt_task *task, const char *format, ...)
{
    if (task->error != NULL) {
        return;
    }
    char text[PROBLEM_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    task->error = xstrdup(text);
}

void
task_refuse(struct zkt_task *task, enum zkt_err code, const char *format, ...)
{
    if (task->refusal == NULL) {
        task->refusal = xcalloc(1, sizeof *task->refusal);
    }
    task->refusal->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(task->refusal->text, sizeof task->refusal->text, format, arguments);
    va_end(arguments);
}

void
uid_pool_draw(struct uid_pool *pool, struct uid *uid)
{
    if (pool->left_count == 0) {
        ssize_t got = getrandom(pool->uids, sizeof pool->uids, 0);
        zkt_assert(got == (ssize_t)sizeof pool->uids);
        pool->left_count = UID_POOL_COUNT;
    }
    *uid = pool->uids[--pool->left_count];
    uid->bytes[6] = (uint8_t)((uid->bytes[6] & 0x0f) | 0x40); // version 4
    uid->bytes[8] = (uint8_t)((uid->bytes[8] & 0x3f) | 0x80);
}

void
task_name(const struct zkt_task *task, struct uid_pool *pool)
{
    if (!uid_is_none(&task->model.uid)) {
        return;
    }
    // Named on first need: a task is known by its uid to nobody before.
    struct zkt_task *named = (struct zkt_task *)(uintptr_t)task;
    if (pool == NULL) {
        uid_random(&named->model.uid);
    } else {
        uid_pool_draw(pool, &named->model.uid);
    }
    if (uid_is_none(&named->model.root)) {
        named->model.root = named->model.uid;
    }
}

zkt_task_t *
zkt_task_new(const char *headers)
{
    struct zkt_task *task = xmalloc(sizeof *task);
    task_init(task);
    task->is_loaded = true;
    zkt_task_set_headers(task, headers);
    return task;
}

void
zkt_task_destroy(zkt_task_t **task_p)
{
    struct zkt_task *task = *task_p;
    *task_p = NULL;
    if (task != NULL) {
        task_fini(task);
        free(task);
    }
}

// ---- Resources inside values: pointers here, indexes on the wire.

// Depth is bounded: what comes here passed a decoder, or bytes_bound, with LIMIT_VALUE_DEPTH.

// A shallow copy with every resource pointer replaced by its index in list.
static struct value
index_resources(struct arena *arena, const struct value *value, struct resource_list *list)
{
    if (value->type == VALUE_RESOURCE) {
        return value_resource((uint32_t)resource_list_add(list, resource_of_value(value)));
    }
    struct value copy = *value;
    if (value->type == VALUE_LIST && value->len > 0) {
        copy.items = arena_alloc(arena, value->len * sizeof *copy.items);
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            copy.items[item_index] = index_resources(arena, &value->items[item_index], list);
        }
    } else if (value->type == VALUE_MAP && value->len > 0) {
        copy.members = arena_alloc(arena, value->len * sizeof *copy.members);
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            copy.members[item_index].key = value->members[item_index].key;
            copy.members[item_index].value =
                index_resources(arena, &value->members[item_index].value, list);
        }
    }
    return copy;
}

// Replaces indexes by pointers, in place.
bool
point_resources(struct value *value, const struct resource_list *list)
{
    bool is_fine = true;
    if (value->type == VALUE_RESOURCE) {
        is_fine = value->resource_index < list->count;
        *value = is_fine ? value_of_resource(list->items[value->resource_index]) : value_null();
    } else if (value->type == VALUE_LIST) {
        for (uint32_t item_index = 0; is_fine && item_index < value->len; item_index++) {
            is_fine = point_resources(&value->items[item_index], list);
        }
    } else if (value->type == VALUE_MAP) {
        for (uint32_t item_index = 0; is_fine && item_index < value->len; item_index++) {
            is_fine = point_resources(&value->members[item_index].value, list);
        }
    }
    return is_fine;
}

static bool
load_bag(struct zkt_task *task, struct span packed, struct value *bag)
{
    struct problem problem;
    *bag = value_map();
    if (packed.len == 0) {
        return true;
    }
    return msgpack_parse_value(packed, &task->arena, bag, &problem) == ZKT_OK &&
           bag->type == VALUE_MAP && point_resources(bag, &task->resources);
}

bool
task_load(const struct zkt_task *task)
{
    if (task->is_loaded) {
        return true;
    }
    // Loading on first use: a task belongs to one thread, and its meaning does not change.
    struct zkt_task *loaded = (struct zkt_task *)(uintptr_t)task;
    loaded->is_loaded = true;
    for (size_t item_index = 0; item_index < task->model.resources_count; item_index++) {
        struct zkt_resource *resource = resource_new(&task->model.resources[item_index]);
        resource_list_add(&loaded->resources, resource);
        resource_unref(&resource);
    }
    return load_bag(loaded, task->model.payload, &loaded->payload) &&
           load_bag(loaded, task->model.payload_persistent, &loaded->payload_persistent);
}

// ---- Packing

static size_t
bytes_bound(const struct value *value, unsigned depth)
{
    size_t bound = VALUE_OVERHEAD;
    if (depth > LIMIT_VALUE_DEPTH) {
        return SIZE_MAX / 2;
    }
    if (value->type == VALUE_STRING || value->type == VALUE_BIGINT) {
        bound += value->len;
    } else if (value->type == VALUE_LIST) {
        for (uint32_t item_index = 0; item_index < value->len && bound < SIZE_MAX / 4;
             item_index++) {
            bound += bytes_bound(&value->items[item_index], depth + 1);
        }
    } else if (value->type == VALUE_MAP) {
        for (uint32_t item_index = 0; item_index < value->len && bound < SIZE_MAX / 4;
             item_index++) {
            const struct member *member = &value->members[item_index];
            bound += bytes_bound(&member->value, depth + 1) + member->key.len + VALUE_OVERHEAD;
        }
    }
    return bound;
}

static enum zkt_err
check_headers(const struct zkt_task *task, size_t *bound, struct problem *problem)
{
    const struct value *headers = &task->model.headers;
    if (headers->len > LIMIT_HEADERS_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE, "%" PRIu32 " headers, limit %d", headers->len,
                           LIMIT_HEADERS_COUNT);
    }
    for (uint32_t item_index = 0; item_index < headers->len; item_index++) {
        const struct value *key = &headers->members[item_index].key;
        if (key->len > LIMIT_HEADER_NAME_BYTES) {
            return problem_set(problem, ZKT_TOO_LARGE, "header name of %" PRIu32 " bytes, limit %d",
                               key->len, LIMIT_HEADER_NAME_BYTES);
        }
    }
    *bound = bytes_bound(headers, 0);
    if (*bound > SIZE_MAX / 4) {
        return problem_set(problem, ZKT_TOO_LARGE, "headers are nested deeper than %d",
                           LIMIT_VALUE_DEPTH);
    }
    if (*bound > LIMIT_HEADERS_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE,
                           "headers are %zu KiB, limit %d KiB. Use the payload.", *bound >> 10,
                           LIMIT_HEADERS_BYTES >> 10);
    }
    return ZKT_OK;
}

static void
pack_bags(struct zkt_task *task, struct resource_list *used)
{
    bytes_clear(&task->packed);
    if (task->resources.count == 0) {
        msgpack_write_value(&task->payload, &task->packed);
    } else {
        struct value indexed = index_resources(&task->arena, &task->payload, used);
        msgpack_write_value(&indexed, &task->packed);
    }
    size_t payload_len = task->packed.len;
    if (task->resources.count == 0) {
        msgpack_write_value(&task->payload_persistent, &task->packed);
    } else {
        struct value indexed = index_resources(&task->arena, &task->payload_persistent, used);
        msgpack_write_value(&indexed, &task->packed);
    }
    task->model.payload = span_of(task->packed.data, payload_len);
    task->model.payload_persistent =
        span_of(task->packed.data + payload_len, task->packed.len - payload_len);
}

// Only what the bags still refer to travels.
static size_t
pack_resources(struct zkt_task *task, const struct resource_list *used)
{
    size_t bound = 0;
    struct resource *models = arena_alloc(&task->arena, (used->count + 1) * sizeof *models);
    for (size_t item_index = 0; item_index < used->count; item_index++) {
        models[item_index] = used->items[item_index]->model;
        bound += models[item_index].name.len + models[item_index].bucket.len + RESOURCE_OVERHEAD +
                 bytes_bound(&models[item_index].metadata, 0);
    }
    task->model.resources = models;
    task->model.resources_count = used->count;
    return bound;
}

// Only what came with a document can be too large here; the broker would refuse the whole SUBMIT.
static enum zkt_err
check_resources(const struct zkt_task *task, struct problem *problem)
{
    if (task->model.resources_count > LIMIT_RESOURCES_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE, "%zu resources, limit %d",
                           task->model.resources_count, LIMIT_RESOURCES_COUNT);
    }
    for (size_t item_index = 0; item_index < task->model.resources_count; item_index++) {
        const struct resource *resource = &task->model.resources[item_index];
        if (resource->name.len > LIMIT_RESOURCE_NAME_BYTES ||
            resource->bucket.len > LIMIT_RESOURCE_NAME_BYTES) {
            bool is_name = resource->name.len > LIMIT_RESOURCE_NAME_BYTES;
            return problem_set(
                problem, ZKT_TOO_LARGE, "the %s of a resource has %zu bytes, limit %d",
                is_name ? "name" : "bucket", is_name ? resource->name.len : resource->bucket.len,
                LIMIT_RESOURCE_NAME_BYTES);
        }
        size_t bound = bytes_bound(&resource->metadata, 0);
        if (bound > LIMIT_HEADERS_BYTES) {
            return problem_set(problem, ZKT_TOO_LARGE,
                               "metadata of a resource is over %d KiB, or nested deeper than %d",
                               LIMIT_HEADERS_BYTES >> 10, LIMIT_VALUE_DEPTH);
        }
    }
    return ZKT_OK;
}

enum zkt_err
task_pack(struct zkt_task *task, struct problem *problem)
{
    if (task->error != NULL) {
        return problem_set(problem, ZKT_INVALID, "%s", task->error);
    }
    if (!task_load(task)) {
        return problem_set(problem, ZKT_INVALID, "payload is damaged");
    }
    task_name(task, NULL);
    size_t headers_bound = 0;
    enum zkt_err err = check_headers(task, &headers_bound, problem);
    if (err != ZKT_OK) {
        return err;
    }
    struct resource_list used = {0};
    if (bytes_bound(&task->payload, 0) > SIZE_MAX / 4 ||
        bytes_bound(&task->payload_persistent, 0) > SIZE_MAX / 4) {
        return problem_set(problem, ZKT_TOO_LARGE, "payload is nested deeper than %d",
                           LIMIT_VALUE_DEPTH);
    }
    pack_bags(task, &used);
    size_t resources_bound = pack_resources(task, &used);
    resource_list_fini(&task->resources);
    task->resources = used;
    task->wire_bytes = headers_bound + task->packed.len + resources_bound +
                       bytes_bound(&task->model.header_keys, 0) + TASK_OVERHEAD;
    err = check_resources(task, problem);
    if (err != ZKT_OK) {
        return err;
    }
    if (task->wire_bytes > LIMIT_TASK_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE,
                           "payload is %.1f MiB, limit %d MiB. Send large data as a resource.",
                           (double)task->wire_bytes / (1 << 20), LIMIT_TASK_BYTES >> 20);
    }
    return ZKT_OK;
}

// ---- Inheritance

static bool
list_has_text(const struct value *list, const struct value *text)
{
    for (uint32_t item_index = 0; item_index < list->len; item_index++) {
        const struct value *item = &list->items[item_index];
        if (item->len == text->len && memcmp(item->text, text->text, text->len) == 0) {
            return true;
        }
    }
    return false;
}

static void
inherit_headers(struct zkt_task *child, const struct zkt_task *parent)
{
    const struct value *keys = &parent->model.header_keys;
    for (uint32_t item_index = 0; item_index < keys->len; item_index++) {
        struct value key = value_copy(&child->arena, &keys->items[item_index]);
        const struct value *header = value_get_n(&parent->model.headers, key.text, key.len);
        if (header == NULL) {
            continue;
        }
        value_put_key(&child->arena, &child->model.headers, key, value_copy(&child->arena, header));
        if (!list_has_text(&child->model.header_keys, &key)) {
            value_append(&child->arena, &child->model.header_keys, key);
        }
    }
}

void
task_inherit(struct zkt_task *child, const struct zkt_task *parent)
{
    task_name(parent, NULL);
    child->model.root = parent->model.root;
    child->model.parent = parent->model.uid;
    child->model.priority = parent->model.priority;
    inherit_headers(child, parent);
    if (!task_load(parent) || !task_load(child)) {
        return;
    }
    payload_merge(&child->arena, &parent->payload_persistent, &child->payload,
                  &child->payload_persistent);
    // Resources are counted even where the child does not use them: pack leaves those out.
    for (size_t item_index = 0; item_index < parent->resources.count; item_index++) {
        resource_list_add(&child->resources, parent->resources.items[item_index]);
    }
}

zkt_task_t *
zkt_task_derive(const zkt_task_t *task, const char *headers)
{
    struct zkt_task *derived = zkt_task_new(headers);
    if (task == NULL || !task_load(task)) {
        task_set_mistake(derived, "no task to derive from");
        return derived;
    }
    inherit_headers(derived, task);
    derived->payload = value_copy(&derived->arena, &task->payload);
    derived->payload_persistent = value_copy(&derived->arena, &task->payload_persistent);
    for (size_t item_index = 0; item_index < task->resources.count; item_index++) {
        resource_list_add(&derived->resources, task->resources.items[item_index]);
    }
    return derived;
}
