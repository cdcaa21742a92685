// Setters of tasks. They copy and never fail: the first mistake sticks (zkt_task_error).
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/memory.h"
#include "handles.h"
#include "wire/json.h"

// A name of a payload entry may be empty, as in Karton; of a header not.
static bool
check_name(struct zkt_task *task, const char *what, const char *name)
{
    if (task == NULL) {
        return false;
    }
    if (name == NULL || (*name == '\0' && strcmp(what, "header") == 0)) {
        task_set_mistake(task, "%s without a name", what);
        return false;
    }
    if (!text_is_wtf8(name, strlen(name))) {
        task_set_mistake(task, "%s name is not UTF-8", what);
        return false;
    }
    return task_load(task);
}

static void
put_payload(struct zkt_task *task, const char *key, struct value value)
{
    bool is_persistent = value_get(&task->payload_persistent, key) != NULL;
    value_put(&task->arena, is_persistent ? &task->payload_persistent : &task->payload, key, value);
}

static void
put_text(struct zkt_task *task, struct value *map, const char *key, const char *text)
{
    if (text == NULL) {
        value_put(&task->arena, map, key, value_null());
    } else if (!text_is_wtf8(text, strlen(text))) {
        task_set_mistake(task, "%s: text is not UTF-8. Send bytes as a resource.", key);
    } else {
        value_put(&task->arena, map, key, value_text(&task->arena, text));
    }
}

void
zkt_task_set_headers(zkt_task_t *task, const char *headers)
{
    struct value map;
    struct problem problem;
    if (headers_parse(headers, &task->arena, &map, &problem) != ZKT_OK) {
        task_set_mistake(task, "%s", problem.text);
        return;
    }
    if (map.type != VALUE_MAP) {
        task_set_mistake(task, "headers: not an object");
        return;
    }
    if (task->model.headers.len == 0) {
        task->model.headers = map;
        return;
    }
    for (uint32_t item_index = 0; item_index < map.len; item_index++) {
        value_put_key(&task->arena, &task->model.headers, map.members[item_index].key,
                      map.members[item_index].value);
    }
}

void
zkt_task_set_header(zkt_task_t *task, const char *name, const char *value)
{
    if (check_name(task, "header", name)) {
        put_text(task, &task->model.headers, name, value);
    }
}

static bool
parse_json(struct zkt_task *task, const char *key, const char *json, struct value *value)
{
    struct problem problem = {.text = "no JSON"};
    if (json == NULL || json_parse(span_of_text(json), &task->arena, value, &problem) != ZKT_OK) {
        task_set_mistake(task, "%s: %s", key, problem.text);
        return false;
    }
    return true;
}

void
zkt_task_set_header_json(zkt_task_t *task, const char *name, const char *json)
{
    struct value value;
    if (check_name(task, "header", name) && parse_json(task, name, json, &value)) {
        value_put(&task->arena, &task->model.headers, name, value);
    }
}

void
zkt_task_set_priority(zkt_task_t *task, enum zkt_priority priority)
{
    static const enum priority priorities[] = {
        [ZKT_NORMAL] = PRIORITY_NORMAL, [ZKT_HIGH] = PRIORITY_HIGH, [ZKT_LOW] = PRIORITY_LOW};
    if ((unsigned)priority >= sizeof priorities / sizeof *priorities) {
        task_set_mistake(task, "priority %d is none", (int)priority);
        return;
    }
    task->model.priority = priorities[priority];
}

void
zkt_task_set_string(zkt_task_t *task, const char *key, const char *value)
{
    if (check_name(task, "payload", key)) {
        bool is_persistent = value_get(&task->payload_persistent, key) != NULL;
        put_text(task, is_persistent ? &task->payload_persistent : &task->payload, key, value);
    }
}

void
zkt_task_set_int(zkt_task_t *task, const char *key, int64_t value)
{
    if (check_name(task, "payload", key)) {
        put_payload(task, key, value_int(value));
    }
}

void
zkt_task_set_double(zkt_task_t *task, const char *key, double value)
{
    if (check_name(task, "payload", key)) {
        put_payload(task, key, value_double(value));
    }
}

void
zkt_task_set_bool(zkt_task_t *task, const char *key, bool value)
{
    if (check_name(task, "payload", key)) {
        put_payload(task, key, value_bool(value));
    }
}

void
zkt_task_set_json(zkt_task_t *task, const char *key, const char *json)
{
    struct value value;
    if (check_name(task, "payload", key) && parse_json(task, key, json, &value)) {
        put_payload(task, key, value);
    }
}

