// The keys of stock S3 clients: lines "ACCESS SECRET [read]" of a file that only the broker's user
// may read; empty lines and those that begin with '#' are skipped.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "object/object_dir_internal.h"

enum { CLIENTS_MAX = 1000, ACCESS_MAX = 128, SECRET_MIN = 8, SECRET_MAX = 256 };

static enum zkt_err
wrong(const char *path, unsigned line, const char *why, struct problem *problem)
{
    return problem_set(problem, ZKT_CONFIG_INVALID,
                       "%s, line %u: %s. Write ACCESS_KEY SECRET_KEY, and \"read\" behind them for "
                       "one that only reads",
                       path, line, why);
}

static char *
word(char **rest)
{
    char *found;
    while ((found = strsep(rest, " \t\r\n")) != NULL && *found == '\0') {
    }
    return found;
}

static enum zkt_err
take_line(struct object_dir *dir, const char *path, unsigned number, char *line,
          struct problem *problem)
{
    char *rest = line;
    const char *access = word(&rest);
    const char *secret = word(&rest);
    const char *right = word(&rest);
    if (access == NULL || *access == '#') {
        return ZKT_OK;
    }
    if (secret == NULL || strlen(secret) < SECRET_MIN || strlen(secret) > SECRET_MAX ||
        strlen(access) > ACCESS_MAX) {
        return wrong(path, number, "the secret has 8 to 256 characters, the key up to 128",
                     problem);
    }
    if ((right != NULL && strcmp(right, "read") != 0) || word(&rest) != NULL) {
        return wrong(path, number, "what follows the secret is unknown", problem);
    }
    if (object_client_secret(dir, access) != NULL || dir->clients_count == CLIENTS_MAX) {
        return wrong(path, number, "a key stands there twice, or there are more than 1000",
                     problem);
    }
    dir->clients = xrealloc(dir->clients, (dir->clients_count + 1) * sizeof(*dir->clients));
    dir->clients[dir->clients_count++] = (struct object_client){
        .access = xstrdup(access), .secret = xstrdup(secret), .is_reader = right != NULL};
    return ZKT_OK;
}

enum zkt_err
object_keys_load(const char *path, struct object_dir *dir, struct problem *problem)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    char *line = NULL;
    size_t line_size = 0;
    unsigned number = 0;
    enum zkt_err err = ZKT_OK;
    if (file == NULL) {
        return errno == ENOENT ? ZKT_OK : object_io_problem(problem, path);
    }
    if (fstat(fileno(file), &status) == -1) {
        err = object_io_problem(problem, path);
    } else if ((status.st_mode & 077) != 0) {
        err = problem_set(problem, ZKT_INSECURE, "%s: others can read it. Write chmod 600 %s", path,
                          path);
    }
    while (err == ZKT_OK && getline(&line, &line_size, file) != -1) {
        err = take_line(dir, path, ++number, line, problem);
    }
    if (err == ZKT_OK && ferror(file)) {
        err = object_io_problem(problem, path);
    }
    free(line);
    fclose(file);
    return err;
}

void
object_keys_free(struct object_dir *dir)
{
    for (size_t i = 0; i < dir->clients_count; i++) {
        free(dir->clients[i].access);
        free(dir->clients[i].secret);
    }
    free(dir->clients);
}

static const struct object_client *
find(const struct object_dir *dir, const char *access)
{
    for (size_t i = 0; i < dir->clients_count; i++) {
        if (strcmp(dir->clients[i].access, access) == 0) {
            return &dir->clients[i];
        }
    }
    return NULL;
}

const char *
object_client_secret(void *store, const char *access)
{
    const struct object_client *client = find(object_dir_of(store), access);
    return client != NULL ? client->secret : NULL;
}

bool
object_client_is_reader(struct object_store *store, const char *access)
{
    const struct object_client *client = find(object_dir_of(store), access);
    return client == NULL || client->is_reader;
}

bool
object_has_clients(struct object_store *store)
{
    return object_dir_of(store)->clients_count > 0;
}
