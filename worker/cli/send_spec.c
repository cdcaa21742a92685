#include "send_spec.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum {
    SEND_PAYLOAD = 1,
    SEND_RESOURCE,
    SEND_AS,
    SEND_OBJECT,
    SEND_EACH0,
    SEND_DERIVE,
    SEND_PERSISTENT,
    SEND_PRIORITY,
    SEND_WAIT,
    SEND_JSONL,
    SEND_NEW_ANALYSIS
};

static const struct option send_options[] = {
    {"payload", 'p', SEND_PAYLOAD, true},
    {"resource", 'r', SEND_RESOURCE, true},
    {"as", 0, SEND_AS, true},
    {"object", 0, SEND_OBJECT, true},
    {"each0", 0, SEND_EACH0, true},
    {"derive", 0, SEND_DERIVE, false},
    {"persistent", 0, SEND_PERSISTENT, true},
    {"priority", 0, SEND_PRIORITY, true},
    {"wait", 0, SEND_WAIT, false},
    {"jsonl", 0, SEND_JSONL, false},
    {"new-analysis", 0, SEND_NEW_ANALYSIS, false},
};

static int
add_word(struct word **words, size_t *words_count, const char *option, const char *text)
{
    struct problem problem;
    *words = xrealloc(*words, (*words_count + 1) * sizeof(**words));
    enum zkt_err err = word_parse(text, &(*words)[*words_count], &problem);
    if (err != ZKT_OK) {
        return cli_usage("send", "%s%s", option, problem.text);
    }
    (*words_count)++;
    return EXIT_YES;
}

static int
add_file(struct send_spec *spec, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0') {
        return cli_usage("send", "\"-r %s\" is not KEY=PATH. Write -r sample=FILE", text);
    }
    spec->files = xrealloc(spec->files, (spec->files_count + 1) * sizeof(*spec->files));
    spec->files[spec->files_count++] = (struct send_file){
        .key = xmemdup(text, (size_t)(equals - text)),
        .path = equals + 1,
    };
    return EXIT_YES;
}

// A token out of a file, so that it stands in no list of processes.
static char *
read_token(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len = file == NULL ? -1 : getline(&line, &capacity, file);
    if (file != NULL && file != stdin) {
        fclose(file);
    }
    if (len == -1) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static int
add_object(struct send_spec *spec, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0') {
        return cli_usage("send", "--object is not KEY=TOKEN. Write --object sample=@FILE, with "
                                 "what zkarton put printed in FILE");
    }
    char *token = equals[1] == '@' ? read_token(equals + 2) : xstrdup(equals + 1);
    if (token == NULL) {
        return cli_fail(ZKT_IO, "--object: %s: %s", equals + 2,
                        errno != 0 ? strerror(errno) : "empty");
    }
    spec->objects = xrealloc(spec->objects, (spec->objects_count + 1) * sizeof(*spec->objects));
    spec->objects[spec->objects_count++] = (struct send_file){
        .key = xmemdup(text, (size_t)(equals - text)),
        .path = token,
    };
    return EXIT_YES;
}

static int
take_priority(struct send_spec *spec, const char *text)
{
    static const struct {
        const char *name;
        enum zkt_priority priority;
    } rows[] = {{"high", ZKT_HIGH}, {"normal", ZKT_NORMAL}, {"low", ZKT_LOW}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(text, rows[i].name) == 0) {
            spec->priority = rows[i].priority;
            spec->has_priority = true;
            return EXIT_YES;
        }
    }
    return cli_usage("send", "\"--priority %s\": write high, normal or low.", text);
}

static int
take(struct send_spec *spec, int id, const char *value)
{
    switch (id) {
    case OPTION_WORD:
        return add_word(&spec->headers, &spec->headers_count, "", value);
    case SEND_PAYLOAD:
        return add_word(&spec->payload, &spec->payload_count, "-p ", value);
    case SEND_RESOURCE:
        return add_file(spec, value);
    case SEND_AS:
        if (spec->files_count == 0) {
            return cli_usage("send",
                             "\"--as %s\" names the resource before it. Write -r "
                             "KEY=PATH --as NAME",
                             value);
        }
        spec->files[spec->files_count - 1].name = value;
        return EXIT_YES;
    case SEND_OBJECT:
        return add_object(spec, value);
    case SEND_EACH0:
        spec->each_key = value;
        return EXIT_YES;
    case SEND_PERSISTENT:
        spec->persistent =
            xrealloc(spec->persistent, (spec->persistent_count + 1) * sizeof(*spec->persistent));
        spec->persistent[spec->persistent_count++] = value;
        return EXIT_YES;
    case SEND_PRIORITY:
        return take_priority(spec, value);
    case SEND_DERIVE:
        spec->is_derived = true;
        return EXIT_YES;
    case SEND_WAIT:
        spec->is_waiting = true;
        return EXIT_YES;
    case SEND_JSONL:
        spec->is_jsonl = true;
        return EXIT_YES;
    default:
        spec->is_new_analysis = true;
        return EXIT_YES;
    }
}

