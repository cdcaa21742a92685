// Lists, as S3's XML.
#include "http/s3_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "object/xml.h"

static const char HEAD[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
#define NAMESPACE "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void
element_date(struct bytes *out, const char *name, int64_t ms)
{
    char date[32];
    s3_iso_date(ms, date);
    xml_element(out, name, date);
}

static void
element_etag(struct bytes *out, const char *etag)
{
    char quoted[OBJECT_ETAG_SIZE + 2];
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    xml_element(out, "ETag", quoted);
}

// A key, as the client wants it written.
static void
element_key(const struct s3_ask *call, struct bytes *out, const char *name, const char *key)
{
    const char *encoding = s3_ask_param(call, "encoding-type");
    if (encoding == NULL || strcmp(encoding, "url") != 0) {
        xml_element(out, name, key);
        return;
    }
    struct bytes escaped = {0};
    s3_escape(&escaped, key, true);
    xml_element(out, name, bytes_text(&escaped));
    bytes_fini(&escaped);
}

static const char *
param_or(const struct s3_ask *call, const char *name, const char *otherwise)
{
    const char *value = s3_ask_param(call, name);
    return value != NULL ? value : otherwise;
}

// A number that a page may have at most.
static size_t
page_max(struct s3_ask *call, const char *name)
{
    const char *text = s3_ask_param(call, name);
    if (text == NULL) {
        return OBJECT_PAGE_MAX;
    }
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "the size of a page is a number of 0 or more");
        return 0;
    }
    unsigned long number = strtoul(text, NULL, 10);
    return number < OBJECT_PAGE_MAX ? (size_t)number : OBJECT_PAGE_MAX;
}

// ---- Buckets

enum MHD_Result
s3_list_buckets(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct object_bucket *buckets = NULL;
    size_t count = 0;
    struct bytes out = {0};
    enum s3_code code = object_bucket_list(call->store, &buckets, &count, &call->problem);
    if (code != S3_OK) {
        free(buckets);
        s3_ask_fail(call, code, NULL);
        return s3_reply_error(connection, call);
    }
    bytes_printf(&out,
                 "%s<ListAllMyBucketsResult " NAMESPACE "><Owner><ID>zkarton</ID>"
                 "<DisplayName>zkarton</DisplayName></Owner><Buckets>",
                 HEAD);
    for (size_t i = 0; i < count; i++) {
        bytes_append_text(&out, "<Bucket>");
        xml_element(&out, "Name", buckets[i].name);
        element_date(&out, "CreationDate", buckets[i].created_ms);
        bytes_append_text(&out, "</Bucket>");
    }
    bytes_append_text(&out, "</Buckets></ListAllMyBucketsResult>\n");
    free(buckets);
    return s3_reply_xml(connection, &out);
}

// ---- Objects

// Where the next page of version 2 begins: 'k' or, behind a common prefix, 'p', and the key, in hex
// digits.
static void
make_token(const struct object_entry *last, struct bytes *out)
{
    bytes_append_byte(out, last->is_prefix ? 'p' : 'k');
    for (const char *at = last->key; *at != '\0'; at++) {
        bytes_printf(out, "%02x", (unsigned char)*at);
    }
}

// False: no token of ours. *key is to be freed.
static bool
parse_token(const char *token, char **key, bool *is_prefix)
{
    size_t len = strlen(token);
    *key = NULL;
    if (len % 2 != 1 || len > 2 * OBJECT_KEY_MAX + 1 || (token[0] != 'p' && token[0] != 'k') ||
        strspn(token + 1, "0123456789abcdef") != len - 1) {
        return false;
    }
    char *text = xcalloc(1, len / 2 + 1);
    for (size_t i = 0; i < len / 2; i++) {
        unsigned byte = 0;
        if (sscanf(token + 1 + 2 * i, "%2x", &byte) != 1 || byte == 0) {
            free(text);
            return false;
        }
        text[i] = (char)byte;
    }
    *key = text;
    *is_prefix = token[0] == 'p';
    return true;
}

static void
append_entries(const struct s3_ask *call, const struct object_page *page, bool has_owner,
               struct bytes *out)
{
    for (size_t i = 0; i < page->entries_count; i++) {
        const struct object_entry *entry = &page->entries[i];
        if (entry->is_prefix) {
            bytes_append_text(out, "<CommonPrefixes>");
            element_key(call, out, "Prefix", entry->key);
            bytes_append_text(out, "</CommonPrefixes>");
            continue;
        }
        bytes_append_text(out, "<Contents>");
        element_key(call, out, "Key", entry->key);
        element_date(out, "LastModified", entry->modified_ms);
        element_etag(out, entry->etag);
        bytes_printf(out, "<Size>%" PRId64 "</Size><StorageClass>STANDARD</StorageClass>",
                     entry->size);
        if (has_owner) {
            bytes_append_text(out, "<Owner><ID>zkarton</ID></Owner>");
        }
        bytes_append_text(out, "</Contents>");
    }
}

