// One object at a time: read and hashed, stored, looked at, and only then taken out of the old
// store. The broker deletes in the old store first (object_moving.h), so an object that has
// vanished there when its copy is done was deleted meanwhile: its copy goes too. What was moved is
// never moved again, so the command may be stopped and started at any time.
#include "migrate_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "endpoints.h"
#include "object/object_bucket.h"
#include "object/object_s3.h"
#include "object_stores.h"
#include "options.h"

enum { PAGE = 512, TELL_EVERY_MS = 5000 };

struct migration {
    struct object_store *from;
    struct object_store *to;
    uint64_t moved_count;
    uint64_t moved_bytes;
    uint64_t failed_count;
    uint64_t unknown_count; // without a checksum
    int64_t tell_ms;
};

// Hashes the object; what is not what was put is not moved.
static enum zkt_err
hash(struct migration *migration, int fd, const char *name, uint8_t sha256[32],
     struct problem *problem)
{
    struct object_meta meta = {.size = 0};
    enum zkt_err err = object_file_read(fd, name, &meta, problem);
    if (err == ZKT_OK) {
        err = object_file_hash(fd, name, meta.size, sha256, problem);
    }
    if (err == ZKT_OK && meta.has_sha256 && memcmp(sha256, meta.sha256, 32) != 0) {
        err = problem_set(problem, ZKT_IO, "the content is not what was put: another SHA-256");
    }
    migration->unknown_count += err == ZKT_OK && !meta.has_sha256;
    object_meta_fini(&meta);
    return err;
}

static enum zkt_err
delete_one(struct object_store *store, const struct uid *uid, struct problem *problem)
{
    size_t deleted_count;
    return object_store_delete(store, uid, 1, &deleted_count, problem);
}

// The copy is whole: takes the object out of the old store, or the copy out of the new one.
static enum zkt_err
settle(struct migration *migration, const struct object_info *object, struct problem *problem)
{
    struct object_info info;
    enum zkt_err err = object_store_head(migration->to, &object->uid, &info, problem);
    if (err == ZKT_OK && info.size != object->size) {
        return problem_set(problem, ZKT_IO, "its copy has %" PRId64 " bytes instead of %" PRId64,
                           info.size, object->size);
    }
    if (err != ZKT_OK) {
        return err;
    }
    err = object_store_head(migration->from, &object->uid, &info, problem);
    if (err == ZKT_NOT_FOUND) {
        return delete_one(migration->to, &object->uid, problem);
    }
    return err == ZKT_OK ? delete_one(migration->from, &object->uid, problem) : err;
}

static enum zkt_err
move(struct migration *migration, const struct uid *uid, struct problem *problem)
{
    struct object_info object;
    uint8_t sha256[32];
    int fd = -1;
    enum zkt_err err = object_dir_open_file(migration->from, uid, &fd, &object, problem);
    if (err == ZKT_NOT_FOUND) {
        return ZKT_OK; // deleted since it was listed
    }
    if (err == ZKT_OK) {
        char name[UID_TEXT_SIZE];
        uid_format(uid, name);
        err = hash(migration, fd, name, sha256, problem);
    }
    if (err == ZKT_OK) {
        err = object_s3_put(migration->to, uid, fd, object.size, sha256, problem);
    }
    if (fd != -1) {
        close(fd);
    }
    if (err == ZKT_OK) {
        err = settle(migration, &object, problem);
    }
    if (err == ZKT_OK) {
        migration->moved_count++;
        migration->moved_bytes += (uint64_t)object.size;
    }
    return err;
}

static void
move_one(struct migration *migration, const struct uid *uid)
{
    struct problem problem = {.code = ZKT_OK};
    char text[UID_TEXT_SIZE];
    if (move(migration, uid, &problem) != ZKT_OK) {
        uid_format(uid, text);
        fprintf(stderr, "zkarton-broker: object %s stays: %s\n", text, problem.text);
        migration->failed_count++;
    }
    if (clock_monotonic_ms() >= migration->tell_ms) {
        migration->tell_ms = clock_monotonic_ms() + TELL_EVERY_MS;
        fprintf(stderr, "%" PRIu64 " objects moved so far\n", migration->moved_count);
    }
}

