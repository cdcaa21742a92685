// Tasks and configurations as requests describe them.
#include <stdlib.h>
#include <string.h>

#include "driver.h"

const char *
text_of(const zkt_value_t *request, const char *key, const char *fallback)
{
    return zkt_value_string(zkt_value_get(request, key), fallback);
}

// A copy, with {"$pass": PATH} replaced by the resource of parent.
static zkt_value_t *
convert(const zkt_value_t *value, const zkt_task_t *parent)
{
    const char *passed = text_of(value, "$pass", NULL);
    zkt_value_t *copy = NULL;
    if (passed != NULL && parent != NULL) {
        return zkt_value_from_resource(zkt_task_resource(parent, passed));
    }
    if (zkt_value_type(value) == ZKT_LIST || zkt_value_type(value) == ZKT_MAP) {
        bool is_list = zkt_value_type(value) == ZKT_LIST;
        copy = is_list ? zkt_value_list() : zkt_value_map();
        for (size_t item_index = 0; item_index < zkt_value_len(value); item_index++) {
            zkt_value_t *item = convert(zkt_value_at(value, item_index), parent);
            if (is_list) {
                zkt_value_append(copy, &item);
            } else {
                zkt_value_put(copy, zkt_value_key(value, item_index), &item);
            }
        }
        return copy;
    }
    char *json = zkt_value_json(value);
    copy = zkt_value_from_json(json);
    free(json);
    return copy;
}

// One entry of a payload: a plain value, or a resource in the notation of ../README.md.
static void
set_entry(zkt_task_t *task, const char *key, const zkt_value_t *value, const zkt_task_t *parent)
{
    const zkt_value_t *text = zkt_value_get(value, "$text");
    const zkt_value_t *file = zkt_value_get(value, "$file");
    const zkt_value_t *folder = zkt_value_get(value, "$directory");
    if (text != NULL) {
        const char *content = text_of(text, "text", "");
        zkt_task_set_data(task, key, text_of(text, "name", ""), content, strlen(content));
    } else if (file != NULL) {
        zkt_task_set_file_as(task, key, text_of(file, "name", ""), text_of(file, "path", ""));
    } else if (folder != NULL) {
        zkt_task_set_directory(task, key, text_of(folder, "path", ""));
    } else if (text_of(value, "$pass", NULL) != NULL && parent != NULL) {
        zkt_task_set_resource(task, key, zkt_task_resource(parent, text_of(value, "$pass", "")));
    } else {
        zkt_value_t *copy = convert(value, parent);
        zkt_task_set_value(task, key, &copy);
    }
}

static void
set_payload(zkt_task_t *task, const zkt_value_t *map, const zkt_task_t *parent, bool persistent)
{
    for (size_t item_index = 0; item_index < zkt_value_len(map); item_index++) {
        const char *key = zkt_value_key(map, item_index);
        set_entry(task, key, zkt_value_at(map, item_index), parent);
        if (persistent) {
            zkt_task_persist(task, key);
        }
    }
}

static void
set_headers(zkt_task_t *task, const zkt_value_t *map, bool persistent)
{
    for (size_t item_index = 0; item_index < zkt_value_len(map); item_index++) {
        const char *name = zkt_value_key(map, item_index);
        char *json = zkt_value_json(zkt_value_at(map, item_index));
        zkt_task_set_header_json(task, name, json);
        free(json);
        if (persistent) {
            zkt_task_persist_header(task, name);
        }
    }
}

static enum zkt_priority
priority_of(const char *name)
{
    if (strcmp(name, "high") == 0) {
        return ZKT_HIGH;
    }
    return strcmp(name, "low") == 0 ? ZKT_LOW : ZKT_NORMAL;
}

zkt_task_t *
build_task(const zkt_value_t *request, const zkt_task_t *parent)
{
    const zkt_value_t *document = zkt_value_get(request, "task");
    if (zkt_value_bool(zkt_value_get(document, "as_document"), false)) {
        char *json = zkt_value_json(document);
        zkt_task_t *whole = zkt_task_from_json(json);
        free(json);
        return whole;
    }
    bool derived = zkt_value_bool(zkt_value_get(document, "derive"), false);
    zkt_task_t *task = derived ? zkt_task_derive(parent, NULL) : zkt_task_new(NULL);
    set_headers(task, zkt_value_get(document, "headers"), false);
    set_headers(task, zkt_value_get(document, "headers_persistent"), true);
    set_payload(task, zkt_value_get(document, "payload"), parent, false);
    set_payload(task, zkt_value_get(document, "payload_persistent"), parent, true);
    const char *priority = text_of(document, "priority", NULL);
    if (priority != NULL) {
        zkt_task_set_priority(task, priority_of(priority));
    }
    return task;
}

zkt_config_t *
build_config(const zkt_value_t *request)
{
    zkt_config_t *config = NULL;
    enum zkt_err err = zkt_config_load(NULL, &config);
    const zkt_value_t *sections = zkt_value_get(request, "config");
    for (size_t index = 0; err == ZKT_OK && index < zkt_value_len(sections); index++) {
        const zkt_value_t *section = zkt_value_at(sections, index);
        for (size_t item_index = 0; item_index < zkt_value_len(section); item_index++) {
            zkt_config_set(config, zkt_value_key(sections, index),
                           zkt_value_key(section, item_index),
                           zkt_value_string(zkt_value_at(section, item_index), ""));
        }
    }
    if (err != ZKT_OK || zkt_config_error(config) != NULL) {
        answer_error(request, ZKT_CONFIG_INVALID, zkt_config_error(config));
        zkt_config_destroy(&config);
    }
    return config;
}
