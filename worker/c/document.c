// Documents: values and tasks as Karton's JSON (parity B "Task JSON", T1-T5) and back.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "handles.h"
#include "wire/json.h"

static const char RESOURCE_KEY[] = "__karton_resource__";
static const char HEADERS_KEY[] = "__headers_persistent";

// ---- Out

static void
put_text(struct arena *arena, struct value *map, const char *key, const char *text)
{
    value_put(arena, map, key, text == NULL ? value_null() : value_text(arena, text));
}

static struct value
plain_resource(struct arena *arena, const struct zkt_resource *resource)
{
    struct value inner = value_map();
    struct value flags = value_list();
    struct value metadata = resource->model.metadata.type == VALUE_MAP
                                ? value_copy(arena, &resource->model.metadata)
                                : value_map();
    const char *sha256 = zkt_resource_sha256(resource);
    if (sha256 != NULL) {
        put_text(arena, &metadata, "sha256", sha256);
    }
    if (zkt_resource_is_directory(resource)) {
        value_append(arena, &flags, value_text(arena, "Directory"));
    }
    put_text(arena, &inner, "uid", resource->uid_text);
    put_text(arena, &inner, "name", resource->name_text);
    put_text(arena, &inner, "bucket", resource->bucket_text);
    value_put(arena, &inner, "size",
              resource->model.size < 0 ? value_null() : value_int(resource->model.size));
    value_put(arena, &inner, "metadata", metadata);
    value_put(arena, &inner, "flags", flags);
    put_text(arena, &inner, "sha256", sha256);
    struct value outer = value_map();
    value_put(arena, &outer, RESOURCE_KEY, inner);
    return outer;
}

// A copy with every resource as Karton writes it. Deeper than the limit: cut to null, such a value
// cannot be sent either.
static struct value
plain(struct arena *arena, const struct value *value, unsigned depth)
{
    if (depth > LIMIT_VALUE_DEPTH) {
        return value_null();
    }
    if (value->type == VALUE_RESOURCE) {
        const struct zkt_resource *resource = resource_of_value(value);
        return resource == NULL ? value_null() : plain_resource(arena, resource);
    }
    struct value copy = *value;
    if (value->type == VALUE_LIST) {
        copy = value_list();
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            value_append(arena, &copy, plain(arena, &value->items[item_index], depth + 1));
        }
    } else if (value->type == VALUE_MAP) {
        copy = value_map();
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            const struct member *member = &value->members[item_index];
            value_put_key(arena, &copy, member->key, plain(arena, &member->value, depth + 1));
        }
    }
    return copy;
}

static char *
write_document(const struct value *value, unsigned style)
{
    struct bytes out = {0};
    json_write(value, &out, style);
    return bytes_text(&out);
}

char *
zkt_value_json(const zkt_value_t *value)
{
    struct arena arena;
    arena_init(&arena);
    struct value copy = value == NULL ? value_null() : plain(&arena, value_private(value), 0);
    char *text = write_document(&copy, JSON_DEFAULT);
    arena_fini(&arena);
    return text;
}

static void
put_uid(struct arena *arena, struct value *map, const char *key, const struct uid *prefix,
        const struct uid *uid)
{
    if (uid_is_none(uid)) {
        value_put(arena, map, key, value_null());
        return;
    }
    char prefix_text[UID_TEXT_SIZE];
    char uid_text[UID_TEXT_SIZE];
    uid_format(prefix, prefix_text);
    uid_format(uid, uid_text);
    value_put(arena, map, key,
              value_text(arena, arena_printf(arena, "{%s}:%s", prefix_text, uid_text)));
}

static struct value
persistent_headers(struct arena *arena, const struct zkt_task *task)
{
    struct value map = value_map();
    for (uint32_t item_index = 0; item_index < task->model.header_keys.len; item_index++) {
        const struct value *key = &task->model.header_keys.items[item_index];
        const struct value *header = value_get_n(&task->model.headers, key->text, key->len);
        if (header != NULL) {
            value_put_key(arena, &map, *key, *header);
        }
    }
    return map;
}