void
zkt_task_set_value(zkt_task_t *task, const char *key, zkt_value_t **value_p)
{
    struct owned_value *owned = (struct owned_value *)*value_p;
    if (check_name(task, "payload", key)) {
        if (owned == NULL) {
            task_set_mistake(task, "%s: no value", key);
        } else {
            put_payload(task, key, owned->value);
            arena_adopt(&task->arena, &owned->arena);
            resource_list_adopt(&task->resources, &owned->resources);
        }
    }
    zkt_value_destroy(value_p);
}

// Consumes the maker's reference.
static void
put_resource(struct zkt_task *task, const char *key, struct zkt_resource *resource,
             const struct problem *problem)
{
    if (resource == NULL) {
        task_set_mistake(task, "%s: %s", key, problem->text);
        return;
    }
    if (resource->model.name.len > LIMIT_RESOURCE_NAME_BYTES ||
        !text_is_wtf8(resource->name_text, resource->model.name.len)) {
        task_set_mistake(task, "%s: resource name is too long or not UTF-8", key);
    } else {
        resource_list_add(&task->resources, resource);
        put_payload(task, key, value_of_resource(resource));
    }
    resource_unref(&resource);
}

void
zkt_task_set_file_as(zkt_task_t *task, const char *key, const char *name, const char *path)
{
    struct problem problem;
    if (!check_name(task, "payload", key)) {
        return;
    }
    if (path == NULL || name == NULL) {
        task_set_mistake(task, "%s: no file", key);
        return;
    }
    put_resource(task, key, resource_from_file(name, path, &problem), &problem);
}

void
zkt_task_set_file(zkt_task_t *task, const char *key, const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    zkt_task_set_file_as(task, key, slash == NULL ? path : slash + 1, path);
}

void
zkt_task_set_data(zkt_task_t *task, const char *key, const char *name, const void *data,
                  size_t size)
{
    struct problem problem;
    if (check_name(task, "payload", key)) {
        put_resource(task, key, resource_from_data(name == NULL ? key : name, data, size, &problem),
                     &problem);
    }
}

void
zkt_task_set_fd(zkt_task_t *task, const char *key, const char *name, int fd)
{
    struct problem problem;
    if (check_name(task, "payload", key)) {
        put_resource(task, key, resource_from_fd(name == NULL ? key : name, fd, &problem),
                     &problem);
    }
}

void
zkt_task_set_directory(zkt_task_t *task, const char *key, const char *path)
{
    struct problem problem;
    if (!check_name(task, "payload", key)) {
        return;
    }
    if (path == NULL) {
        task_set_mistake(task, "%s: no directory", key);
        return;
    }
    put_resource(task, key, resource_from_directory(path, temp_path(), &problem), &problem);
}

void
zkt_task_set_token(zkt_task_t *task, const char *key, const char *token)
{
    struct problem problem;
    if (check_name(task, "payload", key)) {
        put_resource(task, key, resource_from_token(token, &problem), &problem);
    }
}

void
zkt_task_set_resource(zkt_task_t *task, const char *key, const zkt_resource_t *resource)
{
    if (!check_name(task, "payload", key)) {
        return;
    }
    if (resource == NULL) {
        task_set_mistake(task, "%s: no resource", key);
        return;
    }
    put_resource(task, key, resource_ref(resource), NULL);
}

void
zkt_task_persist(zkt_task_t *task, const char *key)
{
    if (!check_name(task, "payload", key) || value_get(&task->payload_persistent, key) != NULL) {
        return;
    }
    const struct value *value = value_get(&task->payload, key);
    if (value == NULL) {
        task_set_mistake(task, "%s: not in the payload, so it cannot persist", key);
        return;
    }
    struct value moved = *value;
    value_remove(&task->payload, key);
    value_put(&task->arena, &task->payload_persistent, key, moved);
}

void
zkt_task_persist_header(zkt_task_t *task, const char *name)
{
    if (!check_name(task, "header", name)) {
        return;
    }
    if (value_get(&task->model.headers, name) == NULL) {
        task_set_mistake(task, "%s: not a header, so it cannot persist", name);
        return;
    }
    for (uint32_t item_index = 0; item_index < task->model.header_keys.len; item_index++) {
        if (value_is_text(&task->model.header_keys.items[item_index], name)) {
            return;
        }
    }
    value_append(&task->arena, &task->model.header_keys, value_text(&task->arena, name));
}
