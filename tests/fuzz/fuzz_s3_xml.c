// XML from anybody: a letter says who reads the rest. The reader itself, the documents of S3
// clients, and the answers of an S3 server, which the store gets instead of those of a network.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "object/object_s3_internal.h"
#include "object/s3_documents.h"
#include "object/xml.h"

enum { INFOS_MAX = 3 };

// What every request is answered.
static struct span answer;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
// The linker puts it in the place of s3_calls_run.
enum zkt_err
__wrap_s3_calls_run(struct s3_server *server, const struct s3_key *key, struct s3_call *calls,
                    size_t calls_count, struct problem *problem);

enum zkt_err
__wrap_s3_calls_run(struct s3_server *server, const struct s3_key *key, struct s3_call *calls,
                    size_t calls_count, struct problem *problem)
{
    (void)server;
    (void)key;
    (void)problem;
    for (size_t i = 0; i < calls_count; i++) {
        bytes_append(&calls[i].answer, answer.data, answer.len);
        calls[i].status = 200;
        calls[i].err = ZKT_OK;
        calls[i].length = (int64_t)answer.len;
    }
    return ZKT_OK;
}

// ---- The reader

struct seen {
    size_t depth;
    size_t ends_count;
};

static bool
on_begin(void *arg, const char *path)
{
    struct seen *seen = arg;
    zkt_assert(path[0] == '/' && strlen(path) < XML_PATH_SIZE);
    zkt_assert(++seen->depth <= XML_DEPTH_MAX);
    return true;
}

// What is escaped and read again is the same, unless XML cannot say it.
static bool
on_again(void *arg, const char *path, const char *text)
{
    zkt_assert(strcmp(path, "/a") == 0);
    for (const char *was = *(const char **)arg; *was != '\0' || *text != '\0'; was++, text++) {
        zkt_assert(*was == *text);
    }
    return true;
}

static bool
on_end(void *arg, const char *path, const char *text)
{
    static const struct xml_events events = {.on_end = on_again};
    struct seen *seen = arg;
    struct bytes again = {0};
    struct problem problem;
    zkt_assert(path[0] == '/' && strlen(path) < XML_PATH_SIZE && strlen(text) <= XML_TEXT_MAX);
    zkt_assert(seen->depth-- > 0);
    seen->ends_count++;
    xml_element(&again, "a", text);
    enum zkt_err err = xml_read(bytes_span(&again), &events, &text, &problem);
    zkt_assert(err == ZKT_OK);
    bytes_fini(&again);
    return true;
}

static void
read_any(struct span document)
{
    static const struct xml_events events = {.on_begin = on_begin, .on_end = on_end};
    struct seen seen = {.depth = 0};
    struct problem problem = {.text = ""};
    enum zkt_err err = xml_read(document, &events, &seen, &problem);
    zkt_assert((err == ZKT_OK) == (problem.text[0] == '\0'));
    if (err == ZKT_OK) {
        zkt_assert(seen.depth == 0 && seen.ends_count > 0);
    }
}

// Whatever text is written can be read: keys of clients are such texts.
static void
write_any(struct span text)
{
    static const struct xml_events events = {.on_end = on_end};
    struct seen seen = {.depth = 1};
    struct problem problem;
    struct bytes document = {0};
    char *copy = xmemdup(text.data, text.len);
    xml_element(&document, "a", copy);
    enum zkt_err err = xml_read(bytes_span(&document), &events, &seen, &problem);
    zkt_assert(err == ZKT_OK || strlen(copy) > XML_TEXT_MAX);
    bytes_fini(&document);
    free(copy);
}

// ---- Clients

static void
read_deletion(struct span document)
{
    struct s3_deletion deletion = {.keys_count = 0};
    struct problem problem;
    if (s3_deletion_read(document, &deletion, &problem) == ZKT_OK) {
        zkt_assert(deletion.keys_count > 0 && deletion.keys_count <= S3_KEYS_MAX);
    }
    s3_deletion_fini(&deletion);
}

static void
read_completion(struct span document)
{
    struct s3_completion completion = {.parts_count = 0};
    struct problem problem;
    if (s3_completion_read(document, &completion, &problem) == ZKT_OK) {
        zkt_assert(completion.parts_count > 0 && completion.parts_count <= OBJECT_PARTS_MAX);
        for (size_t i = 0; i < completion.parts_count; i++) {
            const struct object_part *part = &completion.parts[i];
            zkt_assert(part->number >= 1 && part->number <= OBJECT_PARTS_MAX && part->etag != NULL);
        }
    }
    s3_completion_fini(&completion);
}

