// Resources inside documents. The depth of a value is bounded where it was read, so these recurse.
#include <string.h>

#include "base/hex.h"
#include "base/limits.h"
#include "wire/task_json.h"

static const char resource_key[] = "__karton_resource__";

// ---- Out

static struct value
hex_text(struct arena *arena, const uint8_t *data, size_t len)
{
    char *text = arena_alloc(arena, 2 * len + 1);
    hex_format(data, len, text);
    return (struct value){.type = VALUE_STRING, .len = (uint32_t)(2 * len), .text = text};
}

static struct value
resource_value(struct arena *arena, const struct resource *resource)
{
    char *uid = arena_alloc(arena, UID_TEXT_SIZE);
    uid_format(&resource->uid, uid);
    struct value metadata =
        resource->metadata.type == VALUE_MAP ? value_copy(arena, &resource->metadata) : value_map();
    if (resource->has_sha256) {
        value_put(arena, &metadata, "sha256",
                  hex_text(arena, resource->sha256, sizeof resource->sha256));
    }
    if (value_get(&metadata, "sha256") == NULL) {
        value_put(arena, &metadata, "sha256", value_null()); // as Karton does
    }
    const struct value *sha256 = value_get(&metadata, "sha256");
    struct value flags = value_list();
    if ((resource->flags & RESOURCE_DIRECTORY) != 0) {
        value_append(arena, &flags, value_text(arena, "Directory"));
    }
    struct value size = resource->size >= 0 ? value_int(resource->size) : value_null();
    struct value map = value_map();
    value_put(arena, &map, "uid", value_text(arena, uid));
    value_put(arena, &map, "name", value_string(arena, resource->name.data, resource->name.len));
    value_put(arena, &map, "bucket",
              value_string(arena, resource->bucket.data, resource->bucket.len));
    value_put(arena, &map, "size", size);
    value_put(arena, &map, "metadata", metadata);
    value_put(arena, &map, "flags", flags);
    value_put(arena, &map, "sha256", *sha256);
    struct value outer = value_map();
    value_put(arena, &outer, resource_key, map);
    return outer;
}

bool
resources_expand(struct arena *arena, struct value *value, const struct resource *resources,
                 size_t resources_count)
{
    bool is_whole = true;
    switch (value->type) {
    case VALUE_RESOURCE:
        if (value->resource_index >= resources_count) {
            return false;
        }
        *value = resource_value(arena, &resources[value->resource_index]);
        break;
    case VALUE_LIST:
        for (uint32_t item_index = 0; is_whole && item_index < value->len; item_index++) {
            is_whole =
                resources_expand(arena, &value->items[item_index], resources, resources_count);
        }
        break;
    case VALUE_MAP:
        for (uint32_t member_index = 0; is_whole && member_index < value->len; member_index++) {
            is_whole = resources_expand(arena, &value->members[member_index].value, resources,
                                        resources_count);
        }
        break;
    default:
        break;
    }
    return is_whole;
}

// ---- In

static int
hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

