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

// All headers "x-amz-…" that are known, and the only value of some.
static const struct {
    const char *name; // with '*': all that begin so
    const char *value;
} headers[] = {
    {"x-amz-acl", "private"},
    {"x-amz-bucket-object-lock-enabled", "false"},
    {"x-amz-checksum-*", NULL}, // s3_put.c looks at them
    {"x-amz-content-sha256", NULL},
    {"x-amz-date", NULL},
    {"x-amz-decoded-content-length", NULL},
    {"x-amz-meta-*", NULL},
    {"x-amz-sdk-checksum-algorithm", NULL},
    {"x-amz-storage-class", "STANDARD"},
    {"x-amz-trailer", NULL},
    {"x-amz-user-agent", NULL},
};

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
    for (size_t i = 0; i < call->asked.headers_count; i++) {
        if (!is_known(&call->headers[i])) {
            char text[120];
            snprintf(text, sizeof(text), "this store does not know %.60s, or not this value",
                     call->headers[i].name);
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