struct value
task_document(struct arena *arena, const struct zkt_task *task)
{
    const struct task *model = &task->model;
    task_name(task, NULL);
    struct value map = value_map();
    struct value headers_persistent = persistent_headers(arena, task);
    struct value payload = value_map();
    struct value payload_persistent = value_map();
    if (task_load(task)) {
        payload = plain(arena, &task->payload, 0);
        payload_persistent = plain(arena, &task->payload_persistent, 0);
    }
    value_put(arena, &payload_persistent, HEADERS_KEY, headers_persistent);
    value_put(arena, &map, "error", value_null());
    value_put(arena, &map, "headers", model->headers);
    value_put(arena, &map, "headers_persistent", headers_persistent);
    value_put(arena, &map, "last_update", value_double((double)clock_wall_ms() / 1000.0));
    // T1: of an unrouted task the prefix is its own uid.
    put_uid(arena, &map, "orig_uid", &model->orig, &model->orig);
    put_uid(arena, &map, "parent_uid", &model->root, &model->parent);
    value_put(arena, &map, "payload", payload);
    value_put(arena, &map, "payload_persistent", payload_persistent);
    value_put(arena, &map, "priority", value_text(arena, priority_name(model->priority)));
    char root[UID_TEXT_SIZE];
    uid_format(&model->root, root);
    put_text(arena, &map, "root_uid", root);
    put_text(arena, &map, "status",
             task_state_name(task->is_delivered ? TASK_STARTED : TASK_DECLARED));
    put_uid(arena, &map, "uid", task->is_delivered ? &model->root : &model->uid, &model->uid);
    return map;
}

char *
zkt_task_json(const zkt_task_t *task, unsigned indent)
{
    struct arena arena;
    arena_init(&arena);
    struct value document = task_document(&arena, task);
    unsigned style = JSON_SORTED;
    if (indent > 0) {
        style |= indent > 2 ? JSON_INDENT4 : JSON_INDENT2;
    }
    char *text = write_document(&document, style);
    arena_fini(&arena);
    return text;
}

// ---- In

static bool
parse_hex(const struct value *text, uint8_t *bytes, size_t bytes_count)
{
    if (text == NULL || text->type != VALUE_STRING || text->len != 2 * bytes_count) {
        return false;
    }
    for (size_t byte_index = 0; byte_index < bytes_count; byte_index++) {
        char pair[3] = {text->text[2 * byte_index], text->text[2 * byte_index + 1], '\0'};
        char *end = NULL;
        bytes[byte_index] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2) {
            return false;
        }
    }
    return true;
}

static struct span
text_of(const struct value *map, const char *key, const char *fallback)
{
    const struct value *value = value_get(map, key);
    return value != NULL && value->type == VALUE_STRING ? span_of(value->text, value->len)
                                                        : span_of_text(fallback);
}

static bool
has_flag(const struct value *flags, const char *name)
{
    for (uint32_t item_index = 0;
         flags != NULL && flags->type == VALUE_LIST && item_index < flags->len; item_index++) {
        if (value_is_text(&flags->items[item_index], name)) {
            return true;
        }
    }
    return false;
}

struct zkt_resource *
resource_from_document(const struct value *inner)
{
    struct resource model = {.size = -1,
                             .name = text_of(inner, "name", ""),
                             .bucket = text_of(inner, "bucket", "karton")};
    struct span uid = text_of(inner, "uid", "");
    const struct value *size = value_get(inner, "size");
    const struct value *metadata = value_get(inner, "metadata");
    if (!uid_parse((const char *)uid.data, uid.len, &model.uid)) {
        return NULL;
    }
    if (size != NULL && size->type == VALUE_INT && size->integer >= 0) {
        model.size = size->integer;
    }
    model.has_sha256 = parse_hex(value_get(inner, "sha256"), model.sha256, sizeof model.sha256) ||
                       (metadata != NULL && parse_hex(value_get(metadata, "sha256"), model.sha256,
                                                      sizeof model.sha256));
    const struct value *flags = value_get(inner, "flags"); // a number in rows of answers
    bool is_directory = flags != NULL && flags->type == VALUE_INT
                            ? (flags->integer & RESOURCE_DIRECTORY) != 0
                            : has_flag(flags, "Directory");
    model.flags = is_directory ? RESOURCE_DIRECTORY : 0;
    struct arena arena;
    arena_init(&arena);
    if (metadata != NULL && metadata->type == VALUE_MAP) {
        model.metadata = value_copy(&arena, metadata);
        value_remove(&model.metadata, "sha256");
    }
    struct zkt_resource *resource = resource_new(&model); // copies
    arena_fini(&arena);
    return resource;
}

