// `zkarton send`: as a producer of new analyses, or, inside a command run by `zkarton exec`, into
// the folder of its task.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli.h"
#include "files.h"
#include "output.h"
#include "send_spec.h"

struct sending {
    struct cli *cli;
    const struct send_spec *spec;
    int code;    // of the first failure
    char *roots; // --wait: ZKT_ROOT_UID_SIZE bytes each
    size_t roots_count;
};

static void
print_root(const struct cli *cli, const char *root_uid, uint32_t taken_count)
{
    if (cli->output == OUTPUT_JSON) {
        struct bytes line = {0};
        bytes_printf(&line, "{\"root\": \"%s\", \"taken\": %" PRIu32 "}", root_uid, taken_count);
        output_line(bytes_text(&line), true);
        bytes_fini(&line);
    } else {
        output_line(root_uid, true);
    }
}

static void
on_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
        const char *error)
{
    struct sending *sending = arg;
    if (result == ZKT_CANCELLED && sending->code == EXIT_TIMEOUT) {
        return; // those that were not confirmed in time are told together
    }
    if (result != ZKT_OK) {
        int code = cli_fail(result, "%s", error != NULL ? error : "a task was refused");
        sending->code = sending->code == EXIT_YES ? code : sending->code;
        return;
    }
    print_root(sending->cli, root_uid, taken_count);
    if (taken_count == 0) {
        cli_note(sending->cli, "zkarton: warning: no consumer takes %s; zkarton match says why",
                 root_uid);
    }
    if (sending->spec->is_waiting) {
        sending->roots =
            xrealloc(sending->roots, (sending->roots_count + 1) * (size_t)ZKT_ROOT_UID_SIZE);
        memcpy(sending->roots + sending->roots_count * ZKT_ROOT_UID_SIZE, root_uid,
               ZKT_ROOT_UID_SIZE);
        sending->roots_count++;
    }
}

static void
on_progress(void *arg, const char *name, int64_t done_bytes, int64_t total_bytes)
{
    struct sending *sending = arg;
    output_progress(sending->cli, name, done_bytes, total_bytes);
}

static void
set_file(zkt_task_t *task, const struct send_file *file)
{
    struct stat status;
    if (strcmp(file->path, "-") == 0) {
        int fd = file_spool(STDIN_FILENO);
        if (fd == -1) {
            cli_fail(ZKT_IO, "stdin: %s", strerror(errno));
            return;
        }
        zkt_task_set_fd(task, file->key, file->name != NULL ? file->name : "stdin", fd);
        close(fd);
    } else if (stat(file->path, &status) == 0 && S_ISDIR(status.st_mode)) {
        zkt_task_set_directory(task, file->key, file->path);
    } else if (file->name != NULL) {
        zkt_task_set_file_as(task, file->key, file->name, file->path);
    } else {
        zkt_task_set_file(task, file->key, file->path);
    }
}

static void
on_notice(void *arg, const char *text)
{
    const struct sending *sending = arg;
    cli_note(sending->cli, "zkarton: %s", text);
}

static zkt_task_t *
build_task(const struct send_spec *spec)
{
    zkt_task_t *task = zkt_task_new(NULL);
    for (size_t i = 0; i < spec->headers_count; i++) {
        const struct word *word = &spec->headers[i];
        if (word->is_json) {
            zkt_task_set_header_json(task, word->key, word->value);
        } else {
            zkt_task_set_header(task, word->key, word->value);
        }
    }
    for (size_t i = 0; i < spec->payload_count; i++) {
        const struct word *word = &spec->payload[i];
        if (word->is_json) {
            zkt_task_set_json(task, word->key, word->value);
        } else {
            zkt_task_set_string(task, word->key, word->value);
        }
    }
    for (size_t i = 0; i < spec->files_count; i++) {
        set_file(task, &spec->files[i]);
    }
    for (size_t i = 0; i < spec->objects_count; i++) {
        zkt_task_set_token(task, spec->objects[i].key, spec->objects[i].path);
    }
    if (spec->has_priority) {
        zkt_task_set_priority(task, spec->priority);
    }
    return task;
}

static int
post(struct sending *sending, zkt_task_t **task_p)
{
    const struct send_spec *spec = sending->spec;
    for (size_t i = 0; i < spec->persistent_count; i++) {
        if (!persist_named(*task_p, spec->persistent[i]) && zkt_task_error(*task_p) == NULL) {
            zkt_task_destroy(task_p);
            return cli_usage("send", "\"--persistent %s\": no header and no payload of that name.",
                             spec->persistent[i]);
        }
    }
    const char *mistake = zkt_task_error(*task_p);
    if (mistake != NULL) {
        int code = cli_fail(ZKT_INVALID, "%s", mistake);
        zkt_task_destroy(task_p);
        return code;
    }
    char root_uid[ZKT_ROOT_UID_SIZE];
    enum zkt_err err = zkt_client_post(sending->cli->client, task_p, root_uid);
    output_end_progress(sending->cli);
    return err == ZKT_OK ? EXIT_YES : cli_client_fail(sending->cli, err);
}

