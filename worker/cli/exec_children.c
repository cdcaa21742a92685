// What a command left in out/: documents {"headers", "payload", "headers_persistent",
// "payload_persistent", "persistent": [names], "derive": bool}, one child each. A payload value
// {"$file": PATH, "name": NAME?} becomes a resource: by reference when PATH is an input that the
// command did not change, else uploaded.
#include "exec.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/memory.h"
#include "send_spec.h"

struct child {
    struct exec_task *exec;
    const char *name; // of the document, for messages
    zkt_task_t *task;
};

// The unchanged input that this path is, or NULL.
static const struct exec_input *
find_unchanged(const struct exec_task *exec, const struct stat *status)
{
    for (size_t i = 0; i < exec->inputs_count; i++) {
        const struct stat *before = &exec->inputs[i].before;
        if (before->st_ino == status->st_ino && before->st_dev == status->st_dev &&
            before->st_size == status->st_size &&
            before->st_mtim.tv_sec == status->st_mtim.tv_sec &&
            before->st_mtim.tv_nsec == status->st_mtim.tv_nsec) {
            return &exec->inputs[i];
        }
    }
    return NULL;
}

static enum zkt_err
set_file(struct child *child, const char *key, const zkt_value_t *value)
{
    const char *text = zkt_value_string(zkt_value_get(value, "$file"), NULL);
    const char *name = zkt_value_string(zkt_value_get(value, "name"), NULL);
    struct exec_task *exec = child->exec;
    struct stat status;
    if (text == NULL) {
        return zkt_delivery_fail(exec->delivery, "out/%s: payload.%s.$file: not a path",
                                 child->name, key);
    }
    char *path = text[0] == '/' ? xstrdup(text) : xasprintf("%s/%s", exec->folder, text);
    enum zkt_err err = ZKT_OK;
    if (stat(path, &status) == -1) {
        err = zkt_delivery_fail(exec->delivery, "out/%s: payload.%s: %s: %s", child->name, key,
                                text, strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        zkt_task_set_directory(child->task, key, path);
    } else {
        const struct exec_input *input = name == NULL ? find_unchanged(exec, &status) : NULL;
        if (input != NULL) {
            zkt_task_set_resource(child->task, key, input->resource);
        } else {
            const char *slash = strrchr(text, '/');
            const char *base = slash != NULL ? slash + 1 : text;
            zkt_task_set_file_as(child->task, key, name != NULL ? name : base, path);
        }
    }
    free(path);
    return err;
}

// A file inside a list or a map has no setter: say so instead of sending the words.
static enum zkt_err
refuse_nested(struct child *child, const char *key, const zkt_value_t *value, unsigned depth)
{
    enum zkt_type type = zkt_value_type(value);
    enum zkt_err err = ZKT_OK;
    if ((type != ZKT_MAP && type != ZKT_LIST) || depth > LIMIT_VALUE_DEPTH) {
        return ZKT_OK;
    }
    if (type == ZKT_MAP && zkt_value_get(value, "$file") != NULL) {
        return zkt_delivery_fail(child->exec->delivery,
                                 "out/%s: payload.%s: $file stands directly under a key of the "
                                 "payload",
                                 child->name, key);
    }
    for (size_t i = 0; err == ZKT_OK && i < zkt_value_len(value); i++) {
        err = refuse_nested(child, key, zkt_value_at(value, i), depth + 1);
    }
    return err;
}

static enum zkt_err
set_payload(struct child *child, const zkt_value_t *payload, bool is_persistent)
{
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; err == ZKT_OK && i < zkt_value_len(payload); i++) {
        const char *key = zkt_value_key(payload, i);
        const zkt_value_t *value = zkt_value_at(payload, i);
        if (zkt_value_get(value, "$file") != NULL) {
            err = set_file(child, key, value);
        } else {
            err = refuse_nested(child, key, value, 0);
            char *json = zkt_value_json(value);
            zkt_task_set_json(child->task, key, json);
            free(json);
        }
        if (is_persistent) {
            zkt_task_persist(child->task, key);
        }
    }
    return err;
}

static void
set_headers(struct child *child, const zkt_value_t *headers, bool is_persistent)
{
    for (size_t i = 0; i < zkt_value_len(headers); i++) {
        const char *name = zkt_value_key(headers, i);
        char *json = zkt_value_json(zkt_value_at(headers, i));
        zkt_task_set_header_json(child->task, name, json);
        free(json);
        if (is_persistent) {
            zkt_task_persist_header(child->task, name);
        }
    }
}

