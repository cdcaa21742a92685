// Rows of tasks in answers: the broker hands payload bags on as they are stored, packed, with their
// resources beside them. Here they become values.
#include "client.h"
#include "handles.h"
#include "wire/msgpack_value.h"

static void
take_resources(const struct value *list, struct resource_list *resources)
{
    for (uint32_t item_index = 0;
         list != NULL && list->type == VALUE_LIST && item_index < list->len; item_index++) {
        const struct value *item = &list->items[item_index];
        const struct value *inner = value_get(item, "__karton_resource__");
        struct zkt_resource *resource = resource_from_document(inner != NULL ? inner : item);
        if (resource == NULL) {
            return; // indexes behind it would be wrong
        }
        resource_list_add(resources, resource);
        resource_unref(&resource);
    }
}

static void
open_bag(struct owned_value *owned, struct value *row, const char *key,
         const struct resource_list *resources)
{
    const struct value *packed = value_get(row, key);
    struct value bag;
    struct problem problem;
    if (packed == NULL || packed->type != VALUE_STRING) {
        return;
    }
    if (packed->len == 0) {
        bag = value_map();
    } else if (msgpack_parse_value(span_of(packed->text, packed->len), &owned->arena, &bag,
                                   &problem) != ZKT_OK ||
               !point_resources(&bag, resources)) {
        bag = value_null(); // damaged: shown as such
    }
    value_put(&owned->arena, row, key, bag);
}

void
row_open(struct owned_value *owned, struct value *row)
{
    struct resource_list resources = {0};
    if (row->type != VALUE_MAP) {
        return;
    }
    take_resources(value_get(row, "resources"), &resources);
    open_bag(owned, row, "payload", &resources);
    open_bag(owned, row, "payload_persistent", &resources);
    resource_list_adopt(&owned->resources, &resources);
}
