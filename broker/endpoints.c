#include "endpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/value.h"
#include "wire/json.h"

static void
render(const struct endpoints *endpoints, struct bytes *out)
{
    struct arena arena;
    arena_init(&arena);
    struct value map = value_map();
    value_put(&arena, &map, "broker", value_text(&arena, endpoints->broker));
    value_put(&arena, &map, "events", value_text(&arena, endpoints->events));
    value_put(&arena, &map, "http", value_text(&arena, endpoints->http));
    value_put(&arena, &map, "objects", value_text(&arena, endpoints->objects));
    value_put(&arena, &map, "pid", value_int(endpoints->pid));
    json_write(&map, out, JSON_DEFAULT);
    bytes_append_byte(out, '\n');
    arena_fini(&arena);
}

static bool
write_file(const char *path, struct span content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd == -1) {
        return false;
    }
    bool is_written = write(fd, content.data, content.len) == (ssize_t)content.len;
    return close(fd) == 0 && is_written;
}

enum zkt_err
endpoints_write(const char *data_path, const struct endpoints *endpoints, struct problem *problem)
{
    struct bytes content = {0};
    render(endpoints, &content);
    char *path = xasprintf("%s/endpoints.json", data_path);
    char *aside = xasprintf("%s/endpoints.json.new", data_path);
    enum zkt_err err = ZKT_OK;
    if (!write_file(aside, bytes_span(&content)) || rename(aside, path) == -1) {
        err = problem_set(problem, ZKT_IO, "%s: %s", path, strerror(errno));
    }
    bytes_fini(&content);
    free(path);
    free(aside);
    return err;
}

enum zkt_err
endpoints_may_move(const char *data_path, struct problem *problem)
{
    char text[4096];
    struct arena arena;
    struct value map;
    enum zkt_err err = ZKT_OK;
    char *path = xasprintf("%s/endpoints.json", data_path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd != -1 ? read(fd, text, sizeof text) : -1;
    arena_init(&arena);
    if (len > 0 && json_parse(span_of(text, (size_t)len), &arena, &map, NULL) == ZKT_OK) {
        const struct value *pid = value_get(&map, "pid");
        const struct value *objects = value_get(&map, "objects");
        bool runs = pid != NULL && pid->type == VALUE_INT && kill((pid_t)pid->integer, 0) == 0;
        if (runs && (objects == NULL || !value_is_text(objects, ENDPOINTS_MOVING))) {
            err = problem_set(problem, ZKT_IN_USE,
                              "the broker with pid %" PRId64 " would not find what is moved. Start "
                              "it again with [object] kind = s3 and migrate_from = dir",
                              pid->integer);
        }
    }
    if (fd != -1) {
        close(fd);
    }
    arena_fini(&arena);
    free(path);
    return err;
}

void
endpoints_remove(const char *data_path)
{
    char *path = xasprintf("%s/endpoints.json", data_path);
    unlink(path);
    free(path);
}
