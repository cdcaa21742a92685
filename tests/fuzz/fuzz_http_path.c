// The request line of the HTTP port: METHOD PATH?QUERY, through the split, the decoding and the
// check of the signature. Nothing that was not signed may be allowed.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct object_store *store;
    struct s3_param params[S3_PARAMS_MAX];
    struct object_grant grant;
    struct problem problem;
    if (store == NULL) {
        store = open_store();
    }
    char *method = xmemdup(data, size);
    char *path = strchr(method, ' ');
    if (path != NULL) {
        *path++ = '\0';
        char *query = strchr(path, '?');
        if (query != NULL) {
            *query++ = '\0';
        }
        struct s3_request request = {
            .method = method, .host = "h:1", .path = path, .params = params};
        if (s3_query_parse(query, params, &request.params_count)) {
            enum zkt_err err = object_dir_authorize(store, &request, NOW_S, &grant, &problem);
            zkt_assert(err != ZKT_OK);
        }
    }
    free(method);
    return 0;
}
