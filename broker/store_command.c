#include "store_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "migrate_command.h"
#include "object/object_dir.h"
#include "store/local/store_check.h"
#include "wire/json.h"
#include "wire/task_body.h"

enum { CODE_CLEAN = 0, CODE_DAMAGED = 1, CODE_USAGE = 2, CODE_NO_STORE = 5 };

static void
print_usage(FILE *file, const char *name)
{
    fprintf(file,
            "usage: %s store check DIR\n"
            "       %s store check --objects DIR\n"
            "       %s store dump DIR\n"
            "       %s store copy DIR DEST\n"
            "       %s store migrate-objects [-c FILE] [--data DIR]\n"
            "DIR is a broker's data directory, or the folder of the store or of the objects.\n",
            name, name, name, name, name);
}

static int
usage(const char *name, int argc, char **argv)
{
    static const struct {
        const char *name;
        const char *needs;
    } rows[] = {{"check", "DIR"}, {"dump", "DIR"}, {"copy", "DIR and DEST"}};
    const char *action = argc >= 2 ? argv[1] : NULL;
    const char *needs = NULL;
    for (size_t i = 0; action != NULL && i < sizeof rows / sizeof *rows; i++) {
        needs = strcmp(action, rows[i].name) == 0 ? rows[i].needs : needs;
    }
    if (action == NULL) {
        fprintf(stderr, "zkarton-broker: store: what to do with it?\n");
    } else if (needs != NULL) {
        fprintf(stderr, "zkarton-broker: store %s needs %s and nothing else\n", action, needs);
    } else {
        fprintf(stderr, "zkarton-broker: store has no command \"%s\"\n", action);
    }
    print_usage(stderr, name);
    return CODE_USAGE;
}

static int
fail(const struct problem *problem)
{
    char text[PROBLEM_TEXT_SIZE + 64];
    problem_sentence(problem, text, sizeof text);
    fprintf(stderr, "zkarton-broker: %s\n", text);
    return problem->code == ZKT_NOT_FOUND ? CODE_NO_STORE : CODE_DAMAGED;
}

static void
print_row(void *arg, const struct value *record)
{
    struct bytes *line = arg;
    bytes_clear(line);
    json_write(record, line, JSON_COMPACT);
    bytes_append_byte(line, '\n');
    fwrite(line->data, 1, line->len, stdout);
}

static int
check(const char *path, struct problem *problem)
{
    uint64_t damages_count = 0;
    if (store_check(path, stdout, &damages_count, problem) != ZKT_OK) {
        return fail(problem);
    }
    return damages_count == 0 ? CODE_CLEAN : CODE_DAMAGED;
}

static int
dump(const char *path, struct problem *problem)
{
    struct bytes line = {0};
    uint64_t damages_count = 0;
    enum zkt_err err =
        store_dump(path, &wire_task_codec, print_row, &line, &damages_count, problem);
    bytes_fini(&line);
    if (err != ZKT_OK) {
        return fail(problem);
    }
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        problem_set(problem, ZKT_IO, "standard output cannot be written");
        return fail(problem);
    }
    return damages_count == 0 ? CODE_CLEAN : CODE_DAMAGED;
}

static void
tell_damage(void *arg, const char *path, const char *why)
{
    (void)arg;
    printf("damaged %s: %s\n", path, why);
}

// Reads every object, beside a running broker too. dir is the data directory, or what [object] path
// names.
static int
check_objects(const char *dir, struct problem *problem)
{
    struct object_check found;
    char *inner = xasprintf("%s/objects", dir);
    char *uploads = xasprintf("%s/tmp", dir); // every folder of objects has one
    bool is_data = access(inner, F_OK) == 0;
    enum zkt_err err =
        is_data || access(uploads, F_OK) == 0
            ? object_dir_check(is_data ? inner : dir, tell_damage, NULL, &found, problem)
            : problem_set(problem, ZKT_NOT_FOUND,
                          "%s: neither a data directory nor a folder of objects", dir);
    free(uploads);
    free(inner);
    if (err != ZKT_OK) {
        return fail(problem);
    }
    printf("objects=%" PRIu64 " bytes=%" PRIu64 " damaged=%" PRIu64 " without_checksum=%" PRIu64
           "\n",
           found.files_count, found.bytes_count, found.damaged_count, found.unknown_count);
    return found.damaged_count == 0 ? CODE_CLEAN : CODE_DAMAGED;
}

int
store_command(const char *program, int argc, char **argv)
{
    const char *name = strcmp(program, "zkarton") == 0 ? program : "zkarton-broker";
    struct problem problem = {.code = ZKT_OK};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout, name);
        return CODE_CLEAN;
    }
    if (argc >= 2 && strcmp(argv[1], "migrate-objects") == 0) {
        return migrate_command(argc - 1, argv + 1);
    }
    if (argc == 3 && strcmp(argv[1], "check") == 0) {
        return check(argv[2], &problem);
    }
    if (argc == 4 && strcmp(argv[1], "check") == 0 && strcmp(argv[2], "--objects") == 0) {
        return check_objects(argv[3], &problem);
    }
    if (argc == 3 && strcmp(argv[1], "dump") == 0) {
        return dump(argv[2], &problem);
    }
    if (argc == 4 && strcmp(argv[1], "copy") == 0) {
        return store_copy(argv[2], argv[3], &problem) == ZKT_OK ? CODE_CLEAN : fail(&problem);
    }
    return usage(name, argc, argv);
}
