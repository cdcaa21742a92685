// `zkarton get`: the bytes of a resource of a task, checked against the hash that the task names.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli.h"
#include "command_line.h"
#include "output.h"
#include "rows.h"

enum { GET_FORCE = 1, GET_WORDS_MAX = 3 };

struct get_words {
    const char *uid;
    const char *key;
    const char *path; // NULL: stdout
    bool is_forced;
};

static int
parse(struct cli *cli, int argc, char **argv, struct get_words *get, bool *is_done)
{
    static const struct option options[] = {{"force", 'f', GET_FORCE, false}};
    struct option_parser parser = {
        .cli = cli,
        .command = "get",
        .options = options,
        .options_count = 1,
        .argc = argc,
        .argv = argv,
    };
    const char **words[GET_WORDS_MAX] = {&get->uid, &get->key, &get->path};
    size_t words_count = 0;
    int id;
    *is_done = true;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        if (id == GET_FORCE) {
            get->is_forced = true;
        } else if (words_count == GET_WORDS_MAX) {
            return cli_usage("get", "\"%s\" is too much.", parser.value);
        } else {
            *words[words_count++] = parser.value;
        }
    }
    if (get->uid == NULL) {
        return cli_usage("get", "which task? Write its uid.");
    }
    if (get->path != NULL && strcmp(get->path, "-") == 0) {
        get->path = NULL;
    }
    if (get->path == NULL && isatty(STDOUT_FILENO) == 1) {
        return cli_usage("get", "the bytes would go to the terminal. Name a FILE, or pipe them.");
    }
    get->key = get->key != NULL ? get->key : "sample";
    *is_done = false;
    return EXIT_YES;
}

static void
on_notice(void *arg, const char *text)
{
    cli_note(arg, "zkarton: %s", text);
}

static const zkt_resource_t *
find_resource(const zkt_value_t *row, const char *key)
{
    const zkt_value_t *value = zkt_value_get(zkt_value_get(row, "payload_persistent"), key);
    if (value == NULL) {
        value = zkt_value_get(zkt_value_get(row, "payload"), key);
    }
    return zkt_value_resource(value);
}

static bool
is_finished(const zkt_value_t *row)
{
    return strcmp(zkt_value_string(zkt_value_get(row, "state"), ""), "Finished") == 0;
}

// Of a finished task only the list of resources is kept: the one of that name, or the only one. A
// child may still hold its object; if not, the broker says what became of it. *task owns it.
static const zkt_resource_t *
find_listed(const zkt_value_t *row, const char *key, zkt_task_t **task)
{
    const zkt_value_t *list = zkt_value_get(row, "resources");
    const zkt_value_t *found = zkt_value_len(list) == 1 ? zkt_value_at(list, 0) : NULL;
    for (size_t i = 0; i < zkt_value_len(list); i++) {
        const zkt_value_t *item = zkt_value_at(list, i);
        if (strcmp(zkt_value_string(zkt_value_get(item, "name"), ""), key) == 0) {
            found = item;
        }
    }
    if (found == NULL) {
        return NULL;
    }
    char *item = zkt_value_json(found);
    char *document =
        xasprintf("{\"headers\": {}, \"payload\": {\"it\": {\"__karton_resource__\": %s}}}", item);
    *task = zkt_task_from_json(document);
    free(document);
    free(item);
    return zkt_task_resource(*task, "it");
}

static int
no_resource(const zkt_value_t *row, const struct get_words *get)
{
    if (!is_finished(row)) {
        return cli_fail(ZKT_NOT_FOUND, "payload.%s of %s: missing, or no resource", get->key,
                        get->uid);
    }
    return cli_fail(ZKT_NOT_FOUND,
                    "%s is Finished: its payload is not kept. Name one of its resources by the "
                    "name that zkarton tree shows",
                    get->uid);
}

// Downloads beside the target and renames: a file of that name is whole, or not there.
static int
download_file(struct cli *cli, const zkt_resource_t *resource, const struct get_words *get)
{
    if (!get->is_forced && access(get->path, F_OK) == 0) {
        return cli_fail(ZKT_IN_USE, "%s exists. Write -f to replace it", get->path);
    }
    char *part = xasprintf("%s.XXXXXX", get->path);
    int fd = mkostemp(part, O_CLOEXEC);
    if (fd == -1) {
        int code = cli_fail(ZKT_IO, "%s: %s", get->path, strerror(errno));
        free(part);
        return code;
    }
    mode_t mask = umask(0);
    umask(mask);
    enum zkt_err err = zkt_client_download(cli->client, resource, fd);
    output_end_progress(cli);
    int code = err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
    if (code == EXIT_YES && (fchmod(fd, 0666 & ~mask) == -1 || fsync(fd) == -1)) {
        code = cli_fail(ZKT_IO, "%s: %s", get->path, strerror(errno));
    }
    close(fd);
    // link refuses what appeared meanwhile, rename replaces.
    if (code == EXIT_YES &&
        (get->is_forced ? rename(part, get->path) : link(part, get->path)) == -1) {
        code =
            cli_fail(errno == EEXIST ? ZKT_IN_USE : ZKT_IO, "%s: %s", get->path, strerror(errno));
    }
    unlink(part);
    free(part);
    return code;
}

int
cmd_get(struct cli *cli, int argc, char **argv)
{
    struct get_words get = {0};
    bool is_done = false;
    int code = parse(cli, argc, argv, &get, &is_done);
    if (is_done) {
        return code;
    }
    zkt_client_options_t options = {
        .identity = "",
        .is_operator = true,
        .on_progress = output_progress,
        .arg = cli,
        .on_notice = on_notice,
    };
    zkt_value_t *answer = NULL;
    const zkt_value_t *row = NULL;
    code = cli_connect_as(cli, &options);
    if (code == EXIT_YES) {
        code = rows_one(cli, "task", "uid", row_uid(get.uid), &answer, &row);
    }
    const zkt_resource_t *resource = code == EXIT_YES ? find_resource(row, get.key) : NULL;
    zkt_task_t *listed = NULL;
    if (code == EXIT_YES && resource == NULL && is_finished(row)) {
        resource = find_listed(row, get.key, &listed);
    }
    if (code == EXIT_YES && resource == NULL) {
        code = no_resource(row, &get);
    } else if (code == EXIT_YES && get.path != NULL) {
        code = download_file(cli, resource, &get);
    } else if (code == EXIT_YES) {
        enum zkt_err err = zkt_client_download(cli->client, resource, STDOUT_FILENO);
        output_end_progress(cli);
        code = err == ZKT_OK ? EXIT_YES : cli_client_fail(cli, err);
    }
    zkt_task_destroy(&listed);
    zkt_value_destroy(&answer);
    return code;
}
