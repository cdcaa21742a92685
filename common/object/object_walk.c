// Lists: a walk over the folders of a bucket in the order of keys. A folder stands for keys that
// begin with its name and a slash, so sorting names with that slash behind them puts everything in
// a folder into the order of its keys; no folder is read that cannot hold a key of the page.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "object/object_dir_internal.h"

enum { LEVELS_MAX = OBJECT_KEY_MAX + 2 };

// A folder that is being walked through.
struct level {
    char **names; // with 'd' or 'f' before them, but for shards
    size_t names_count;
    size_t at;
    size_t key_len;  // of what stands before its keys
    size_t path_len; // of its path
};

struct walk {
    const struct object_dir *dir;
    const struct object_query *query;
    bool is_home;
    unsigned shard; // the next one of the home bucket
    struct level *levels;
    size_t levels_count;
    struct bytes key;
    struct bytes path;
    char *skipped; // everything that begins so was told, or NULL
};

static enum s3_code
io_code(struct problem *problem, const char *path)
{
    return object_code_of(object_io_problem(problem, path));
}

static bool
begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

// Whether no key of the page can be this, or begin with it.
static bool
is_skipped(const struct walk *walk, const char *key, bool is_folder)
{
    const struct object_query *query = walk->query;
    bool is_below = begins_with(key, query->prefix);
    if (!is_below && !(is_folder && begins_with(query->prefix, key))) {
        return true;
    }
    if (strcmp(key, query->after) <= 0 && !(is_folder && begins_with(query->after, key))) {
        return true;
    }
    if (query->is_prefix_after && *query->after != '\0' && begins_with(key, query->after)) {
        return true;
    }
    return walk->skipped != NULL && begins_with(key, walk->skipped);
}

// ---- Levels

// The order of the keys behind two names.
static int
by_key(const void *a, const void *b)
{
    const char *left = *(char *const *)a;
    const char *right = *(char *const *)b;
    size_t at = 1;
    while (left[at] != '\0' && left[at] == right[at]) {
        at++;
    }
    int left_byte = left[at] == '\0' && left[0] == 'd' ? '/' : (unsigned char)left[at];
    int right_byte = right[at] == '\0' && right[0] == 'd' ? '/' : (unsigned char)right[at];
    return left_byte != right_byte ? left_byte - right_byte : left[0] - right[0];
}

static void
drop_level(struct walk *walk)
{
    struct level *level = &walk->levels[--walk->levels_count];
    for (size_t i = 0; i < level->names_count; i++) {
        free(level->names[i]);
    }
    free(level->names);
}

// Names that are no keys of ours are passed over.
static char *
name_of(const struct walk *walk, const char *entry)
{
    struct uid uid;
    if (walk->is_home) {
        return uid_parse(entry, strlen(entry), &uid) ? xasprintf("f%s", entry) : NULL;
    }
    return entry[0] == 'd' || entry[0] == 'f' ? xstrdup(entry) : NULL;
}

// Sets walk->key to the whole key of a name of this level.
static void
set_key(struct walk *walk, const struct level *level, const char *name)
{
    walk->key.len = level->key_len;
    bytes_append_text(&walk->key, name + 1);
    if (name[0] == 'd') {
        bytes_append_byte(&walk->key, '/');
    }
}

// Reads the folder walk->path; its keys begin with walk->key.
static enum s3_code
push_level(struct walk *walk, struct problem *problem)
{
    zkt_assert(walk->levels_count < LEVELS_MAX);
    DIR *folder = opendir(bytes_text(&walk->path));
    struct dirent *entry;
    size_t capacity = 0;
    if (folder == NULL) { // deleted meanwhile
        return errno == ENOENT ? S3_OK : io_code(problem, bytes_text(&walk->path));
    }
    walk->levels = xrealloc(walk->levels, (walk->levels_count + 1) * sizeof(*walk->levels));
    struct level *level = &walk->levels[walk->levels_count++];
    *level = (struct level){.key_len = walk->key.len, .path_len = walk->path.len};
    while ((entry = readdir(folder)) != NULL) {
        char *name = name_of(walk, entry->d_name);
        if (name == NULL) {
            continue;
        }
        set_key(walk, level, name);
        if (is_skipped(walk, bytes_text(&walk->key), name[0] == 'd')) {
            free(name);
            continue;
        }
        if (level->names_count == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            level->names = xrealloc(level->names, capacity * sizeof(*level->names));
        }
        level->names[level->names_count++] = name;
    }
    closedir(folder);
    if (level->names_count > 0) {
        qsort(level->names, level->names_count, sizeof(*level->names), by_key);
    }
    return S3_OK;
}