static bool
has_word(const struct word *words, size_t words_count, const char *key)
{
    for (size_t i = 0; i < words_count; i++) {
        if (strcmp(words[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static bool
has_file(const struct send_file *files, size_t files_count, const char *key)
{
    for (size_t i = 0; i < files_count; i++) {
        if (strcmp(files[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

// The key that is given twice, as header or in the payload; NULL: none.
static const char *
find_double(const struct send_spec *spec)
{
    for (size_t i = 0; i < spec->headers_count; i++) {
        if (has_word(spec->headers, i, spec->headers[i].key)) {
            return spec->headers[i].key;
        }
    }
    for (size_t i = 0; i < spec->payload_count; i++) {
        if (has_word(spec->payload, i, spec->payload[i].key)) {
            return spec->payload[i].key;
        }
    }
    for (size_t i = 0; i < spec->files_count; i++) {
        const char *key = spec->files[i].key;
        if (has_word(spec->payload, spec->payload_count, key) || has_file(spec->files, i, key)) {
            return key;
        }
    }
    for (size_t i = 0; i < spec->objects_count; i++) {
        const char *key = spec->objects[i].key;
        if (has_word(spec->payload, spec->payload_count, key) ||
            has_file(spec->files, spec->files_count, key) || has_file(spec->objects, i, key)) {
            return key;
        }
    }
    const char *each = spec->each_key;
    bool is_taken = each != NULL && (has_word(spec->payload, spec->payload_count, each) ||
                                     has_file(spec->files, spec->files_count, each));
    return is_taken ? each : NULL;
}

static int
check(const struct send_spec *spec)
{
    const char *key = find_double(spec);
    if (key != NULL) {
        return cli_usage("send", "\"%s\" is given twice.", key);
    }
    size_t stdin_users_count = (size_t)(spec->each_key != NULL) + (size_t)spec->is_jsonl;
    for (size_t i = 0; i < spec->files_count; i++) {
        stdin_users_count += strcmp(spec->files[i].path, "-") == 0;
    }
    if (stdin_users_count > 1) {
        return cli_usage("send", "only one of --each0, --jsonl and -r KEY=- can read stdin.");
    }
    bool has_more = spec->headers_count + spec->payload_count + spec->files_count +
                        spec->objects_count + spec->persistent_count >
                    0;
    if (spec->is_jsonl && (has_more || spec->has_priority || spec->is_derived)) {
        return cli_usage("send", "--jsonl takes all of a task from its line.");
    }
    if (spec->each_key != NULL && spec->objects_count > 0) {
        return cli_usage("send",
                         "--each0 makes many tasks, and a token of --object is good for one.");
    }
    if (!spec->is_jsonl && spec->headers_count == 0) {
        return cli_usage("send", "a task without headers reaches nobody. Write type=sample");
    }
    return EXIT_YES;
}

int
send_spec_parse(struct cli *cli, int argc, char **argv, struct send_spec *spec, bool *is_done)
{
    struct option_parser parser = {
        .cli = cli,
        .command = "send",
        .options = send_options,
        .options_count = sizeof(send_options) / sizeof(send_options[0]),
        .argc = argc,
        .argv = argv,
    };
    *spec = (struct send_spec){0};
    *is_done = true;
    int id;
    while ((id = option_next(&parser)) != OPTION_END) {
        if (id == OPTION_HELP || id == OPTION_WRONG) {
            return id == OPTION_HELP ? EXIT_YES : EXIT_USAGE;
        }
        int code = take(spec, id, parser.value);
        if (code != EXIT_YES) {
            return code;
        }
    }
    if (parser.at < argc) {
        return cli_usage("send", "\"%s\" is too much.", argv[parser.at]);
    }
    int code = check(spec);
    *is_done = code != EXIT_YES;
    return code;
}

void
send_spec_fini(struct send_spec *spec)
{
    for (size_t i = 0; i < spec->headers_count; i++) {
        word_fini(&spec->headers[i]);
    }
    for (size_t i = 0; i < spec->payload_count; i++) {
        word_fini(&spec->payload[i]);
    }
    for (size_t i = 0; i < spec->files_count; i++) {
        free(spec->files[i].key);
    }
    free(spec->headers);
    free(spec->payload);
    for (size_t i = 0; i < spec->objects_count; i++) {
        free(spec->objects[i].key);
        free((char *)(uintptr_t)spec->objects[i].path);
    }
    free(spec->objects);
    free(spec->files);
    free(spec->persistent);
    *spec = (struct send_spec){0};
}

bool
persist_named(zkt_task_t *task, const char *name)
{
    bool is_header = zkt_task_header_value(task, name) != NULL;
    bool is_payload = zkt_value_get(zkt_task_payload_map(task), name) != NULL ||
                      zkt_value_get(zkt_task_persistent_map(task), name) != NULL;
    if (is_header) {
        zkt_task_persist_header(task, name);
    }
    if (is_payload) {
        zkt_task_persist(task, name);
    }
    return is_header || is_payload;
}
