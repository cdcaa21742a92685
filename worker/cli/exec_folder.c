// Folders of tasks, below the scratch folder of the process. A kept folder is moved out.
#include "exec.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scratch.h"
#include "files.h"

enum { NAME_BYTES_MAX = 200, WALK_DEPTH_MAX = 64 };

enum zkt_err
exec_base_open(struct exec_plan *plan, const char *temp, struct problem *problem)
{
    struct scratch scratch;
    enum zkt_err err = scratch_open(temp, "exec", &scratch, problem);
    plan->base = scratch.path;
    plan->base_lock = scratch.lock;
    return err;
}

void
exec_base_close(struct exec_plan *plan)
{
    struct scratch scratch = {.path = plan->base, .lock = plan->base_lock};
    scratch_close(&scratch);
    plan->base = NULL;
    plan->base_lock = -1;
}

void
exec_encode_name(struct bytes *out, const char *key)
{
    size_t start = out->len;
    for (const unsigned char *at = (const unsigned char *)key; *at != '\0'; at++) {
        bool is_leading_dot = *at == '.' && out->len == start;
        bool is_plain = isalnum(*at) || (strchr("._-+@,=~:", *at) != NULL && !is_leading_dot);
        if (is_plain && *at < 0x80) {
            bytes_append_byte(out, *at);
        } else {
            bytes_printf(out, "%%%02X", *at);
        }
    }
}

static enum zkt_err
io_fail(struct exec_task *exec, const char *path)
{
    return zkt_delivery_fail(exec->delivery, "%s: %s", path, strerror(errno));
}

// The name of an input: the encoded key, cut and numbered when it is too long for a file name.
static char *
input_name(const struct exec_task *exec, const char *key)
{
    struct bytes name = {0};
    exec_encode_name(&name, key);
    if (name.len > NAME_BYTES_MAX) {
        name.len = NAME_BYTES_MAX;
        bytes_printf(&name, "~%zu", exec->inputs_count);
    }
    char *text = xstrdup(bytes_text(&name));
    bytes_fini(&name);
    return text;
}

// A resource that was sent as a directory is one again.
static enum zkt_err
place_directory(struct exec_task *exec, struct exec_input *input)
{
    const char *from = NULL;
    enum zkt_err err = zkt_delivery_folder(exec->delivery, input->resource, &from);
    if (err != ZKT_OK) {
        return err;
    }
    // On another filesystem it stays where it is.
    if ((rename(from, input->path) == -1 && symlink(from, input->path) == -1) ||
        stat(input->path, &input->before) == -1) {
        return io_fail(exec, input->path);
    }
    return ZKT_OK;
}

static enum zkt_err
place_file(struct exec_task *exec, struct exec_input *input)
{
    const char *from = NULL;
    enum zkt_err err = zkt_delivery_file(exec->delivery, input->resource, &from);
    if (err != ZKT_OK) {
        return err;
    }
    // A second name costs nothing where the folders share a filesystem.
    if (link(from, input->path) == -1 && !file_copy_path(from, input->path, 0400)) {
        return io_fail(exec, input->path);
    }
    if (chmod(input->path, 0400) == -1 || stat(input->path, &input->before) == -1) {
        return io_fail(exec, input->path);
    }
    return ZKT_OK;
}

static enum zkt_err
add_input(struct exec_task *exec, const char *key, const zkt_resource_t *resource)
{
    exec->inputs = xrealloc(exec->inputs, (exec->inputs_count + 1) * sizeof(*exec->inputs));
    struct exec_input *input = &exec->inputs[exec->inputs_count];
    char *name = input_name(exec, key);
    *input = (struct exec_input){
        .key = xstrdup(key),
        .path = xasprintf("%s/in/%s", exec->folder, name),
        .resource = resource,
    };
    free(name);
    exec->inputs_count++;
    return zkt_resource_is_directory(resource) ? place_directory(exec, input)
                                               : place_file(exec, input);
}

