// Getters of tasks.
#include <string.h>

#include "handles.h"

static const char *
uid_text(const zkt_task_t *task, const struct uid *uid, size_t text_index)
{
    if (uid_is_none(uid)) {
        return NULL;
    }
    // Written where it lives with the task; the same text every time.
    char *text = (char *)(uintptr_t)task->texts[text_index];
    uid_format(uid, text);
    return text;
}

const char *
zkt_task_error(const zkt_task_t *task)
{
    return task->error;
}

const char *
zkt_task_uid(const zkt_task_t *task)
{
    task_name(task, NULL);
    return uid_text(task, &task->model.uid, 0);
}

const char *
zkt_task_root_uid(const zkt_task_t *task)
{
    task_name(task, NULL);
    return uid_text(task, &task->model.root, 1);
}

const char *
zkt_task_parent_uid(const zkt_task_t *task)
{
    return uid_text(task, &task->model.parent, 2);
}

const char *
zkt_task_orig_uid(const zkt_task_t *task)
{
    return uid_text(task, &task->model.orig, 3);
}

enum zkt_priority
zkt_task_priority(const zkt_task_t *task)
{
    if (task->model.priority == PRIORITY_HIGH) {
        return ZKT_HIGH;
    }
    return task->model.priority == PRIORITY_LOW ? ZKT_LOW : ZKT_NORMAL;
}

const zkt_value_t *
zkt_task_headers(const zkt_task_t *task)
{
    return value_public(&task->model.headers);
}

const zkt_value_t *
zkt_task_header_value(const zkt_task_t *task, const char *name)
{
    return value_public(value_get(&task->model.headers, name));
}

const char *
zkt_task_header(const zkt_task_t *task, const char *name)
{
    const struct value *value = value_get(&task->model.headers, name);
    return value != NULL && value->type == VALUE_STRING ? value->text : NULL;
}

const zkt_value_t *
zkt_task_payload(const zkt_task_t *task, const char *path)
{
    if (path == NULL || !task_load(task)) {
        return NULL;
    }
    const struct value *value = value_path(&task->payload_persistent, path);
    return value_public(value != NULL ? value : value_path(&task->payload, path));
}

const zkt_value_t *
zkt_task_payload_map(const zkt_task_t *task)
{
    return task_load(task) ? value_public(&task->payload) : NULL;
}

const zkt_value_t *
zkt_task_persistent_map(const zkt_task_t *task)
{
    return task_load(task) ? value_public(&task->payload_persistent) : NULL;
}

const zkt_resource_t *
zkt_task_resource(const zkt_task_t *task, const char *path)
{
    return zkt_value_resource(zkt_task_payload(task, path));
}

size_t
zkt_task_resources_count(const zkt_task_t *task)
{
    return task_load(task) ? task->resources.count : 0;
}

const zkt_resource_t *
zkt_task_resource_at(const zkt_task_t *task, size_t resource_index)
{
    return resource_index < zkt_task_resources_count(task) ? task->resources.items[resource_index]
                                                           : NULL;
}
