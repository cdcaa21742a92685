// Every record is verified as a whole; then what they say of each other: tasks have consumers and
// bodies, sequences are used once and below the next one, bodies are used, marks lie below the next
// sequence, our own numbers are there.
#include "store/local/store_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/map.h"
#include "base/memory.h"
#include "store/local/format.h"
#include "store/local/pages.h"

struct sequence_use {
    uint64_t sequence;
    uint64_t body_number;
    uint32_t consumer;
    uint8_t kind;
};

struct check {
    FILE *out;
    uint64_t damages_count;
    uint64_t records_count;
    struct sequence_use *uses; // of T, H and X
    size_t uses_len, uses_capacity;
    struct map *bodies;    // number → itself; owned
    struct map *consumers; // number → itself; owned
    uint64_t next_sequence, next_delivery, next_body, next_consumer;
    unsigned seen;
};
enum { SEEN_VERSION = 1, SEEN_STORE = 2, SEEN_SEQUENCE = 4, SEEN_ALL = 7 };

static void
say_key(struct check *check, struct span key, const char *reason)
{
    fprintf(check->out, "record %c ",
            key.len > 0 && key.data[0] > ' ' && key.data[0] < 127 ? key.data[0] : '?');
    for (size_t byte_index = 0; byte_index < key.len && byte_index < 64; byte_index++) {
        fprintf(check->out, "%02x", key.data[byte_index]);
    }
    fprintf(check->out, ": %s\n", reason);
    check->damages_count++;
}

static void
on_damage(void *arg, uint64_t page, const char *reason)
{
    struct check *check = arg;
    fprintf(check->out, "page %" PRIu64 ": %s\n", page, reason);
    check->damages_count++;
}

static void
note_task(struct check *check, struct span key, struct span value)
{
    struct task_record task;
    const char *reason;
    if (!parse_task(key, value, true, &task, &reason) || key.data[0] == RECORD_FINISHED) {
        return;
    }
    if (check->uses_len == check->uses_capacity) {
        check->uses_capacity = check->uses_capacity * 2 + 1024;
        check->uses = xrealloc(check->uses, check->uses_capacity * sizeof *check->uses);
    }
    check->uses[check->uses_len++] =
        (struct sequence_use){task.sequence, task.body_number, task.consumer, key.data[0]};
    bool is_at_home =
        key.data[0] == RECORD_HELD || (key.len > 5 && get_u32(key.data + 1) == task.consumer);
    if (!is_at_home) {
        say_key(check, key, "its consumer is another one than its key says");
    }
}

static void
note_number(struct check *check, struct span key, struct span value)
{
    uint64_t number = 0;
    const char *reason;
    const struct {
        const char *name;
        uint64_t *into;
        unsigned seen;
    } names[] = {{"version", NULL, SEEN_VERSION},
                 {"store", NULL, SEEN_STORE},
                 {"sequence", &check->next_sequence, SEEN_SEQUENCE},
                 {"delivery", &check->next_delivery, 0},
                 {"body", &check->next_body, 0},
                 {"consumer", &check->next_consumer, 0}};
    struct span name = span_of(key.data + 1, key.len - 1);
    bool is_whole = parse_number(key, value, &number, &reason);
    for (size_t index = 0; is_whole && index < sizeof names / sizeof *names; index++) {
        if (span_equal(name, span_of_text(names[index].name))) {
            check->seen |= names[index].seen;
            if (names[index].into != NULL) {
                *names[index].into = number;
            }
        }
    }
}

static void
note(struct map *map, uint64_t number)
{
    uint64_t *own = xmemdup(&number, sizeof number);
    free(map_put(map, own, sizeof *own, own));
}