// Walks the payload; key is the way there: "list.0".
static enum zkt_err
add_inputs(struct exec_task *exec, const char *key, const zkt_value_t *value, unsigned depth)
{
    const zkt_resource_t *resource = zkt_value_resource(value);
    if (resource != NULL) {
        return exec_input_find(exec, key) == NULL ? add_input(exec, key, resource) : ZKT_OK;
    }
    enum zkt_type type = zkt_value_type(value);
    if ((type != ZKT_LIST && type != ZKT_MAP) || depth == WALK_DEPTH_MAX) {
        return ZKT_OK;
    }
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; err == ZKT_OK && i < zkt_value_len(value); i++) {
        char number[24];
        snprintf(number, sizeof(number), "%zu", i);
        const char *name = type == ZKT_MAP ? zkt_value_key(value, i) : number;
        char *path = depth == 0 ? xstrdup(name) : xasprintf("%s.%s", key, name);
        err = add_inputs(exec, path, zkt_value_at(value, i), depth + 1);
        free(path);
    }
    return err;
}

enum zkt_err
exec_folder_make(struct exec_task *exec)
{
    exec->folder = xasprintf("%s/%s.XXXXXX", exec->plan->base, zkt_task_uid(exec->task));
    if (mkdtemp(exec->folder) == NULL) {
        return io_fail(exec, exec->folder);
    }
    static const char *const names[] = {"/in", "/out"};
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && err == ZKT_OK; i++) {
        char *path = xasprintf("%s%s", exec->folder, names[i]);
        if (mkdir(path, 0700) == -1) {
            err = io_fail(exec, path);
        }
        free(path);
    }
    if (err == ZKT_OK) {
        char *path = xasprintf("%s/task.json", exec->folder);
        char *json = zkt_task_json(exec->task, 2);
        if (json == NULL || !file_write(path, json, strlen(json), 0600)) {
            err = io_fail(exec, path);
        }
        free(json);
        free(path);
    }
    // The persistent payload is looked at first (A5).
    if (err == ZKT_OK) {
        err = add_inputs(exec, "", zkt_task_persistent_map(exec->task), 0);
    }
    if (err == ZKT_OK) {
        err = add_inputs(exec, "", zkt_task_payload_map(exec->task), 0);
    }
    return err;
}

const struct exec_input *
exec_input_find(const struct exec_task *exec, const char *key)
{
    for (size_t i = 0; i < exec->inputs_count; i++) {
        if (strcmp(exec->inputs[i].key, key) == 0) {
            return &exec->inputs[i];
        }
    }
    return NULL;
}

static void
keep(struct exec_task *exec)
{
    // Beside the base, which goes with this process.
    const char *slash = strrchr(exec->plan->base, '/');
    char *kept = xasprintf("%.*s/zkarton-kept-%s", (int)(slash - exec->plan->base),
                           exec->plan->base, strrchr(exec->folder, '/') + 1);
    if (rename(exec->folder, kept) == 0) {
        zkt_log(exec->delivery, ZKT_INFO, "kept %s", kept);
    } else {
        zkt_log(exec->delivery, ZKT_WARNING, "could not keep %s: %s", kept, strerror(errno));
        tree_remove(exec->folder);
    }
    free(kept);
}

void
exec_folder_close(struct exec_task *exec, bool is_kept)
{
    if (is_kept) {
        keep(exec);
    } else if (!tree_remove(exec->folder)) {
        zkt_log(exec->delivery, ZKT_WARNING, "could not remove %s: %s", exec->folder,
                strerror(errno));
    }
    for (size_t i = 0; i < exec->inputs_count; i++) {
        free(exec->inputs[i].key);
        free(exec->inputs[i].path);
    }
    for (size_t i = 0; i < EXEC_TAIL_LINES; i++) {
        bytes_fini(&exec->tail[i]);
    }
    free(exec->inputs);
    free(exec->folder);
    exec->inputs = NULL;
    exec->folder = NULL;
}