static bool
parse_sha256(const struct value *text, uint8_t sha256[32])
{
    if (text == NULL || text->type != VALUE_STRING || text->len != 64) {
        return false;
    }
    for (size_t byte_index = 0; byte_index < 32; byte_index++) {
        int high = hex_digit(text->text[2 * byte_index]);
        int low = hex_digit(text->text[2 * byte_index + 1]);
        if (high == -1 || low == -1) {
            return false;
        }
        sha256[byte_index] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static enum zkt_err
read_text(const struct value *map, const char *key, struct span *out, struct problem *problem)
{
    const struct value *text = value_get(map, key);
    if (text == NULL || text->type != VALUE_STRING) {
        return problem_set(problem, ZKT_INVALID, "%s.%s: not a string", resource_key, key);
    }
    if (text->len > LIMIT_RESOURCE_NAME_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE, "%s.%s: %u bytes, limit %d", resource_key, key,
                           text->len, LIMIT_RESOURCE_NAME_BYTES);
    }
    *out = span_of(text->text, text->len);
    return ZKT_OK;
}

static bool
is_absent(const struct value *value)
{
    return value == NULL || value->type == VALUE_NULL;
}

// The top-level sha256 goes over that of the metadata (T2). A hash in another form than 64 hex
// digits stays in the metadata as it is.
static void
read_sha256(struct arena *arena, const struct value *map, struct resource *out)
{
    const struct value *sha256 = value_get(map, "sha256");
    if (sha256 != NULL) {
        value_put(arena, &out->metadata, "sha256", *sha256);
    }
    out->has_sha256 = parse_sha256(value_get(&out->metadata, "sha256"), out->sha256);
    const struct value *left = value_get(&out->metadata, "sha256");
    if (out->has_sha256 || (left != NULL && left->type == VALUE_NULL)) {
        value_remove(&out->metadata, "sha256");
    }
}

static enum zkt_err
read_resource(struct arena *arena, const struct value *map, struct resource *out,
              struct problem *problem)
{
    struct span uid;
    *out = (struct resource){.size = -1, .metadata = value_map()};
    enum zkt_err err = read_text(map, "uid", &uid, problem);
    if (err == ZKT_OK) {
        err = read_text(map, "name", &out->name, problem);
    }
    if (err == ZKT_OK) {
        err = read_text(map, "bucket", &out->bucket, problem);
    }
    if (err != ZKT_OK) {
        return err;
    }
    if (uid.len != UID_TEXT_SIZE - 1 || !uid_parse((const char *)uid.data, uid.len, &out->uid)) {
        return problem_set(problem, ZKT_INVALID, "%s.uid: not a UUID", resource_key);
    }
    const struct value *size = value_get(map, "size");
    if (!is_absent(size) && (size->type != VALUE_INT || size->integer < 0)) {
        return problem_set(problem, ZKT_INVALID, "%s.size: not a size or null", resource_key);
    }
    out->size = is_absent(size) ? -1 : size->integer;
    const struct value *metadata = value_get(map, "metadata");
    if (!is_absent(metadata) && metadata->type != VALUE_MAP) {
        return problem_set(problem, ZKT_INVALID, "%s.metadata: not an object", resource_key);
    }
    if (!is_absent(metadata)) {
        out->metadata = value_copy(arena, metadata);
    }
    const struct value *flags = value_get(map, "flags");
    for (uint32_t flag_index = 0;
         flags != NULL && flags->type == VALUE_LIST && flag_index < flags->len; flag_index++) {
        out->flags |=
            value_is_text(&flags->items[flag_index], "Directory") ? RESOURCE_DIRECTORY : 0;
    }
    read_sha256(arena, map, out);
    return ZKT_OK;
}

static bool
is_same(const struct resource *a, const struct resource *b)
{
    return uid_equal(&a->uid, &b->uid) && span_equal(a->name, b->name) &&
           span_equal(a->bucket, b->bucket) && a->size == b->size && a->flags == b->flags &&
           a->has_sha256 == b->has_sha256 &&
           (!a->has_sha256 || memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0) &&
           value_same(&a->metadata, &b->metadata);
}

static enum zkt_err
collapse_one(struct arena *arena, const struct value *map, struct resource_list *list,
             struct value *out, struct problem *problem)
{
    struct resource resource;
    enum zkt_err err = read_resource(arena, map, &resource, problem);
    if (err != ZKT_OK) {
        return err;
    }
    for (size_t resource_index = 0; resource_index < list->len; resource_index++) {
        if (is_same(&list->items[resource_index], &resource)) {
            *out = value_resource((uint32_t)resource_index);
            return ZKT_OK;
        }
    }
    if (list->len == LIMIT_RESOURCES_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE, "more than %d resources", LIMIT_RESOURCES_COUNT);
    }
    if ((list->len & (list->len - 1)) == 0) {
        size_t capacity = list->len > 0 ? list->len * 2 : 1;
        struct resource *moved = arena_alloc(arena, capacity * sizeof *moved);
        if (list->len > 0) {
            memcpy(moved, list->items, list->len * sizeof *moved);
        }
        list->items = moved;
    }
    *out = value_resource((uint32_t)list->len);
    list->items[list->len++] = resource;
    return ZKT_OK;
}

enum zkt_err
resources_collapse(struct arena *arena, struct value *value, struct resource_list *list,
                   struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    const struct value *inner = value_get(value, resource_key);
    if (inner != NULL) {
        return collapse_one(arena, inner, list, value, problem);
    }
    uint32_t len = value->type == VALUE_LIST || value->type == VALUE_MAP ? value->len : 0;
    for (uint32_t child_index = 0; err == ZKT_OK && child_index < len; child_index++) {
        struct value *child = value->type == VALUE_LIST ? &value->items[child_index]
                                                        : &value->members[child_index].value;
        err = resources_collapse(arena, child, list, problem);
    }
    return err;
}