static void
on_record(void *arg, struct span key, struct span value)
{
    struct check *check = arg;
    const char *reason = NULL;
    check->records_count++;
    if (!parse_any(key, value, &reason)) {
        say_key(check, key, reason);
        return;
    }
    switch (key.data[0]) {
    case RECORD_TASK:
    case RECORD_HELD:
    case RECORD_CRASHED:
        note_task(check, key, value);
        break;
    case RECORD_META:
        note_number(check, key, value);
        break;
    case RECORD_BODY:
        note(check->bodies, get_u64(key.data + 1));
        break;
    case RECORD_CONSUMER:
        note(check->consumers, get_u32(key.data + 1));
        break;
    case RECORD_DAMAGED:
        say_key(check, key, "was set aside when a broker could not read it");
        break;
    default:
        break;
    }
}

// ---- Relations

static void
say_task(struct check *check, const struct sequence_use *use, const char *reason)
{
    fprintf(check->out, "task %c %" PRIu64 ": %s\n", use->kind, use->sequence, reason);
    check->damages_count++;
}

static int
compare_uses(const void *a, const void *b)
{
    const struct sequence_use *left = a;
    const struct sequence_use *right = b;
    return (left->sequence > right->sequence) - (left->sequence < right->sequence);
}

static void
check_uses(struct check *check)
{
    struct map *used = map_new(); // bodies that somebody refers to; borrows from check->bodies
    if (check->uses_len > 1) {
        qsort(check->uses, check->uses_len, sizeof *check->uses, compare_uses);
    }
    for (size_t index = 0; index < check->uses_len; index++) {
        const struct sequence_use *use = &check->uses[index];
        uint64_t consumer = use->consumer;
        if (use->kind != RECORD_HELD &&
            map_get(check->consumers, &consumer, sizeof consumer) == NULL) {
            say_task(check, use, "its consumer is not there");
        }
        if (index > 0 && use[-1].sequence == use->sequence) {
            say_task(check, use, "two records have this sequence");
        }
        if (use->sequence >= check->next_sequence) {
            say_task(check, use, "its sequence was never given out");
        }
        void *body = map_get(check->bodies, &use->body_number, sizeof use->body_number);
        if (use->body_number != 0 && body == NULL) {
            say_task(check, use, "its shared body is not there");
        } else if (body != NULL) {
            map_put(used, &use->body_number, sizeof use->body_number, body);
        }
    }
    struct map_cursor cursor = {0};
    while (map_next(check->bodies, &cursor)) {
        if (map_get(used, cursor.key, cursor.key_len) == NULL) {
            fprintf(check->out, "body %" PRIu64 ": nobody refers to it\n",
                    *(uint64_t *)cursor.value);
            check->damages_count++;
        }
    }
    map_destroy(&used);
}

static void
check_relations(struct check *check)
{
    if (check->seen != SEEN_ALL && check->records_count > 0) {
        fprintf(check->out, "record M: the store's own numbers are missing\n");
        check->damages_count++;
    }
    check_uses(check);
    struct map_cursor cursor = {0};
    while (map_next(check->consumers, &cursor)) {
        if (*(uint64_t *)cursor.value > check->next_consumer) {
            fprintf(check->out, "consumer %" PRIu64 ": its number was never given out\n",
                    *(uint64_t *)cursor.value);
            check->damages_count++;
        }
    }
}

static void
free_map(struct map **map_p)
{
    struct map_cursor cursor = {0};
    while (map_next(*map_p, &cursor)) {
        free(cursor.value);
    }
    map_destroy(map_p);
}

// ---- Files

enum zkt_err
store_file(const char *path, char **file, struct problem *problem)
{
    struct stat status;
    char *inner = xasprintf("%s/store/data.mdb", path);
    char *own = xasprintf("%s/data.mdb", path);
    enum zkt_err err = ZKT_OK;
    if (stat(inner, &status) == 0) {
        *file = inner;
        inner = NULL;
    } else if (stat(own, &status) == 0) {
        *file = own;
        own = NULL;
    } else {
        err = problem_set(problem, ZKT_NOT_FOUND, "there is no store in %s: neither %s nor %s",
                          path, inner, own);
    }
    free(inner);
    free(own);
    return err;
}

