// T1: the uid of a task is written "{PREFIX}:uid"; the prefix is the root only once the task is
// routed, before that its own uid. orig_uid names an unrouted task, parent_uid a routed one.
#include "wire/task_json.h"

#include "base/limits.h"
#include "wire/msgpack_value.h"

static const char headers_key[] = "__headers_persistent";

// ---- Out

static struct value
uid_value(struct arena *arena, const struct uid *prefix, const struct uid *uid)
{
    if (uid_is_none(uid)) {
        return value_null();
    }
    char prefix_text[UID_TEXT_SIZE];
    char uid_text[UID_TEXT_SIZE];
    uid_format(prefix, prefix_text);
    uid_format(uid, uid_text);
    return value_text(arena, arena_printf(arena, "{%s}:%s", prefix_text, uid_text));
}

static struct value
persistent_headers(struct arena *arena, const struct task *task)
{
    struct value map = value_map();
    uint32_t len = task->header_keys.type == VALUE_LIST ? task->header_keys.len : 0;
    for (uint32_t key_index = 0; key_index < len; key_index++) {
        const struct value *key = &task->header_keys.items[key_index];
        const struct value *header = value_get_n(&task->headers, key->text, key->len);
        if (header != NULL) {
            value_put_key(arena, &map, *key, *header);
        }
    }
    return map;
}

static enum zkt_err
payload_value(struct arena *arena, const struct task *task, struct span payload, const char *name,
              struct value *out, struct problem *problem)
{
    *out = value_map();
    if (payload.len == 0) {
        return ZKT_OK;
    }
    enum zkt_err err = msgpack_parse_value(payload, arena, out, problem);
    if (err != ZKT_OK) {
        problem_in(problem, "%s", name);
        return err;
    }
    if (out->type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "%s: not a map", name);
    }
    if (!resources_expand(arena, out, task->resources, task->resources_count)) {
        return problem_set(problem, ZKT_INVALID, "%s: refers to a resource that is not there",
                           name);
    }
    return ZKT_OK;
}

static void
put_all(struct arena *arena, const struct task_document *document, struct value *map)
{
    const struct task *task = &document->task;
    char root[UID_TEXT_SIZE];
    uid_format(&task->root, root);
    bool is_routed = !uid_is_none(&task->orig);
    value_put(arena, map, "uid",
              uid_value(arena, is_routed ? &task->root : &task->uid, &task->uid));
    value_put(arena, map, "root_uid", value_text(arena, root));
    value_put(arena, map, "parent_uid", uid_value(arena, &task->root, &task->parent));
    value_put(arena, map, "orig_uid", uid_value(arena, &task->orig, &task->orig));
    value_put(arena, map, "status", value_text(arena, task_state_name(document->state)));
    value_put(arena, map, "priority", value_text(arena, priority_name(task->priority)));
    value_put(arena, map, "last_update",
              document->has_last_update ? value_double(document->last_update) : value_null());
    value_put(arena, map, "headers", task->headers);
    value_put(arena, map, "error", document->error);
}

enum zkt_err
task_to_json(const struct task_document *document, unsigned style, struct bytes *out,
             struct problem *problem)
{
    const struct task *task = &document->task;
    struct arena arena;
    struct value payload;
    struct value payload_persistent;
    arena_init(&arena);
    enum zkt_err err = payload_value(&arena, task, task->payload, "payload", &payload, problem);
    if (err == ZKT_OK) {
        err = payload_value(&arena, task, task->payload_persistent, "payload_persistent",
                            &payload_persistent, problem);
    }
    if (err == ZKT_OK) {
        struct value map = value_map();
        struct value headers_persistent = persistent_headers(&arena, task);
        put_all(&arena, document, &map);
        // T4: services before 5.2.0 look for the persistent headers there.
        value_put(&arena, &payload_persistent, headers_key, headers_persistent);
        value_put(&arena, &map, "headers_persistent", headers_persistent);
        value_put(&arena, &map, "payload", payload);
        value_put(&arena, &map, "payload_persistent", payload_persistent);
        json_write(&map, out, style);
    }
    arena_fini(&arena);
    return err;
}

// ---- In

struct document_reader {
    const struct value *map;
    struct arena *arena;
    struct problem *problem;
    struct resource_list resources;
};

static enum zkt_err
wrong_type(struct document_reader *reader, const char *name, const char *expected)
{
    const struct value *found = value_get(reader->map, name);
    return problem_set(reader->problem, ZKT_INVALID, "%s: %s, not %s", name,
                       found != NULL ? value_type_name(found) : "missing", expected);
}

static bool
is_absent(const struct document_reader *reader, const char *name)
{
    const struct value *value = value_get(reader->map, name);
    return value == NULL || value->type == VALUE_NULL;
}

static enum zkt_err
read_uid(struct document_reader *reader, const char *name, bool may_be_null, struct uid *out)
{
    *out = (struct uid){0};
    const struct value *text = value_get(reader->map, name);
    if (may_be_null && is_absent(reader, name)) {
        return ZKT_OK;
    }
    if (text == NULL || text->type != VALUE_STRING || !uid_parse(text->text, text->len, out)) {
        return wrong_type(reader, name, "a task uid");
    }
    return ZKT_OK;
}

static enum zkt_err
read_uids(struct document_reader *reader, struct task *task)
{
    enum zkt_err err = read_uid(reader, "uid", false, &task->uid);
    if (err == ZKT_OK) {
        err = read_uid(reader, "root_uid", false, &task->root);
    }
    if (err == ZKT_OK) {
        err = read_uid(reader, "parent_uid", true, &task->parent);
    }
    return err == ZKT_OK ? read_uid(reader, "orig_uid", true, &task->orig) : err;
}

