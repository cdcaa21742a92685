// The request line of the HTTP port: METHOD PATH?QUERY, through the split, the decoding and the
// check of the signature. An input is a line of its own, or, if it begins with '!', changes to a
// signed one. Whatever is allowed has to be exactly what was signed.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "object/object_dir.h"

enum { NOW_S = 1700000000 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct object_store *
open_store(void)
{
    struct object_store *store = NULL;
    struct problem problem;
    // One folder for all runs: the process never ends in a way that would let it clean up.
    static const char folder[] = "/tmp/zkarton-fuzz-objects";
    (void)mkdir(folder, 0700);
    char *path = xasprintf("%s/objects", folder);
    char *secret = xasprintf("%s/secret", folder);
    const struct object_dir_options options = {
        .path = path, .secret_path = secret, .address = "http://h:1", .url_ttl_s = 60};
    enum zkt_err err = object_dir_open(&options, &store, &problem);
    zkt_assert(err == ZKT_OK);
    free(path);
    free(secret);
    return store;
}

static struct object_grant
signed_grant(void)
{
    struct object_grant grant = {.is_put = true, .size = 1234};
    memset(grant.uid.bytes, 0x5a, sizeof grant.uid.bytes);
    memset(grant.sha256, 0xc3, sizeof grant.sha256);
    return grant;
}

static char *
signed_line(struct object_store *store)
{
    const struct object_grant grant = signed_grant();
    const struct object_info info = {.uid = grant.uid, .size = grant.size};
    struct bytes url = {0};
    enum zkt_err err = object_store_presign_put(store, &info, grant.sha256, NOW_S, &url);
    zkt_assert(err == ZKT_OK);
    char *line = xasprintf("PUT %s", strstr(bytes_text(&url), "/objects/"));
    bytes_fini(&url);
    return line;
}

// Each three bytes put the third at the place that the first two say.
static char *
changed_line(const char *line, const uint8_t *data, size_t size)
{
    char *changed = xstrdup(line);
    size_t len = strlen(changed);
    for (size_t at = 0; at + 3 <= size; at += 3) {
        changed[get_u16(data + at) % len] = (char)data[at + 2];
    }
    return changed;
}

static void
ask(struct object_store *store, char *line)
{
    const struct object_grant want = signed_grant();
    struct s3_param params[S3_PARAMS_MAX];
    struct object_grant grant;
    struct problem problem;
    char *path = strchr(line, ' ');
    if (path == NULL) {
        return;
    }
    *path++ = '\0';
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    struct s3_request request = {.method = line, .host = "h:1", .path = path, .params = params};
    if (!s3_query_parse(query, params, &request.params_count) ||
        object_dir_authorize(store, &request, NOW_S, &grant, &problem) != ZKT_OK) {
        return;
    }
    zkt_assert(grant.is_put);
    zkt_assert(uid_equal(&grant.uid, &want.uid));
    zkt_assert(grant.size == want.size);
    zkt_assert(memcmp(grant.sha256, want.sha256, sizeof want.sha256) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct object_store *store;
    static char *good_line;
    if (store == NULL) {
        store = open_store();
        good_line = signed_line(store);
    }
    bool is_change = size > 0 && data[0] == '!';
    char *line = is_change ? changed_line(good_line, data + 1, size - 1) : xmemdup(data, size);
    ask(store, line);
    free(line);
    return 0;
}