static int
send_each(struct sending *sending)
{
    char *path = NULL;
    size_t capacity = 0;
    int code = EXIT_YES;
    ssize_t len;
    while (code == EXIT_YES && (len = getdelim(&path, &capacity, '\0', stdin)) != -1) {
        if (path[0] == '\0') {
            continue;
        }
        struct send_file file = {.key = xstrdup(sending->spec->each_key), .path = path};
        zkt_task_t *task = build_task(sending->spec);
        set_file(task, &file);
        code = post(sending, &task);
        free(file.key);
    }
    free(path);
    return code;
}

static int
send_lines(struct sending *sending)
{
    char *line = NULL;
    size_t capacity = 0;
    uint64_t number = 0;
    int code = EXIT_YES;
    ssize_t len;
    while (code == EXIT_YES && (len = getline(&line, &capacity, stdin)) != -1) {
        number++;
        if (line[strspn(line, " \t\r\n")] == '\0') {
            continue;
        }
        zkt_task_t *task = zkt_task_from_json(line);
        if (zkt_task_error(task) != NULL) {
            code = cli_fail(ZKT_INVALID, "line %" PRIu64 ": %s", number, zkt_task_error(task));
            zkt_task_destroy(&task);
        } else {
            code = post(sending, &task);
        }
    }
    free(line);
    return code;
}

static int
wait_for_roots(struct sending *sending)
{
    struct cli *cli = sending->cli;
    int code = EXIT_YES;
    for (size_t i = 0; i < sending->roots_count; i++) {
        const char *root_uid = sending->roots + i * ZKT_ROOT_UID_SIZE;
        zkt_summary_t summary = {0};
        int timeout_ms = cli->timeout_ms != 0 ? cli->timeout_ms : -1;
        enum zkt_err err = zkt_client_wait(cli->client, root_uid, timeout_ms, &summary);
        if (err != ZKT_OK) {
            return cli_client_fail(cli, err);
        }
        cli_note(cli, "%s done: %" PRIu64 " finished, %" PRIu64 " crashed", root_uid,
                 summary.finished_count, summary.crashed_count);
        code = summary.crashed_count > 0 ? EXIT_NO : code;
    }
    return code;
}

static int
send_new(struct cli *cli, const struct send_spec *spec)
{
    struct sending sending = {.cli = cli, .spec = spec, .code = EXIT_YES};
    if (spec->is_derived) {
        return cli_usage("send", "--derive needs a task to derive from: it works inside a command "
                                 "run by zkarton exec.");
    }
    zkt_client_options_t options = {
        .identity = "",
        .on_progress = on_progress,
        .on_sent = on_sent,
        .arg = &sending,
        .on_notice = on_notice,
    };
    int code = cli_connect_as(cli, &options);
    if (code != EXIT_YES) {
        return code;
    }
    if (spec->is_jsonl) {
        code = send_lines(&sending);
    } else if (spec->each_key != NULL) {
        code = send_each(&sending);
    } else {
        zkt_task_t *task = build_task(spec);
        code = post(&sending, &task);
    }
    enum zkt_err err = zkt_client_flush(cli->client, 0);
    code = code == EXIT_YES ? sending.code : code;
    if (code == EXIT_YES && err != ZKT_OK) {
        code = cli_client_fail(cli, err);
        sending.code = code;
    }
    for (size_t i = 0; code != EXIT_YES && i < spec->objects_count; i++) {
        err = zkt_client_give_back(cli->client, spec->objects[i].path); // as far as it was taken
    }
    if (spec->is_waiting && code == EXIT_YES) {
        code = wait_for_roots(&sending);
    }
    zkt_client_destroy(&cli->client); // it still tells `sending` of what was not confirmed
    free(sending.roots);
    return code;
}

int
cmd_send(struct cli *cli, int argc, char **argv)
{
    struct send_spec spec;
    bool is_done = false;
    int code = send_spec_parse(cli, argc, argv, &spec, &is_done);
    if (!is_done) {
        const char *folder = getenv("ZKT_TASK");
        bool is_child = folder != NULL && folder[0] != '\0' && !spec.is_new_analysis;
        code = is_child ? send_into_folder(&spec, folder) : send_new(cli, &spec);
    }
    send_spec_fini(&spec);
    return code;
}