// One resource of the task for each uid, however often the document repeats it.
static const struct zkt_resource *
adopt_resource(struct zkt_task *task, const struct value *inner)
{
    struct zkt_resource *resource = resource_from_document(inner);
    if (resource == NULL) {
        task_set_mistake(task, "a resource without a uid");
        return NULL;
    }
    size_t item_index = 0;
    while (item_index < task->resources.count &&
           !uid_equal(&task->resources.items[item_index]->model.uid, &resource->model.uid)) {
        item_index++;
    }
    if (item_index == task->resources.count) {
        resource_list_add(&task->resources, resource);
    }
    resource_unref(&resource);
    return task->resources.items[item_index];
}

// The parser bounds the depth.
static void
find_resources(struct zkt_task *task, struct value *value)
{
    if (value->type == VALUE_LIST) {
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            find_resources(task, &value->items[item_index]);
        }
    }
    const struct value *inner = value_get(value, RESOURCE_KEY);
    if (inner != NULL) {
        const struct zkt_resource *resource = adopt_resource(task, inner);
        *value = resource == NULL ? value_null() : value_of_resource(resource);
    } else if (value->type == VALUE_MAP) {
        for (uint32_t item_index = 0; item_index < value->len; item_index++) {
            find_resources(task, &value->members[item_index].value);
        }
    }
}

static struct value
take_map(struct zkt_task *task, const struct value *document, const char *key)
{
    const struct value *value = value_get(document, key);
    if (value == NULL || value->type == VALUE_NULL) {
        return value_map();
    }
    if (value->type != VALUE_MAP) {
        task_set_mistake(task, "%s: not an object", key);
        return value_map();
    }
    return *value;
}

static void
take_headers(struct zkt_task *task, const struct value *document)
{
    task->model.headers = take_map(task, document, "headers");
    struct value persistent = take_map(task, document, "headers_persistent");
    if (value_get(document, "headers_persistent") == NULL) {
        const struct value *legacy =
            value_get(value_get(document, "payload_persistent"), HEADERS_KEY);
        persistent = legacy != NULL && legacy->type == VALUE_MAP ? *legacy : persistent;
    }
    for (uint32_t item_index = 0; item_index < persistent.len; item_index++) {
        const struct member *member = &persistent.members[item_index];
        value_put_key(&task->arena, &task->model.headers, member->key, member->value);
        value_append(&task->arena, &task->model.header_keys, member->key);
    }
}

zkt_task_t *
zkt_task_from_json(const char *json)
{
    struct zkt_task *task = zkt_task_new(NULL);
    struct value document;
    struct problem problem = {.text = "no document"};
    if (json == NULL ||
        json_parse(span_of_text(json), &task->arena, &document, &problem) != ZKT_OK) {
        task_set_mistake(task, "%s", problem.text);
        return task;
    }
    if (document.type != VALUE_MAP) {
        task_set_mistake(task, "not an object");
        return task;
    }
    take_headers(task, &document);
    task->payload = take_map(task, &document, "payload");
    task->payload_persistent = take_map(task, &document, "payload_persistent");
    value_remove(&task->payload_persistent, HEADERS_KEY);
    find_resources(task, &task->payload);
    find_resources(task, &task->payload_persistent);
    const struct value *priority = value_get(&document, "priority");
    if (priority != NULL && priority->type != VALUE_NULL &&
        (priority->type != VALUE_STRING ||
         !priority_parse(span_of(priority->text, priority->len), &task->model.priority))) {
        task_set_mistake(task, "priority: not one of high, normal, low");
    }
    return task;
}