// The lock of the broker, if there ever was one here. -1: none needed.
static enum zkt_err
lock_beside(const char *file, int *lock_fd, struct problem *problem)
{
    size_t folder_len = strlen(file) - strlen("/data.mdb");
    char *lock_path = xasprintf("%.*s/lock", (int)folder_len, file);
    enum zkt_err err = ZKT_OK;
    *lock_fd = open(lock_path, O_RDWR | O_CLOEXEC);
    if (*lock_fd != -1 && flock(*lock_fd, LOCK_EX | LOCK_NB) == -1) {
        err = problem_set(problem, ZKT_STORE_LOCKED,
                          "a broker is using %.*s: stop it, or look at a copy (store copy)",
                          (int)folder_len, file);
        close(*lock_fd);
        *lock_fd = -1;
    }
    free(lock_path);
    return err;
}

static enum zkt_err
walk_store(const char *path, const struct pages_visitor *visitor, struct problem *problem)
{
    char *file = NULL;
    int lock_fd = -1;
    enum zkt_err err = store_file(path, &file, problem);
    if (err == ZKT_OK) {
        err = lock_beside(file, &lock_fd, problem);
    }
    if (err == ZKT_OK) {
        err = pages_walk(file, visitor, problem);
    }
    if (lock_fd != -1) {
        close(lock_fd);
    }
    free(file);
    return err;
}

enum zkt_err
store_check(const char *path, FILE *out, uint64_t *damages_count, struct problem *problem)
{
    struct check check = {.out = out, .bodies = map_new(), .consumers = map_new()};
    const struct pages_visitor visitor = {.arg = &check, .record = on_record, .damage = on_damage};
    enum zkt_err err = walk_store(path, &visitor, problem);
    if (err == ZKT_OK) {
        check_relations(&check);
        fprintf(out, "%" PRIu64 " records, %" PRIu64 " damaged\n", check.records_count,
                check.damages_count);
    }
    *damages_count = check.damages_count;
    free(check.uses);
    free_map(&check.bodies);
    free_map(&check.consumers);
    return err;
}

// ---- Dump

struct dump {
    const struct task_codec *codec;
    void (*row)(void *arg, const struct value *record);
    void *arg;
    struct arena arena;
    uint64_t damages_count;
};

static struct value
hex_text(struct arena *arena, struct span bytes)
{
    char *text = arena_alloc(arena, bytes.len * 2 + 1);
    hex_format(bytes.data, bytes.len, text);
    return value_text(arena, text);
}

static struct value
uid_value(struct arena *arena, const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    return uid_is_none(uid) ? value_null() : value_text(arena, text);
}

static void
put_task(struct dump *dump, struct value *row, const struct task_record *task)
{
    struct arena *arena = &dump->arena;
    value_put(arena, row, "sequence", value_uint(arena, task->sequence));
    value_put(arena, row, "consumer", value_int(task->consumer));
    value_put(arena, row, "priority", value_text(arena, priority_name(task->priority)));
    value_put(arena, row, "attempt", value_int(task->attempt));
    value_put(arena, row, "root", uid_value(arena, &task->root));
    value_put(arena, row, "parent", uid_value(arena, &task->parent));
    value_put(arena, row, "orig", uid_value(arena, &task->orig));
    value_put(arena, row, "retry_of", uid_value(arena, &task->retry_of));
    value_put(arena, row, "changed_ms", value_int(task->changed_ms));
    value_put(arena, row, "created_ms", value_int(task->created_ms));
    value_put(arena, row, "generation", value_uint(arena, task->generation));
    value_put(arena, row, "body_number", value_uint(arena, task->body_number));
    value_put(arena, row, "objects", hex_text(arena, task->objects));
    value_put(arena, row, "error", value_string(arena, task->error.data, task->error.len));
    struct task whole = {0};
    if (task->body.len > 0 && dump->codec != NULL &&
        dump->codec->headers(task->body, arena, &whole)) {
        value_put(arena, row, "headers", whole.headers);
    }
    value_put(arena, row, "body", hex_text(arena, task->body));
}