static void
append_query(const struct s3_ask *call, const struct object_query *query, bool is_truncated,
             struct bytes *out)
{
    xml_element(out, "Name", call->bucket);
    element_key(call, out, "Prefix", query->prefix);
    if (*query->delimiter != '\0') {
        element_key(call, out, "Delimiter", query->delimiter);
    }
    if (s3_ask_param(call, "encoding-type") != NULL) {
        bytes_append_text(out, "<EncodingType>url</EncodingType>");
    }
    bytes_printf(out, "<MaxKeys>%zu</MaxKeys><IsTruncated>%s</IsTruncated>", query->entries_max,
                 is_truncated ? "true" : "false");
}

static enum MHD_Result
list_1(struct MHD_Connection *connection, struct s3_ask *call, struct object_query *query)
{
    struct object_page page;
    struct bytes out = {0};
    query->after = param_or(call, "marker", "");
    // A marker that is a common prefix stands for all that it stands for.
    size_t delimiter_len = strlen(query->delimiter);
    size_t after_len = strlen(query->after);
    query->is_prefix_after =
        delimiter_len > 0 && after_len > delimiter_len &&
        strcmp(query->after + after_len - delimiter_len, query->delimiter) == 0;
    enum s3_code code = object_list(call->store, call->bucket, query, &page, &call->problem);
    if (code != S3_OK) {
        object_page_fini(&page);
        s3_ask_fail(call, code, NULL);
        return s3_reply_error(connection, call);
    }
    bytes_printf(&out, "%s<ListBucketResult " NAMESPACE ">", HEAD);
    append_query(call, query, page.is_truncated, &out);
    element_key(call, &out, "Marker", query->after);
    if (page.is_truncated) {
        element_key(call, &out, "NextMarker", page.entries[page.entries_count - 1].key);
    }
    append_entries(call, &page, true, &out);
    bytes_append_text(&out, "</ListBucketResult>\n");
    object_page_fini(&page);
    return s3_reply_xml(connection, &out);
}

static void
append_page(struct s3_ask *call, const struct object_query *query, const struct object_page *page,
            struct bytes *out)
{
    const char *token = s3_ask_param(call, "continuation-token");
    const char *start = s3_ask_param(call, "start-after");
    bytes_printf(out, "%s<ListBucketResult " NAMESPACE ">", HEAD);
    append_query(call, query, page->is_truncated, out);
    bytes_printf(out, "<KeyCount>%zu</KeyCount>", page->entries_count);
    if (token != NULL) {
        xml_element(out, "ContinuationToken", token);
    }
    if (start != NULL) {
        element_key(call, out, "StartAfter", start);
    }
    if (page->is_truncated) {
        struct bytes next = {0};
        make_token(&page->entries[page->entries_count - 1], &next);
        xml_element(out, "NextContinuationToken", bytes_text(&next));
        bytes_fini(&next);
    }
    append_entries(call, page, strcmp(param_or(call, "fetch-owner", ""), "true") == 0, out);
    bytes_append_text(out, "</ListBucketResult>\n");
}