static enum s3_code
push_shard(struct walk *walk, struct problem *problem)
{
    char prefix[3];
    snprintf(prefix, sizeof(prefix), "%02x", walk->shard);
    walk->key.len = 0;
    walk->path.len = 0;
    bytes_printf(&walk->path, "%s/%02x", walk->dir->path, walk->shard++);
    bool is_before = strncmp(prefix, walk->query->after, 2) < 0;
    bool is_other = strncmp(prefix, walk->query->prefix,
                            strlen(walk->query->prefix) < 2 ? strlen(walk->query->prefix) : 2) != 0;
    return is_before || is_other ? S3_OK : push_level(walk, problem);
}

// The next key, in walk->key, and the path of its file. *is_end: there is none.
static enum s3_code
next_key(struct walk *walk, bool *is_end, struct problem *problem)
{
    enum s3_code code = S3_OK;
    while (code == S3_OK) {
        if (walk->levels_count == 0) {
            *is_end = !walk->is_home || walk->shard == OBJECT_SHARDS;
            if (*is_end) {
                return S3_OK;
            }
            code = push_shard(walk, problem);
            continue;
        }
        struct level *level = &walk->levels[walk->levels_count - 1];
        if (level->at == level->names_count) {
            drop_level(walk);
            continue;
        }
        const char *name = level->names[level->at++];
        set_key(walk, level, name);
        walk->path.len = level->path_len;
        bytes_printf(&walk->path, "/%s", walk->is_home ? name + 1 : name);
        if (is_skipped(walk, bytes_text(&walk->key), name[0] == 'd')) {
            continue;
        }
        if (name[0] == 'f') {
            return S3_OK;
        }
        code = push_level(walk, problem);
    }
    return code;
}

// ---- Pages

static void
add_entry(struct object_page *page, const struct object_entry *entry)
{
    page->entries = xrealloc(page->entries, (page->entries_count + 1) * sizeof(*page->entries));
    page->entries[page->entries_count++] = *entry;
}

// Adds the key the walk is at. *is_there: false if it was deleted meanwhile.
static enum s3_code
add_key(struct walk *walk, struct object_page *page, struct problem *problem)
{
    const char *path = bytes_text(&walk->path);
    struct object_meta meta = {.size = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd == -1) {
        return errno == ENOENT ? S3_OK : io_code(problem, path);
    }
    enum zkt_err err = object_file_read(fd, path, &meta, problem);
    close(fd);
    if (err == ZKT_OK) {
        struct object_entry entry = {.key = xstrdup(bytes_text(&walk->key)),
                                     .size = meta.size,
                                     .modified_ms = meta.modified_ms};
        snprintf(entry.etag, sizeof(entry.etag), "%s", meta.etag);
        add_entry(page, &entry);
    }
    object_meta_fini(&meta);
    return object_code_of(err);
}

// The common prefix of a key, or NULL.
static char *
common_prefix(const struct object_query *query, const char *key)
{
    if (*query->delimiter == '\0') {
        return NULL;
    }
    const char *found = strstr(key + strlen(query->prefix), query->delimiter);
    return found == NULL
               ? NULL
               : xasprintf("%.*s", (int)(found - key) + (int)strlen(query->delimiter), key);
}

static enum s3_code
fill(struct walk *walk, struct object_page *page, struct problem *problem)
{
    bool is_end = false;
    enum s3_code code = next_key(walk, &is_end, problem);
    while (code == S3_OK && !is_end) {
        char *prefix = common_prefix(walk->query, bytes_text(&walk->key));
        if (page->entries_count == walk->query->entries_max) {
            page->is_truncated = true;
            free(prefix);
            return S3_OK;
        }
        if (prefix != NULL) {
            add_entry(page, &(struct object_entry){.key = xstrdup(prefix), .is_prefix = true});
            free(walk->skipped);
            walk->skipped = prefix;
        } else {
            code = add_key(walk, page, problem);
        }
        if (code == S3_OK) {
            code = next_key(walk, &is_end, problem);
        }
    }
    return code;
}

enum s3_code
object_list(struct object_store *store, const char *bucket, const struct object_query *query,
            struct object_page *page, struct problem *problem)
{
    const struct object_dir *dir = object_dir_of(store);
    struct walk walk = {.dir = dir, .query = query, .is_home = strcmp(bucket, dir->bucket) == 0};
    zkt_assert(query->entries_max <= OBJECT_PAGE_MAX);
    *page = (struct object_page){.entries = NULL};
    enum s3_code code = object_bucket_check(store, bucket, problem);
    if (code == S3_OK && query->entries_max > 0) {
        if (!walk.is_home) {
            bytes_printf(&walk.path, "%s/%s", dir->buckets_path, bucket);
            code = push_level(&walk, problem);
        }
        if (code == S3_OK) {
            code = fill(&walk, page, problem);
        }
    }
    while (walk.levels_count > 0) {
        drop_level(&walk);
    }
    free(walk.levels);
    free(walk.skipped);
    bytes_fini(&walk.key);
    bytes_fini(&walk.path);
    return code;
}

void
object_page_fini(struct object_page *page)
{
    for (size_t i = 0; i < page->entries_count; i++) {
        free(page->entries[i].key);
    }
    free(page->entries);
    *page = (struct object_page){.entries = NULL};
}
