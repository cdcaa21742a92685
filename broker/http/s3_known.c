// What this store does not do is refused, not ignored: who asks for encryption, tags or a condition
// and hears 200 believes that it was done.
#include "http/s3_ask.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

// Parameters of requests that this store does not know.
static const char *const others[] = {
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "versionId",
    "versions",
    "website",
    "append",
    "renameObject",
    "session",
};

// Those of requests that write: one that is not known may name a part of a bucket or an object, and
// a DELETE of that part is no DELETE of the whole. "x-…" is for the log of whoever keeps one.
static bool
is_known_of_write(const char *name)
{
    static const char *const names[] = {"delete", "partNumber", "uploadId", "uploads"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "x-", 2) == 0;
}

// All headers "x-amz-…" that are known, and the only value of some.
static const struct {
    const char *name; // with '*': all that begin so
    const char *value;
} headers[] = {
    {"x-amz-acl", "private"},
    {"x-amz-api-version", "2006-03-01"}, // of the C++ SDK, and so of Arrow
    {"x-amz-bucket-object-lock-enabled", "false"},
    {"x-amz-checksum-*", NULL}, // s3_put.c looks at them
    {"x-amz-content-sha256", NULL},
    {"x-amz-copy-source", NULL}, // these are of s3_copy.c
    {"x-amz-copy-source-if-match", NULL},
    {"x-amz-copy-source-range", NULL},
    {"x-amz-date", NULL},
    {"x-amz-decoded-content-length", NULL},
    {"x-amz-meta-*", NULL},
    {"x-amz-metadata-directive", NULL}, // of s3_copy.c
    {"x-amz-sdk-checksum-algorithm", NULL},
    {"x-amz-storage-class", "STANDARD"},
    {"x-amz-tagging-directive", "COPY"}, // there are no tags
    {"x-amz-trailer", NULL},
    {"x-amz-user-agent", NULL},
};

// Of requests that copy; any other would ignore them.
static bool
is_of_copy(const char *name)
{
    return strncasecmp(name, "x-amz-copy-source", 17) == 0 ||
           strcasecmp(name, "x-amz-metadata-directive") == 0;
}

static bool
is_known(const struct s3_param *header)
{
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        size_t len = strlen(headers[i].name);
        bool is_prefix = headers[i].name[len - 1] == '*';
        if (is_prefix ? strncasecmp(header->name, headers[i].name, len - 1) == 0
                      : strcasecmp(header->name, headers[i].name) == 0) {
            return headers[i].value == NULL || strcasecmp(header->value, headers[i].value) == 0;
        }
    }
    return strncasecmp(header->name, "x-amz-", 6) != 0;
}

static bool
is_method(const struct s3_ask *call, const char *method)
{
    return strcmp(call->method, method) == 0;
}

static bool
has_condition(const struct s3_ask *call)
{
    return s3_ask_header(call, "If-Match") != NULL || s3_ask_header(call, "If-None-Match") != NULL;
}

// Which writes look at conditions: of a whole object, and of what completes one.
static bool
knows_conditions(const struct s3_ask *call)
{
    bool has_upload = s3_ask_param(call, "uploadId") != NULL;
    return call->key != NULL && (is_method(call, MHD_HTTP_METHOD_PUT)
                                     ? !has_upload
                                     : is_method(call, MHD_HTTP_METHOD_POST) && has_upload);
}

void
s3_check_known(struct s3_ask *call)
{
    bool is_read = is_method(call, MHD_HTTP_METHOD_GET) || is_method(call, MHD_HTTP_METHOD_HEAD);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (s3_ask_param(call, others[i]) != NULL) {
            s3_ask_fail(call, S3_NOT_IMPLEMENTED, NULL);
        }
    }
    for (size_t i = 0; !is_read && i < call->asked.params_count; i++) {
        if (!is_known_of_write(call->params[i].name)) {
            s3_ask_fail(call, S3_NOT_IMPLEMENTED, NULL);
        }
    }
    if (s3_ask_param(call, "uploads") != NULL && s3_ask_param(call, "delimiter") != NULL) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "uploads are listed without a delimiter");
    }
    for (size_t i = 0; i < call->asked.headers_count; i++) {
        const char *name = call->headers[i].name;
        if (!is_known(&call->headers[i]) || (is_of_copy(name) && !s3_is_copy(call))) {
            char text[120];
            snprintf(text, sizeof(text), "this store does not know %.60s, or not this value", name);
            s3_ask_fail(call, S3_NOT_IMPLEMENTED, text);
        }
    }
    if (s3_ask_param(call, "partNumber") != NULL && !is_method(call, MHD_HTTP_METHOD_PUT)) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "this store does not read single parts");
    }
    if (!is_read && ((has_condition(call) && !knows_conditions(call)) ||
                     s3_ask_header(call, "If-Unmodified-Since") != NULL)) {
        s3_ask_fail(call, S3_NOT_IMPLEMENTED, "this write knows no such condition");
    }
}
