// The bucket of the S3 store: whether it is there, may be used, keeps versions; and making it.
#include <string.h>

#include "base/log.h"
#include "object/object_s3_internal.h"
#include "object/xml.h"

// About the connection and not the key; OK: neither.
static enum zkt_err
explain_connection(const struct object_s3 *s3, const struct s3_call *call, struct problem *problem)
{
    if (call->is_untrusted) {
        return problem_set(problem, call->err,
                           "[s3] ca_file: the certificate of %s does not hold by %s, or these "
                           "cannot be read (%s)",
                           s3->address,
                           s3->ca_file != NULL ? s3->ca_file : "the certificates of the system",
                           call->problem.text);
    }
    if (strcmp(call->code, "AuthorizationHeaderMalformed") == 0) {
        return problem_set(problem, call->err, "[s3] region: %s does not take \"%s\" (%s)",
                           s3->address, s3->credential_options.region, call->problem.text);
    }
    if (strcmp(call->code, "RequestTimeTooSkewed") == 0) {
        return problem_set(problem, ZKT_DENIED,
                           "[s3] address: the clocks of this machine and of %s are too far apart "
                           "(RequestTimeTooSkewed). Set them right",
                           s3->address);
    }
    return ZKT_OK;
}

// What a refusal means to whoever wrote the configuration. call was answered with an error.
static enum zkt_err
explain(const struct object_s3 *s3, const struct s3_call *call, struct problem *problem)
{
    const char *access = s3->credential_options.access;
    access = access != NULL ? access : "of the role";
    enum zkt_err err = explain_connection(s3, call, problem);
    if (err != ZKT_OK) {
        return err;
    }
    if (call->err == ZKT_NOT_FOUND && strcmp(call->code, "XAdminUserNotFound") != 0) {
        return problem_set(problem, ZKT_NOT_FOUND,
                           "[s3] bucket: there is no bucket \"%s\" at %s. Create it, or start once "
                           "with --setup-bucket",
                           s3->bucket, s3->address);
    }
    if (strcmp(call->code, "SignatureDoesNotMatch") == 0) {
        return problem_set(problem, ZKT_DENIED,
                           "[s3] secret_key: %s says that it is not the secret of access key "
                           "\"%s\" (SignatureDoesNotMatch)",
                           s3->address, access);
    }
    if (strcmp(call->code, "InvalidAccessKeyId") == 0 ||
        strcmp(call->code, "XAdminUserNotFound") == 0) {
        return problem_set(problem, ZKT_DENIED, "[s3] access_key: %s does not know \"%s\" (%s)",
                           s3->address, access, call->code);
    }
    if (call->err == ZKT_DENIED) {
        return problem_set(problem, ZKT_DENIED,
                           "[s3] bucket: access key \"%s\" may not list bucket \"%s\" at %s (%s). "
                           "docs/objects.md names the rights it needs",
                           access, s3->bucket, s3->address,
                           call->code[0] != '\0' ? call->code : "AccessDenied");
    }
    return problem_set(problem, call->err, "[s3] bucket %s: %s", s3->bucket, call->problem.text);
}

static enum zkt_err
make_bucket(struct object_s3 *s3, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    struct bytes body = {0};
    const char *region = s3->credential_options.region;
    object_s3_bucket_path(s3, path);
    if (strcmp(region, "us-east-1") != 0) { // which may not be named
        bytes_append_text(&body, "<CreateBucketConfiguration "
                                 "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                                 "<LocationConstraint>");
        xml_escape(&body, region);
        bytes_append_text(&body, "</LocationConstraint></CreateBucketConfiguration>");
    }
    struct s3_call call = {.method = "PUT", .path = path, .body = bytes_span(&body)};
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    bool is_ours = strcmp(call.code, "BucketAlreadyOwnedByYou") == 0;
    if (err == ZKT_OK || is_ours) {
        log_info("OBJECT-BUCKET-MADE", "address=%s bucket=%s", s3->address, s3->bucket);
        err = ZKT_OK;
    } else {
        problem_in(problem, "[s3] bucket \"%s\" cannot be made: ", s3->bucket);
    }
    s3_call_fini(&call);
    bytes_fini(&body);
    return err;
}

static enum zkt_err
list_nothing(struct object_s3 *s3, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    object_s3_bucket_path(s3, path);
    struct s3_call call = {
        .method = "GET",
        .path = path,
        .params = {{"list-type", "2"}, {"max-keys", "1"}, {"prefix", s3->prefix}},
        .params_count = 3,
        .may_miss = true,
    };
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err != ZKT_OK) {
        err = explain(s3, &call, problem);
    }
    s3_call_fini(&call);
    return err;
}

static bool
on_status(void *arg, const char *path, const char *text)
{
    bool *has_versions = arg;
    if (strcmp(path, "/VersioningConfiguration/Status") == 0) {
        *has_versions = text[0] != '\0';
    }
    return true;
}

// A server that does not know versions, or does not tell, has none.
static enum zkt_err
look_for_versions(struct object_s3 *s3, struct problem *problem)
{
    char path[S3_PATH_SIZE];
    bool has_versions = false;
    object_s3_bucket_path(s3, path);
    struct s3_call call = {
        .method = "GET",
        .path = path,
        .params = {{"versioning", ""}},
        .params_count = 1,
        .may_miss = true,
    };
    enum zkt_err err = object_s3_run(s3, &call, 1, problem);
    if (err == ZKT_OK) {
        const struct xml_events events = {.on_end = on_status};
        err = xml_read(bytes_span(&call.answer), &events, &has_versions, problem);
    } else if (call.status != 0 && call.status != 503) {
        err = ZKT_OK;
    }
    atomic_store(&s3->has_versions, has_versions);
    s3_call_fini(&call);
    return err;
}

enum zkt_err
object_s3_check(struct object_s3 *s3, struct problem *problem)
{
    enum zkt_err err = list_nothing(s3, problem);
    if (err == ZKT_NOT_FOUND && s3->makes_bucket) {
        err = make_bucket(s3, problem);
    }
    if (err == ZKT_OK) {
        err = look_for_versions(s3, problem);
    }
    if (err == ZKT_OK) {
        atomic_store(&s3->is_checked, true);
        log_info("OBJECT-STORE-READY", "kind=s3 address=%s bucket=%s prefix=\"%s\" versions=%s",
                 s3->address, s3->bucket, s3->prefix,
                 atomic_load(&s3->has_versions) ? "yes" : "no");
    }
    return err;
}