static void
dump_record(void *arg, struct span key, struct span value)
{
    struct dump *dump = arg;
    struct arena *arena = &dump->arena;
    struct value row = value_map();
    struct task_record task;
    const char *reason = NULL;
    uint64_t number;
    arena_clear(arena);
    bool is_whole = parse_any(key, value, &reason) && key.data[0] != RECORD_DAMAGED;
    value_put(arena, &row, "kind", value_string(arena, key.data, key.len > 0));
    value_put(arena, &row, "key", hex_text(arena, key));
    if (!is_whole) {
        dump->damages_count++;
        value_put(arena, &row, "damage",
                  value_text(arena, reason != NULL ? reason : "set aside by a broker"));
        value_put(arena, &row, "value", hex_text(arena, value));
    } else if (parse_task(key, value, true, &task, &reason)) {
        put_task(dump, &row, &task);
    } else if (key.data[0] == RECORD_META && parse_number(key, value, &number, &reason)) {
        value_put(arena, &row, "name", value_string(arena, key.data + 1, key.len - 1));
        value_put(arena, &row, "number", value_uint(arena, number));
    } else {
        value_put(arena, &row, "value", hex_text(arena, value));
    }
    dump->row(dump->arg, &row);
}

static void
dump_damage(void *arg, uint64_t page, const char *reason)
{
    struct dump *dump = arg;
    struct value row = value_map();
    dump->damages_count++;
    arena_clear(&dump->arena);
    value_put(&dump->arena, &row, "page", value_uint(&dump->arena, page));
    value_put(&dump->arena, &row, "damage", value_text(&dump->arena, reason));
    dump->row(dump->arg, &row);
}

enum zkt_err
store_dump(const char *path, const struct task_codec *codec,
           void (*row)(void *arg, const struct value *record), void *arg, uint64_t *damages_count,
           struct problem *problem)
{
    struct dump dump = {.codec = codec, .row = row, .arg = arg};
    const struct pages_visitor visitor = {
        .arg = &dump, .record = dump_record, .damage = dump_damage};
    arena_init(&dump.arena);
    enum zkt_err err = walk_store(path, &visitor, problem);
    arena_fini(&dump.arena);
    *damages_count = dump.damages_count;
    return err;
}

// ---- Copy

// Every page, before LMDB trusts them. A broker that uses the store looked when it started, and
// writes.
static enum zkt_err
verify_unused(const char *file, struct problem *problem)
{
    int lock_fd;
    struct problem in_use;
    if (lock_beside(file, &lock_fd, &in_use) != ZKT_OK) {
        return ZKT_OK;
    }
    enum zkt_err err = pages_verify(file, true, problem);
    if (lock_fd != -1) {
        close(lock_fd);
    }
    return err;
}

enum zkt_err
store_copy(const char *path, const char *copy_path, struct problem *problem)
{
    char *file = NULL;
    enum zkt_err err = store_file(path, &file, problem);
    if (err == ZKT_OK) {
        err = verify_unused(file, problem);
    }
    if (err != ZKT_OK) {
        free(file);
        return err;
    }
    file[strlen(file) - strlen("/data.mdb")] = '\0';
    bool is_data =
        strlen(file) > strlen(path) + 1 && strcmp(file + strlen(file) - 6, "/store") == 0;
    char *folder = is_data ? xasprintf("%s/store", copy_path) : xstrdup(copy_path);
    bool is_made = (mkdir(copy_path, 0700) == 0 || errno == EEXIST) &&
                   (!is_data || mkdir(folder, 0700) == 0 || errno == EEXIST);
    if (!is_made) {
        err = problem_set(problem, ZKT_IO, "%s: %s", folder, strerror(errno));
    } else {
        char *there = xasprintf("%s/data.mdb", folder);
        err = access(there, F_OK) == 0
                  ? problem_set(problem, ZKT_IN_USE, "there is a store in %s already", folder)
                  : records_lmdb_copy(file, folder, problem);
        free(there);
    }
    free(folder);
    free(file);
    return err;
}