static enum MHD_Result
list_2(struct MHD_Connection *connection, struct s3_ask *call, struct object_query *query)
{
    struct object_page page = {.entries = NULL};
    struct bytes out = {0};
    char *after = NULL;
    const char *token = s3_ask_param(call, "continuation-token");
    query->after = param_or(call, "start-after", "");
    if (token != NULL && parse_token(token, &after, &query->is_prefix_after)) {
        query->after = after;
    } else if (token != NULL) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "the continuation token is none of ours");
    }
    if (call->code == S3_OK) {
        enum s3_code code = object_list(call->store, call->bucket, query, &page, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    if (call->code == S3_OK) {
        append_page(call, query, &page, &out);
    }
    object_page_fini(&page);
    free(after);
    return call->code == S3_OK ? s3_reply_xml(connection, &out) : s3_reply_error(connection, call);
}

enum MHD_Result
s3_list_objects(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct object_query query = {.prefix = param_or(call, "prefix", ""),
                                 .delimiter = param_or(call, "delimiter", ""),
                                 .entries_max = page_max(call, "max-keys")};
    const char *version = s3_ask_param(call, "list-type");
    if (version != NULL && strcmp(version, "2") != 0) {
        s3_ask_fail(call, S3_INVALID_ARGUMENT, "list-type is 2");
    }
    if (call->code != S3_OK) {
        return s3_reply_error(connection, call);
    }
    return version != NULL ? list_2(connection, call, &query) : list_1(connection, call, &query);
}

// ---- Uploads in parts

static void
append_parts(const struct object_part_info *parts, size_t count, struct bytes *out)
{
    for (size_t i = 0; i < count; i++) {
        bytes_printf(out, "<Part><PartNumber>%" PRIu32 "</PartNumber>", parts[i].number);
        element_date(out, "LastModified", parts[i].modified_ms);
        element_etag(out, parts[i].etag);
        bytes_printf(out, "<Size>%" PRId64 "</Size></Part>", parts[i].size);
    }
}

enum MHD_Result
s3_list_parts(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct bytes out = {0};
    size_t count = 0;
    const char *upload = s3_ask_param(call, "uploadId");
    const char *marker = param_or(call, "part-number-marker", "0");
    size_t max = page_max(call, "max-parts");
    uint32_t after = (uint32_t)strtoul(marker, NULL, 10);
    struct object_part_info *parts = xcalloc(max + 1, sizeof(*parts));
    if (call->code == S3_OK) { // one more tells whether there are more
        enum s3_code code = object_parts_list(call->store, call->bucket, call->key, upload, after,
                                              parts, max + 1, &count, &call->problem);
        if (code != S3_OK) {
            s3_ask_fail(call, code, NULL);
        }
    }
    bool is_truncated = count > max;
    count = is_truncated ? max : count;
    bytes_printf(&out, "%s<ListPartsResult " NAMESPACE ">", HEAD);
    xml_element(&out, "Bucket", call->bucket);
    element_key(call, &out, "Key", call->key);
    xml_element(&out, "UploadId", upload);
    bytes_printf(&out,
                 "<PartNumberMarker>%" PRIu32 "</PartNumberMarker><MaxParts>%zu</MaxParts>"
                 "<IsTruncated>%s</IsTruncated>",
                 after, max, is_truncated ? "true" : "false");
    if (is_truncated && count > 0) {
        bytes_printf(&out, "<NextPartNumberMarker>%" PRIu32 "</NextPartNumberMarker>",
                     parts[count - 1].number);
    }
    append_parts(parts, count, &out);
    bytes_append_text(&out, "<StorageClass>STANDARD</StorageClass></ListPartsResult>\n");
    free(parts);
    if (call->code != S3_OK) {
        bytes_fini(&out);
        return s3_reply_error(connection, call);
    }
    return s3_reply_xml(connection, &out);
}

static bool
is_behind(const struct object_parts_info *info, const char *key, const char *upload)
{
    int order = strcmp(info->key, key);
    return order > 0 || (order == 0 && *upload != '\0' && strcmp(info->upload, upload) > 0);
}

static void
append_uploads(struct s3_ask *call, const struct object_parts_info *infos, size_t count, size_t max,
               struct bytes *out)
{
    const char *prefix = param_or(call, "prefix", "");
    const char *key_marker = param_or(call, "key-marker", "");
    const char *upload_marker = param_or(call, "upload-id-marker", "");
    const struct object_parts_info *last = NULL;
    bool is_truncated = false;
    size_t told = 0;
    for (size_t i = 0; i < count && !is_truncated; i++) {
        const struct object_parts_info *info = &infos[i];
        if (strncmp(info->key, prefix, strlen(prefix)) != 0 ||
            (*key_marker != '\0' && !is_behind(info, key_marker, upload_marker))) {
            continue;
        }
        if (told == max) {
            is_truncated = true;
            continue;
        }
        told++;
        last = info;
        bytes_append_text(out, "<Upload>");
        element_key(call, out, "Key", info->key);
        xml_element(out, "UploadId", info->upload);
        element_date(out, "Initiated", info->started_ms);
        bytes_append_text(out, "<StorageClass>STANDARD</StorageClass></Upload>");
    }
    bytes_printf(out, "<MaxUploads>%zu</MaxUploads><IsTruncated>%s</IsTruncated>", max,
                 is_truncated ? "true" : "false");
    if (is_truncated && last != NULL) {
        element_key(call, out, "NextKeyMarker", last->key);
        xml_element(out, "NextUploadIdMarker", last->upload);
    }
}

enum MHD_Result
s3_list_uploads(struct MHD_Connection *connection, struct s3_ask *call)
{
    struct object_parts_info *infos = NULL;
    size_t count = 0;
    struct bytes out = {0};
    size_t max = page_max(call, "max-uploads");
    enum s3_code code = object_bucket_check(call->store, call->bucket, &call->problem);
    if (code == S3_OK) {
        code = object_parts_uploads(call->store, call->bucket, &infos, &count, &call->problem);
    }
    if (code != S3_OK || call->code != S3_OK) {
        s3_ask_fail(call, code, NULL);
        object_parts_infos_free(infos, count);
        return s3_reply_error(connection, call);
    }
    bytes_printf(&out, "%s<ListMultipartUploadsResult " NAMESPACE ">", HEAD);
    xml_element(&out, "Bucket", call->bucket);
    append_uploads(call, infos, count, max, &out);
    bytes_append_text(&out, "</ListMultipartUploadsResult>\n");
    object_parts_infos_free(infos, count);
    return s3_reply_xml(connection, &out);
}