// ---- Servers

static struct object_s3 *
open_store(void)
{
    const struct object_s3_options options = {
        .address = "http://h:1",
        .bucket = "b",
        .prefix = "p",
        .url_ttl_s = 60,
        .credentials = {.access = "a", .secret = "s", .region = "us-east-1"}};
    struct object_store *store = NULL;
    struct problem problem;
    log_set_level(LOG_ERROR + 1);
    answer = span_of_text("<a/>");
    enum zkt_err err = object_s3_open(&options, &store, &problem);
    zkt_assert(err == ZKT_OK);
    return object_s3_of(store);
}

static void
list_all(struct object_store *store)
{
    struct object_info *infos = xcalloc(INFOS_MAX, sizeof *infos);
    struct object_pending *pendings = xcalloc(INFOS_MAX, sizeof *pendings);
    struct problem problem;
    size_t count = 0;
    enum zkt_err err = object_s3_list(store, NULL, infos, INFOS_MAX, &count, &problem);
    zkt_assert(count <= INFOS_MAX && (err == ZKT_OK || count == 0));
    err = object_s3_list_pending(store, NULL, pendings, INFOS_MAX, &count, &problem);
    zkt_assert(count <= INFOS_MAX && (err == ZKT_OK || count == 0));
    for (size_t i = 1; i < count; i++) {
        zkt_assert(uid_compare(&pendings[i - 1].uid, &pendings[i].uid) <= 0);
    }
    free(infos);
    free(pendings);
}

static void
delete_some(struct object_s3 *s3, bool has_versions)
{
    static const struct uid uids[2] = {{{0}}, {{0xff}}};
    struct bytes cursor = {0};
    struct problem problem;
    size_t deleted_count = 0;
    atomic_store(&s3->has_versions, has_versions);
    enum zkt_err err = object_s3_delete(&s3->store, uids, 2, &deleted_count, &problem);
    zkt_assert(deleted_count <= 2 && (err == ZKT_OK) == (deleted_count == 2));
    deleted_count = 0;
    err = object_s3_delete_foreign(&s3->store, INT64_MAX - 1, &cursor, &deleted_count, &problem);
    zkt_assert(err == ZKT_OK || problem.text[0] != '\0');
    bytes_fini(&cursor);
}

static void
upload(struct object_store *store)
{
    static const struct object_info object = {.size = 1};
    static const uint8_t sha256[32] = {0};
    const struct span etag = span_of_text("\"e\"");
    struct bytes id = {0};
    struct problem problem;
    enum zkt_err err = object_s3_begin(store, &object, sha256, &id, &problem);
    zkt_assert(err != ZKT_OK || (id.len > 0 && id.len < OBJECT_UPLOAD_ID_SIZE));
    err = object_s3_complete(store, &object, sha256, span_of_text("u"), &etag, 1, &problem);
    zkt_assert(err == ZKT_OK || problem.text[0] != '\0');
    bytes_fini(&id);
}

static void
explain(void)
{
    static const long statuses[] = {400, 403, 404, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct s3_call call = {.method = "GET", .path = "/b", .status = statuses[i]};
        bytes_append(&call.answer, answer.data, answer.len);
        s3_call_explain(&call);
        zkt_assert(call.err != ZKT_OK && call.problem.text[0] != '\0');
        zkt_assert(strpbrk(call.code, "\n\r\"") == NULL);
        zkt_assert(strpbrk(call.problem.text, "\n\r\"") == NULL);
        s3_call_fini(&call);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct object_s3 *s3;
    struct problem problem;
    if (s3 == NULL) {
        s3 = open_store();
    }
    if (size == 0) {
        return 0;
    }
    answer = span_of(data + 1, size - 1);
    switch (data[0]) {
    case 'd':
        read_deletion(answer);
        break;
    case 'c':
        read_completion(answer);
        break;
    case 'w':
        write_any(answer);
        break;
    case 'l':
        list_all(&s3->store);
        break;
    case 'x':
        delete_some(s3, false);
        break;
    case 'v':
        delete_some(s3, true);
        break;
    case 'u':
        upload(&s3->store);
        break;
    case 'b': {
        enum zkt_err err = object_s3_check(s3, &problem);
        zkt_assert(err == ZKT_OK || problem.text[0] != '\0');
        break;
    }
    case 'e':
        explain();
        break;
    default:
        read_any(answer);
        break;
    }
    return 0;
}
