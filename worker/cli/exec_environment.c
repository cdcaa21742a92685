// The environment of a command: ours without ZKT_*, the identifiers of the task, and the scalars of
// headers and payload as ZKT_H_NAME and ZKT_P_NAME. Two names that look alike in capitals are both
// left out: task.json is the truth.
#include "exec.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum { VARIABLE_BYTES_MAX = 32 << 10, SCALARS_BYTES_MAX = 256 << 10 };

struct environment {
    char **rows; // owned, NULL-ended
    size_t rows_count;
    size_t scalars_bytes;
};

static void
add_row(struct environment *environment, char *row)
{
    environment->rows = xrealloc(environment->rows, (environment->rows_count + 2) * sizeof(char *));
    environment->rows[environment->rows_count++] = row;
    environment->rows[environment->rows_count] = NULL;
}

static void
add(struct environment *environment, const char *name, const char *value)
{
    if (value != NULL) {
        add_row(environment, xasprintf("%s=%s", name, value));
    }
}

// ZKT_H_SHARE_3RD_PARTY of "share-3rd.party".
static char *
variable_name(const char *prefix, const char *key)
{
    char *name = xasprintf("%s%s", prefix, key);
    for (char *at = name + strlen(prefix); *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
    }
    return name;
}

// The text of a scalar for the caller to free; NULL: no scalar, or not a C string.
static char *
scalar_text(const zkt_value_t *value)
{
    switch (zkt_value_type(value)) {
    case ZKT_STRING: {
        const char *text = zkt_value_string(value, "");
        return strlen(text) == zkt_value_len(value) ? xstrdup(text) : NULL;
    }
    case ZKT_BOOL:
    case ZKT_INT:
    case ZKT_BIGINT:
    case ZKT_DOUBLE:
        return zkt_value_json(value);
    default:
        return NULL;
    }
}

struct scalar {
    char *name; // owned
    char *text; // owned; NULL: no scalar
};

static int
compare_names(const void *a, const void *b)
{
    return strcmp(((const struct scalar *)a)->name, ((const struct scalar *)b)->name);
}

static void
add_scalars(struct environment *environment, const char *prefix, const zkt_value_t *first,
            const zkt_value_t *second)
{
    size_t first_count = zkt_value_len(first);
    size_t count = first_count + zkt_value_len(second);
    struct scalar *scalars = xcalloc(count + 1, sizeof(*scalars));
    for (size_t i = 0; i < count; i++) {
        const zkt_value_t *map = i < first_count ? first : second;
        size_t at = i < first_count ? i : i - first_count;
        scalars[i].name = variable_name(prefix, zkt_value_key(map, at));
        scalars[i].text = scalar_text(zkt_value_at(map, at));
    }
    qsort(scalars, count, sizeof(*scalars), compare_names);
    for (size_t i = 0; i < count; i++) {
        bool is_alike = (i > 0 && compare_names(&scalars[i - 1], &scalars[i]) == 0) ||
                        (i + 1 < count && compare_names(&scalars[i], &scalars[i + 1]) == 0);
        size_t size = scalars[i].text != NULL ? strlen(scalars[i].text) : SIZE_MAX;
        if (!is_alike && size <= VARIABLE_BYTES_MAX &&
            environment->scalars_bytes + size <= SCALARS_BYTES_MAX) {
            add(environment, scalars[i].name, scalars[i].text);
            environment->scalars_bytes += size;
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(scalars[i].name);
        free(scalars[i].text);
    }
    free(scalars);
}

// PATH with the folder of this program behind it, so that commands find `zkarton`.
static void
add_path(struct environment *environment)
{
    char self[PATH_MAX];
    const char *path = getenv("PATH");
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0) {
        add(environment, "PATH", path);
        return;
    }
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    add_row(environment, xasprintf("PATH=%s:%s", path != NULL ? path : "/usr/bin:/bin", self));
}

static bool
is_ours(const struct exec_task *exec, const char *row)
{
    return strncmp(row, "ZKT_", 4) == 0 || strncmp(row, "PATH=", 5) == 0 ||
           strncmp(row, "PWD=", 4) == 0 || strncmp(row, "OLDPWD=", 7) == 0 ||
           (exec->plan->broker != NULL && strncmp(row, "KARTON_BROKER_ADDRESS=", 22) == 0) ||
           (exec->plan->config_path != NULL && strncmp(row, "KARTON_CONFIG_FILE=", 19) == 0);
}

char **
exec_environment(const struct exec_task *exec)
{
    struct environment environment = {0};
    for (char **row = environ; *row != NULL; row++) {
        if (!is_ours(exec, *row)) {
            add_row(&environment, xstrdup(*row));
        }
    }
    char attempt[16];
    snprintf(attempt, sizeof(attempt), "%u", zkt_delivery_attempt(exec->delivery));
    add_path(&environment);
    add(&environment, "PWD", exec->folder);
    add(&environment, "KARTON_BROKER_ADDRESS", exec->plan->broker);
    add(&environment, "KARTON_CONFIG_FILE", exec->plan->config_path);
    add(&environment, "ZKT_TASK", exec->folder);
    add(&environment, "ZKT_UID", zkt_task_uid(exec->task));
    add(&environment, "ZKT_ROOT", zkt_task_root_uid(exec->task));
    add(&environment, "ZKT_PARENT", zkt_task_parent_uid(exec->task));
    add(&environment, "ZKT_IDENTITY", exec->plan->identity);
    add(&environment, "ZKT_ATTEMPT", attempt);
    add_scalars(&environment, "ZKT_H_", zkt_task_headers(exec->task), NULL);
    add_scalars(&environment, "ZKT_P_", zkt_task_persistent_map(exec->task),
                zkt_task_payload_map(exec->task));
    return environment.rows;
}

void
exec_environment_free(char **environment)
{
    for (char **row = environment; row != NULL && *row != NULL; row++) {
        free(*row);
    }
    free(environment);
}