static enum zkt_err
read_names(struct document_reader *reader, struct task_document *out)
{
    const struct value *state = value_get(reader->map, "status");
    if (state == NULL || state->type != VALUE_STRING ||
        !task_state_parse(span_of(state->text, state->len), &out->state)) {
        return wrong_type(reader, "status", "one of Declared, Spawned, Started, Finished, Crashed");
    }
    out->task.priority = PRIORITY_NORMAL;
    const struct value *priority = value_get(reader->map, "priority");
    if (priority != NULL &&
        (priority->type != VALUE_STRING ||
         !priority_parse(span_of(priority->text, priority->len), &out->task.priority))) {
        return wrong_type(reader, "priority", "one of high, normal, low");
    }
    return ZKT_OK;
}

static enum zkt_err
read_outcome(struct document_reader *reader, struct task_document *out)
{
    const struct value *update = value_get(reader->map, "last_update");
    out->has_last_update = !is_absent(reader, "last_update");
    if (out->has_last_update && update->type != VALUE_DOUBLE && update->type != VALUE_INT) {
        return wrong_type(reader, "last_update", "a time or null");
    }
    if (out->has_last_update) {
        out->last_update = update->type == VALUE_INT ? (double)update->integer : update->number;
    }
    out->error = value_null();
    const struct value *error = value_get(reader->map, "error");
    if (is_absent(reader, "error")) {
        return ZKT_OK;
    }
    if (error->type != VALUE_LIST) {
        return wrong_type(reader, "error", "a list of strings or null");
    }
    for (uint32_t line_index = 0; line_index < error->len; line_index++) {
        if (error->items[line_index].type != VALUE_STRING) {
            return problem_set(reader->problem, ZKT_INVALID, "error[%u]: not a string", line_index);
        }
    }
    out->error = *error;
    return ZKT_OK;
}

static enum zkt_err
read_map(struct document_reader *reader, const char *name, struct value *out)
{
    const struct value *map = value_get(reader->map, name);
    if (map == NULL || map->type != VALUE_MAP) {
        return wrong_type(reader, name, "an object");
    }
    *out = *map;
    return ZKT_OK;
}

// headers = {**headers, **headers_persistent} (A1).
static enum zkt_err
read_headers(struct document_reader *reader, const struct value *payload_persistent,
             struct task *task)
{
    enum zkt_err err = read_map(reader, "headers", &task->headers);
    if (err != ZKT_OK) {
        return err;
    }
    const struct value *persistent = value_get(reader->map, "headers_persistent");
    if (persistent == NULL) {
        persistent = value_get(payload_persistent, headers_key);
    }
    task->header_keys = value_list();
    if (persistent == NULL || persistent->type == VALUE_NULL) {
        return ZKT_OK;
    }
    if (persistent->type != VALUE_MAP) {
        return problem_set(reader->problem, ZKT_INVALID, "headers_persistent: not an object");
    }
    if (task->headers.len + persistent->len > LIMIT_HEADERS_COUNT) {
        return problem_set(reader->problem, ZKT_TOO_LARGE, "headers: more than %d",
                           LIMIT_HEADERS_COUNT);
    }
    for (uint32_t member_index = 0; member_index < persistent->len; member_index++) {
        const struct member *member = &persistent->members[member_index];
        value_put_key(reader->arena, &task->headers, member->key, member->value);
        value_append(reader->arena, &task->header_keys, member->key);
    }
    return ZKT_OK;
}

static enum zkt_err
pack_payload(struct document_reader *reader, const char *name, struct value *payload,
             struct span *out)
{
    enum zkt_err err =
        resources_collapse(reader->arena, payload, &reader->resources, reader->problem);
    if (err == ZKT_OK && payload->type != VALUE_MAP) {
        err = problem_set(reader->problem, ZKT_INVALID, "a resource, not an object of payloads");
    }
    if (err != ZKT_OK) {
        problem_in(reader->problem, "%s: ", name);
        return err;
    }
    struct bytes packed = {0};
    msgpack_write_value(payload, &packed);
    *out = span_of(arena_copy(reader->arena, packed.data, packed.len), packed.len);
    bytes_fini(&packed);
    return ZKT_OK;
}

static enum zkt_err
read_bags(struct document_reader *reader, struct task *task)
{
    struct value payload;
    struct value payload_persistent;
    enum zkt_err err = read_map(reader, "payload", &payload);
    if (err == ZKT_OK) {
        err = read_map(reader, "payload_persistent", &payload_persistent);
    }
    if (err == ZKT_OK) {
        err = read_headers(reader, &payload_persistent, task);
    }
    if (err != ZKT_OK) {
        return err;
    }
    value_remove(&payload_persistent, headers_key); // T4
    err = pack_payload(reader, "payload", &payload, &task->payload);
    if (err == ZKT_OK) {
        err = pack_payload(reader, "payload_persistent", &payload_persistent,
                           &task->payload_persistent);
    }
    task->resources = reader->resources.items;
    task->resources_count = reader->resources.len;
    return err;
}

enum zkt_err
task_from_json(struct span text, struct arena *arena, struct task_document *out,
               struct problem *problem)
{
    struct value map;
    *out = (struct task_document){0};
    enum zkt_err err = json_parse(text, arena, &map, problem);
    if (err != ZKT_OK) {
        return err;
    }
    if (map.type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "the document: not an object");
    }
    struct document_reader reader = {.map = &map, .arena = arena, .problem = problem};
    err = read_uids(&reader, &out->task);
    if (err == ZKT_OK) {
        err = read_names(&reader, out);
    }
    if (err == ZKT_OK) {
        err = read_outcome(&reader, out);
    }
    return err == ZKT_OK ? read_bags(&reader, &out->task) : err;
}
