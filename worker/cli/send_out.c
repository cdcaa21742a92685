// Children of a command that `zkarton exec` runs: documents in $ZKT_TASK/out, sent in the order of
// their names when the command ends with 0. A document appears by rename, complete. Files are
// copied, so that the command may go on with its own; a file below in/ is named, not copied.
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "files.h"
#include "output.h"
#include "send_spec.h"

struct out_folder {
    const char *path; // of the task
    char *real;       // the same, resolved
    unsigned number;  // of the next file and document of this process
};

static int
io_fail(const char *path)
{
    return cli_fail(ZKT_IO, "%s: %s", path, strerror(errno));
}

// Names sort by time, then by the order inside this process.
static char *
next_name(struct out_folder *folder)
{
    return xasprintf("%020" PRId64 "-%d-%06u", clock_monotonic_ns(), (int)getpid(),
                     folder->number++);
}

static int
copy_in(struct out_folder *folder, const char *path, char **inside)
{
    char *files = xasprintf("%s/out/.files", folder->path);
    char *name = next_name(folder);
    *inside = xasprintf("%s/%s", files, name);
    int code = EXIT_YES;
    if (mkdir(files, 0700) == -1 && errno != EEXIST) {
        code = io_fail(files);
    } else if (strcmp(path, "-") == 0) {
        int fd = file_spool(STDIN_FILENO);
        char *link_path = xasprintf("/proc/self/fd/%d", fd);
        if (fd == -1 || !file_copy_path(link_path, *inside, 0600)) {
            code = io_fail("stdin");
        }
        if (fd != -1) {
            close(fd);
        }
        free(link_path);
    } else if (!file_copy_path(path, *inside, 0600)) {
        code = io_fail(path);
    }
    free(name);
    free(files);
    return code;
}

// Appends `"KEY": {"$file": …, "name": …}`.
static int
append_file(struct out_folder *folder, const struct send_file *file, struct bytes *json)
{
    struct stat status;
    bool is_stdin = strcmp(file->path, "-") == 0;
    char *real = is_stdin ? NULL : realpath(file->path, NULL);
    if (!is_stdin && (real == NULL || stat(real, &status) == -1)) {
        free(real);
        return io_fail(file->path);
    }
    size_t root_len = strlen(folder->real);
    bool is_input = real != NULL && strncmp(real, folder->real, root_len) == 0 &&
                    strncmp(real + root_len, "/in/", 4) == 0;
    bool is_directory = !is_stdin && S_ISDIR(status.st_mode);
    char *inside = NULL;
    int code = EXIT_YES;
    if (!is_input && !is_directory) {
        code = copy_in(folder, is_stdin ? "-" : real, &inside);
    }
    const char *slash = strrchr(file->path, '/');
    const char *name = file->name != NULL ? file->name
                       : is_stdin         ? "stdin"
                       : slash != NULL    ? slash + 1
                                          : file->path;
    json_quote(json, file->key);
    bytes_append_text(json, ": {\"$file\": ");
    json_quote(json, inside != NULL ? inside : real != NULL ? real : "");
    // An input keeps its own name unless it gets a new one.
    if (!is_input || file->name != NULL) {
        bytes_append_text(json, ", \"name\": ");
        json_quote(json, name);
    }
    bytes_append_text(json, "}");
    free(inside);
    free(real);
    return code;
}

static void
append_words(const struct word *words, size_t words_count, struct bytes *json)
{
    for (size_t i = 0; i < words_count; i++) {
        bytes_append_text(json, i == 0 ? "" : ", ");
        word_append_json(&words[i], json);
    }
}

static int
append_task(struct out_folder *folder, const struct send_spec *spec, const struct send_file *each,
            struct bytes *json)
{
    bytes_append_text(json, "{\"headers\": {");
    append_words(spec->headers, spec->headers_count, json);
    bytes_append_text(json, "}, \"payload\": {");
    append_words(spec->payload, spec->payload_count, json);
    bool is_first = spec->payload_count == 0;
    for (size_t i = 0; i < spec->files_count + (each != NULL); i++) {
        bytes_append_text(json, is_first ? "" : ", ");
        is_first = false;
        int code = append_file(folder, i < spec->files_count ? &spec->files[i] : each, json);
        if (code != EXIT_YES) {
            return code;
        }
    }
    bytes_append_text(json, "}, \"persistent\": [");
    for (size_t i = 0; i < spec->persistent_count; i++) {
        bytes_append_text(json, i == 0 ? "" : ", ");
        json_quote(json, spec->persistent[i]);
    }
    bytes_printf(json, "], \"derive\": %s}\n", spec->is_derived ? "true" : "false");
    return EXIT_YES;
}

static int
write_document(struct out_folder *folder, const void *json, size_t json_size)
{
    char *name = next_name(folder);
    char *hidden = xasprintf("%s/out/.%s", folder->path, name);
    char *path = xasprintf("%s/out/%s.json", folder->path, name);
    int code = EXIT_YES;
    if (!file_write(hidden, json, json_size, 0600) || rename(hidden, path) == -1) {
        code = io_fail(path);
    }
    free(path);
    free(hidden);
    free(name);
    return code;
}

static int
write_task(struct out_folder *folder, const struct send_spec *spec, const struct send_file *each)
{
    struct bytes json = {0};
    int code = append_task(folder, spec, each, &json);
    if (code == EXIT_YES) {
        code = write_document(folder, json.data, json.len);
    }
    bytes_fini(&json);
    return code;
}

// One task for each line or path of stdin.
static int
write_many(struct out_folder *folder, const struct send_spec *spec)
{
    char *item = NULL;
    size_t capacity = 0;
    int code = EXIT_YES;
    ssize_t len;
    int delimiter = spec->is_jsonl ? '\n' : '\0';
    while (code == EXIT_YES && (len = getdelim(&item, &capacity, delimiter, stdin)) != -1) {
        if (spec->is_jsonl) {
            bool is_empty = item[strspn(item, " \t\r\n")] == '\0';
            code = is_empty ? EXIT_YES : write_document(folder, item, (size_t)len);
        } else if (item[0] != '\0') {
            char *key = xstrdup(spec->each_key);
            code = write_task(folder, spec, &(struct send_file){.key = key, .path = item});
            free(key);
        }
    }
    free(item);
    return code;
}

int
send_into_folder(const struct send_spec *spec, const char *path)
{
    if (spec->is_waiting) {
        return cli_usage("send", "--wait inside a command: its children start when it has ended.");
    }
    if (spec->objects_count > 0) {
        return cli_usage("send", "--object inside a command: only with --new-analysis.");
    }
    struct out_folder folder = {.path = path, .real = realpath(path, NULL)};
    if (folder.real == NULL) {
        return cli_fail(ZKT_IO, "ZKT_TASK=%s: %s", path, strerror(errno));
    }
    int code = spec->is_jsonl || spec->each_key != NULL ? write_many(&folder, spec)
                                                        : write_task(&folder, spec, NULL);
    free(folder.real);
    return code;
}