// Every member of the document that we know has to be of its type; others are left alone.
static enum zkt_err
check_types(struct child *child, const zkt_value_t *document)
{
    static const struct {
        const char *name;
        enum zkt_type type;
    } rows[] = {{"headers", ZKT_MAP},
                {"payload", ZKT_MAP},
                {"headers_persistent", ZKT_MAP},
                {"payload_persistent", ZKT_MAP},
                {"persistent", ZKT_LIST},
                {"derive", ZKT_BOOL}};
    if (zkt_value_type(document) != ZKT_MAP) {
        return zkt_delivery_fail(child->exec->delivery, "out/%s: no JSON object", child->name);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const zkt_value_t *value = zkt_value_get(document, rows[i].name);
        if (value != NULL && zkt_value_type(value) != rows[i].type) {
            return zkt_delivery_fail(child->exec->delivery, "out/%s: %s has the wrong type",
                                     child->name, rows[i].name);
        }
    }
    return ZKT_OK;
}

static enum zkt_err
persist(struct child *child, const zkt_value_t *names)
{
    for (size_t i = 0; i < zkt_value_len(names); i++) {
        const char *name = zkt_value_string(zkt_value_at(names, i), "");
        if (!persist_named(child->task, name) && zkt_task_error(child->task) == NULL) {
            return zkt_delivery_fail(child->exec->delivery,
                                     "out/%s: persistent \"%s\": no header and no payload of "
                                     "that name",
                                     child->name, name);
        }
    }
    return ZKT_OK;
}

static enum zkt_err
send_child(struct child *child)
{
    const char *mistake = zkt_task_error(child->task);
    if (mistake != NULL) {
        return zkt_delivery_fail(child->exec->delivery, "out/%s: %s", child->name, mistake);
    }
    return zkt_delivery_post(child->exec->delivery, &child->task);
}

static enum zkt_err
send_document(struct child *child, const zkt_value_t *document)
{
    enum zkt_err err = check_types(child, document);
    if (err != ZKT_OK) {
        return err;
    }
    bool is_derived = zkt_value_bool(zkt_value_get(document, "derive"), false);
    child->task = is_derived ? zkt_task_derive(child->exec->task, NULL) : zkt_task_new(NULL);
    set_headers(child, zkt_value_get(document, "headers"), false);
    set_headers(child, zkt_value_get(document, "headers_persistent"), true);
    err = set_payload(child, zkt_value_get(document, "payload"), false);
    if (err == ZKT_OK) {
        err = set_payload(child, zkt_value_get(document, "payload_persistent"), true);
    }
    if (err == ZKT_OK) {
        err = persist(child, zkt_value_get(document, "persistent"));
    }
    if (err == ZKT_OK) {
        err = send_child(child);
    }
    zkt_task_destroy(&child->task);
    return err;
}

// The whole file for the caller to free; NULL: errno tells.
static char *
read_document(const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    if (file == NULL) {
        return NULL;
    }
    char *text = NULL;
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode)) {
        if (status.st_size > LIMIT_JSON_BYTES) {
            errno = EFBIG;
        } else {
            size_t size = (size_t)status.st_size;
            text = xcalloc(1, size + 1);
            text[fread(text, 1, size, file)] = '\0';
        }
    } else {
        errno = EINVAL;
    }
    int saved = errno;
    fclose(file);
    errno = saved;
    return text;
}

static enum zkt_err
send_file(struct exec_task *exec, const char *name)
{
    struct child child = {.exec = exec, .name = name};
    char *path = xasprintf("%s/out/%s", exec->folder, name);
    char *text = read_document(path);
    free(path);
    if (text == NULL) {
        return zkt_delivery_fail(exec->delivery, "out/%s: %s", name, strerror(errno));
    }
    zkt_value_t *document = zkt_value_from_json(text);
    enum zkt_err err = send_document(&child, document);
    zkt_value_destroy(&document);
    free(text);
    return err;
}

static enum zkt_err
send_output(struct exec_task *exec)
{
    struct child child = {.exec = exec, .name = "--emit", .task = zkt_task_new(NULL)};
    for (size_t i = 0; i < exec->plan->emits_count; i++) {
        const struct word *word = &exec->plan->emits[i];
        if (word->is_json) {
            zkt_task_set_header_json(child.task, word->key, word->value);
        } else {
            zkt_task_set_header(child.task, word->key, word->value);
        }
    }
    char *path = xasprintf("%s/out/.output", exec->folder);
    zkt_task_set_file_as(child.task, "output", "output", path);
    free(path);
    enum zkt_err err = send_child(&child);
    zkt_task_destroy(&child.task);
    return err;
}

// Hidden files are still being written, and *.json alone are children.
static int
is_document(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum zkt_err
exec_send_children(struct exec_task *exec)
{
    char *path = xasprintf("%s/out", exec->folder);
    struct dirent **entries = NULL;
    int entries_count = scandir(path, &entries, is_document, by_name);
    enum zkt_err err = ZKT_OK;
    if (entries_count == -1) {
        err = zkt_delivery_fail(exec->delivery, "out: %s", strerror(errno));
    }
    for (int i = 0; i < entries_count; i++) {
        if (err == ZKT_OK) {
            err = send_file(exec, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    free(path);
    if (err == ZKT_OK && exec->plan->emits_count > 0) {
        err = send_output(exec);
    }
    return err;
}
