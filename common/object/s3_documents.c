#include "object/s3_documents.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "object/object_store.h"
#include "object/xml.h"

// The element itself, or what lies in it.
static bool
is_within(const char *path, const char *element)
{
    size_t len = strlen(element);
    return strncmp(path, element, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

// ---- DeleteObjects

static bool
on_delete_begin(void *arg, const char *path)
{
    struct s3_deletion *deletion = arg;
    if (strcmp(path, "/Delete/Object") == 0) {
        free(deletion->key);
        deletion->key = NULL;
    }
    return is_within(path, "/Delete");
}

static bool
on_delete_end(void *arg, const char *path, const char *text)
{
    struct s3_deletion *deletion = arg;
    if (strcmp(path, "/Delete/Quiet") == 0) {
        deletion->is_quiet = strcmp(text, "true") == 0;
    } else if (strcmp(path, "/Delete/Object/Key") == 0) {
        free(deletion->key);
        deletion->key = xstrdup(text);
    } else if (strcmp(path, "/Delete/Object") == 0) {
        if (deletion->key == NULL || deletion->keys_count == S3_KEYS_MAX) {
            return false;
        }
        deletion->keys[deletion->keys_count++] = deletion->key;
        deletion->key = NULL;
    }
    return true;
}

enum zkt_err
s3_deletion_read(struct span document, struct s3_deletion *deletion, struct problem *problem)
{
    static const struct xml_events events = {.on_begin = on_delete_begin, .on_end = on_delete_end};
    enum zkt_err err = xml_read(document, &events, deletion, problem);
    if (err == ZKT_OK && deletion->keys_count == 0) {
        err = problem_set(problem, ZKT_INVALID, "Delete: no Object is named");
    }
    return err;
}

void
s3_deletion_fini(struct s3_deletion *deletion)
{
    for (size_t i = 0; i < deletion->keys_count; i++) {
        free(deletion->keys[i]);
    }
    free(deletion->key);
    deletion->key = NULL;
    deletion->keys_count = 0;
}

// ---- CompleteMultipartUpload

static bool
on_part_begin(void *arg, const char *path)
{
    struct s3_completion *completion = arg;
    if (strcmp(path, "/CompleteMultipartUpload/Part") == 0) {
        free(completion->etag);
        completion->etag = NULL;
        completion->number = 0;
    }
    return is_within(path, "/CompleteMultipartUpload");
}

// False: no number, or none of a part.
static bool
parse_number(const char *text, uint32_t *number)
{
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 5 || text[len] != '\0') {
        return false;
    }
    *number = (uint32_t)strtoul(text, NULL, 10);
    return *number >= 1 && *number <= OBJECT_PARTS_MAX;
}

static bool
on_part_end(void *arg, const char *path, const char *text)
{
    struct s3_completion *completion = arg;
    if (strcmp(path, "/CompleteMultipartUpload/Part/PartNumber") == 0) {
        return parse_number(text, &completion->number);
    }
    if (strcmp(path, "/CompleteMultipartUpload/Part/ETag") == 0) {
        free(completion->etag);
        completion->etag = xstrdup(text);
    } else if (strcmp(path, "/CompleteMultipartUpload/Part") == 0) {
        if (completion->etag == NULL || completion->number == 0 ||
            completion->parts_count == OBJECT_PARTS_MAX) {
            return false;
        }
        completion->parts =
            xrealloc(completion->parts, (completion->parts_count + 1) * sizeof(*completion->parts));
        completion->parts[completion->parts_count++] =
            (struct object_part){.number = completion->number, .etag = completion->etag};
        completion->etag = NULL;
    }
    return true;
}

enum zkt_err
s3_completion_read(struct span document, struct s3_completion *completion, struct problem *problem)
{
    static const struct xml_events events = {.on_begin = on_part_begin, .on_end = on_part_end};
    enum zkt_err err = xml_read(document, &events, completion, problem);
    if (err == ZKT_OK && completion->parts_count == 0) {
        err = problem_set(problem, ZKT_INVALID, "CompleteMultipartUpload: no Part is named");
    }
    return err;
}

void
s3_completion_fini(struct s3_completion *completion)
{
    for (size_t i = 0; i < completion->parts_count; i++) {
        free((char *)(uintptr_t)completion->parts[i].etag);
    }
    free(completion->parts);
    free(completion->etag);
    *completion = (struct s3_completion){.parts_count = 0};
}
