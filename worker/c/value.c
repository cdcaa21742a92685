// Values: the public face of struct value. What an application makes owns an arena; appending moves
// the item's arena over, so nothing is copied.
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "handles.h"
#include "wire/json.h"

struct owned_value *
owned_value_new(void)
{
    struct owned_value *owned = xcalloc(1, sizeof *owned);
    arena_init(&owned->arena);
    return owned;
}

const struct zkt_value *
value_public(const struct value *value)
{
    return (const struct zkt_value *)value;
}

const struct value *
value_private(const struct zkt_value *value)
{
    return (const struct value *)value;
}

static struct owned_value *
owner(struct zkt_value *value)
{
    return (struct owned_value *)value;
}

static struct zkt_value *
public_of(struct owned_value *owned)
{
    return (struct zkt_value *)owned;
}

struct value
value_of_resource(const struct zkt_resource *resource)
{
    return (struct value){.type = VALUE_RESOURCE, .text = (const char *)resource};
}

const struct zkt_resource *
resource_of_value(const struct value *value)
{
    return value != NULL && value->type == VALUE_RESOURCE
               ? (const struct zkt_resource *)(const void *)value->text
               : NULL;
}

zkt_value_t *
zkt_value_list(void)
{
    struct owned_value *owned = owned_value_new();
    owned->value = value_list();
    return public_of(owned);
}

zkt_value_t *
zkt_value_map(void)
{
    struct owned_value *owned = owned_value_new();
    owned->value = value_map();
    return public_of(owned);
}

zkt_value_t *
zkt_value_from_json(const char *json)
{
    struct owned_value *owned = owned_value_new();
    struct problem problem;
    if (json == NULL ||
        json_parse(span_of_text(json), &owned->arena, &owned->value, &problem) != ZKT_OK) {
        arena_fini(&owned->arena);
        free(owned);
        return NULL;
    }
    return public_of(owned);
}

zkt_value_t *
zkt_value_from_resource(const zkt_resource_t *resource)
{
    struct owned_value *owned = owned_value_new();
    if (resource != NULL) {
        resource_list_add(&owned->resources, resource);
        owned->value = value_of_resource(resource);
    }
    return public_of(owned);
}

zkt_value_t *
zkt_value_from_resource_uid(const char *uid)
{
    struct resource model = {.size = -1};
    if (uid == NULL || !uid_parse(uid, strlen(uid), &model.uid)) {
        return NULL;
    }
    struct zkt_resource *resource = resource_new(&model);
    zkt_value_t *value = zkt_value_from_resource(resource);
    resource_unref(&resource);
    return value;
}

void
zkt_value_append(zkt_value_t *list, zkt_value_t **item_p)
{
    struct owned_value *target = owner(list);
    struct owned_value *item = owner(*item_p);
    *item_p = NULL;
    if (item == NULL) {
        return;
    }
    if (target != NULL && target->value.type == VALUE_LIST) {
        value_append(&target->arena, &target->value, item->value);
        arena_adopt(&target->arena, &item->arena);
        resource_list_adopt(&target->resources, &item->resources);
    }
    zkt_value_t *rest = public_of(item);
    zkt_value_destroy(&rest);
}

void
zkt_value_put(zkt_value_t *map, const char *key, zkt_value_t **item_p)
{
    struct owned_value *target = owner(map);
    struct owned_value *item = owner(*item_p);
    *item_p = NULL;
    if (item == NULL) {
        return;
    }
    if (target != NULL && target->value.type == VALUE_MAP && key != NULL) {
        value_put(&target->arena, &target->value, key, item->value);
        arena_adopt(&target->arena, &item->arena);
        resource_list_adopt(&target->resources, &item->resources);
    }
    zkt_value_t *rest = public_of(item);
    zkt_value_destroy(&rest);
}

void
zkt_value_destroy(zkt_value_t **value_p)
{
    struct owned_value *owned = owner(*value_p);
    *value_p = NULL;
    if (owned == NULL) {
        return;
    }
    resource_list_fini(&owned->resources);
    arena_fini(&owned->arena);
    free(owned);
}

enum zkt_type
zkt_value_type(const zkt_value_t *value)
{
    _Static_assert((int)ZKT_RESOURCE == (int)VALUE_RESOURCE, "the public types are ours");
    _Static_assert((int)ZKT_DOUBLE == (int)VALUE_DOUBLE, "the public types are ours");
    return value == NULL ? ZKT_NULL : (enum zkt_type)value_private(value)->type;
}

const char *
zkt_value_string(const zkt_value_t *value, const char *fallback)
{
    enum zkt_type type = zkt_value_type(value);
    return type == ZKT_STRING || type == ZKT_BIGINT ? value_private(value)->text : fallback;
}

int64_t
zkt_value_int(const zkt_value_t *value, int64_t fallback)
{
    return zkt_value_type(value) == ZKT_INT ? value_private(value)->integer : fallback;
}

double
zkt_value_double(const zkt_value_t *value, double fallback)
{
    if (zkt_value_type(value) == ZKT_INT) {
        return (double)value_private(value)->integer;
    }
    return zkt_value_type(value) == ZKT_DOUBLE ? value_private(value)->number : fallback;
}

bool
zkt_value_bool(const zkt_value_t *value, bool fallback)
{
    return zkt_value_type(value) == ZKT_BOOL ? value_private(value)->boolean : fallback;
}

size_t
zkt_value_len(const zkt_value_t *value)
{
    enum zkt_type type = zkt_value_type(value);
    bool has_len = type == ZKT_STRING || type == ZKT_LIST || type == ZKT_MAP || type == ZKT_BIGINT;
    return has_len ? value_private(value)->len : 0;
}

const zkt_value_t *
zkt_value_at(const zkt_value_t *value, size_t item_index)
{
    enum zkt_type type = zkt_value_type(value);
    if ((type != ZKT_LIST && type != ZKT_MAP) || item_index >= value_private(value)->len) {
        return NULL;
    }
    const struct value *inner = value_private(value);
    return value_public(type == ZKT_LIST ? &inner->items[item_index]
                                         : &inner->members[item_index].value);
}

const char *
zkt_value_key(const zkt_value_t *map, size_t item_index)
{
    if (zkt_value_type(map) != ZKT_MAP || item_index >= value_private(map)->len) {
        return NULL;
    }
    return value_private(map)->members[item_index].key.text;
}

const zkt_value_t *
zkt_value_get(const zkt_value_t *map, const char *path)
{
    return map == NULL || path == NULL ? NULL : value_public(value_path(value_private(map), path));
}

const zkt_resource_t *
zkt_value_resource(const zkt_value_t *value)
{
    return resource_of_value(value_private(value));
}