// One walk through the old store; *seen_count: how many were in it.
static enum zkt_err
walk(struct migration *migration, uint64_t *seen_count, struct problem *problem)
{
    struct object_info *infos = xcalloc(PAGE, sizeof *infos);
    struct uid after = {{0}};
    size_t count = 0;
    enum zkt_err err;
    *seen_count = 0;
    do {
        err = object_store_list(migration->from, *seen_count > 0 ? &after : NULL, infos, PAGE,
                                &count, problem);
        for (size_t i = 0; err == ZKT_OK && i < count; i++) {
            move_one(migration, &infos[i].uid);
        }
        if (err == ZKT_OK && count > 0) {
            after = infos[count - 1].uid;
            *seen_count += count;
        }
    } while (err == ZKT_OK && count > 0);
    free(infos);
    return err;
}

// What is no object of a task: buckets of S3 clients, and uploads in parts, which their clients
// begin again in the new store.
static void
tell_rest(struct migration *migration)
{
    struct problem problem;
    struct object_bucket *buckets = NULL;
    struct object_parts_info *uploads = NULL;
    size_t count = 0;
    if (object_bucket_list(migration->from, &buckets, &count, &problem) == S3_OK && count > 1) {
        fprintf(stderr,
                "zkarton-broker: %zu buckets of S3 clients stay in the directory: copy them with a "
                "client\n",
                count - 1); // without that of the tasks
    }
    free(buckets);
    if (object_parts_uploads(migration->from, NULL, &uploads, &count, &problem) == S3_OK) {
        if (count > 0) {
            fprintf(stderr,
                    "zkarton-broker: %zu unfinished uploads in parts stay in the directory: those "
                    "of tasks begin again in the new store\n",
                    count);
        }
        object_parts_infos_free(uploads, count);
    }
}

// Until a walk sees nothing: what came by an older URL meanwhile goes too.
static int
migrate(struct migration *migration)
{
    struct problem problem = {.code = ZKT_OK};
    uint64_t seen_count;
    enum zkt_err err;
    migration->tell_ms = clock_monotonic_ms() + TELL_EVERY_MS;
    do {
        err = walk(migration, &seen_count, &problem);
    } while (err == ZKT_OK && seen_count > 0 && migration->failed_count == 0);
    if (err != ZKT_OK) {
        fprintf(stderr, "zkarton-broker: %s\n", problem.text);
    }
    if (migration->unknown_count > 0) {
        fprintf(stderr,
                "zkarton-broker: %" PRIu64 " objects had no checksum to compare with; who reads "
                "them compares\n",
                migration->unknown_count);
    }
    tell_rest(migration);
    log_info("OBJECT-MIGRATED", "objects=%" PRIu64 " bytes=%" PRIu64 " failed=%" PRIu64,
             migration->moved_count, migration->moved_bytes, migration->failed_count);
    printf("%" PRIu64 " objects moved, %" PRIu64 " bytes, %" PRIu64 " stay\n",
           migration->moved_count, migration->moved_bytes, migration->failed_count);
    return err == ZKT_OK && migration->failed_count == 0 ? 0 : 1;
}

static enum zkt_err
open_both(const struct broker_options *options, struct migration *migration,
          struct problem *problem)
{
    if (access(options->data_path, W_OK) != 0) {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[broker] data %s: no directory of a broker. Write --data DIR",
                           options->data_path);
    }
    if (strcmp(config_text(options->config, "object", "kind", ""), "s3") != 0) {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[object] kind is not s3. Name the new store, with migrate_from = dir, "
                           "and start the broker again");
    }
    enum zkt_err err = endpoints_may_move(options->data_path, problem);
    if (err != ZKT_OK) {
        return err;
    }
    err = object_stores_open_dir(options, true, &migration->from, problem);
    if (err == ZKT_OK) {
        err = object_stores_open_s3(options, &migration->to, problem);
    }
    return err;
}

int
migrate_command(int argc, char **argv)
{
    struct broker_options options = {0};
    struct migration migration = {.from = NULL};
    struct problem problem = {.code = ZKT_OK};
    int code = 2;
    switch (options_parse(argc, argv, &options)) {
    case PARSED_RUN:
        if (open_both(&options, &migration, &problem) == ZKT_OK) {
            code = migrate(&migration);
        } else {
            fprintf(stderr, "zkarton-broker: %s (%s)\n", problem.text, zkt_err_name(problem.code));
            code = problem.code == ZKT_CONFIG_INVALID ? 2 : 1;
        }
        break;
    case PARSED_DONE:
        code = 0;
        break;
    case PARSED_WRONG:
        break;
    }
    object_store_destroy(&migration.from);
    object_store_destroy(&migration.to);
    options_fini(&options);
    return code;
}
