// One suite over every object store: what the seam promises, whoever keeps the bytes. Without an
// argument over the stores that need no server; `object_suite s3` over the server that
// ZKT_S3_ADDRESS, ZKT_S3_ACCESS, ZKT_S3_SECRET and ZKT_S3_BUCKET name (the bucket is made).
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/evp.h>

#include "base/hex.h"
#include "base/memory.h"
#include "object/object_bucket.h"
#include "object/object_dir.h"
#include "object/object_mem.h"
#include "object/object_moving.h"
#include "object/object_s3.h"

enum { OBJECTS_COUNT = 700, PAGE = 64, PART_BYTES = 5 << 20, REST_BYTES = 1000 };

struct kind {
    const char *name;
    struct object_store *store;
    char *folder; // NULL: none
    bool is_s3;
    struct object_store *from; // of a moving store, in memory
    struct object_store *to;
    size_t puts_count;
};

// ---- HTTP, as a client does it

static size_t
take_etag(char *line, size_t size, size_t count, void *arg)
{
    struct bytes *etag = arg;
    if (etag != NULL && strncasecmp(line, "etag:", 5) == 0) {
        char *from = line + 5 + strspn(line + 5, " ");
        bytes_append(etag, from, strcspn(from, "\r\n"));
    }
    return size * count;
}

static size_t
take_body(char *data, size_t size, size_t count, void *arg)
{
    bytes_append(arg, data, size * count);
    return size * count;
}

struct sending {
    struct span rest;
};

static size_t
give_body(char *data, size_t size, size_t count, void *arg)
{
    struct sending *sending = arg;
    size_t len = size * count < sending->rest.len ? size * count : sending->rest.len;
    memcpy(data, sending->rest.data, len);
    sending->rest.data += len;
    sending->rest.len -= len;
    return len;
}

// Answers the status.
static long
http(const char *url, const struct span *upload, struct bytes *etag, struct bytes *body)
{
    CURL *easy = curl_easy_init();
    struct sending sending = {0};
    long status = 0;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_etag);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, etag);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    if (upload != NULL) {
        sending.rest = *upload;
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, &sending);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)upload->len);
    }
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    return status;
}

static void
put_file(struct object_store *store, const struct uid *uid, const char *content)
{
    uint8_t sha256[32];
    struct problem problem;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fflush(file), 0);
    EVP_Digest(content, strlen(content), sha256, NULL, EVP_sha256(), NULL);
    assert_int_equal(
        object_s3_put(store, uid, fileno(file), (int64_t)strlen(content), sha256, &problem),
        ZKT_OK);
    fclose(file);
}

static void
put(struct kind *kind, const struct uid *uid, const char *content)
{
    struct object_grant grant = {.uid = *uid, .is_put = true, .size = (int64_t)strlen(content)};
    struct object_upload *upload = NULL;
    struct problem problem;
    kind->puts_count++;
    if (kind->is_s3) {
        put_file(kind->store, uid, content);
        return;
    }
    if (kind->from != NULL) { // in the old one, the new one, and on its way
        size_t where = kind->puts_count % 3;
        if (where != 0) {
            object_mem_put(kind->from, uid, content, strlen(content), 1);
        }
        if (where != 1) {
            object_mem_put(kind->to, uid, content, strlen(content), 1);
        }
        return;
    }
    if (kind->folder == NULL) {
        object_mem_put(kind->store, uid, content, strlen(content), 1);
        return;
    }
    EVP_Digest(content, strlen(content), grant.sha256, NULL, EVP_sha256(), NULL);
    assert_int_equal(object_upload_begin(kind->store, &grant, &upload, &problem), ZKT_OK);
    assert_int_equal(object_upload_write(upload, content, strlen(content), &problem), ZKT_OK);
    char etag[OBJECT_ETAG_SIZE];
    assert_int_equal(object_put_finish(&upload, etag, &problem), S3_OK);
}

static int
open_mem(void **state)
{
    struct kind *kind = xcalloc(1, sizeof(*kind));
    kind->store = object_mem_new();
    *state = kind;
    return 0;
}

static int
open_moving(void **state)
{
    struct kind *kind = xcalloc(1, sizeof(*kind));
    kind->from = object_mem_new();
    kind->to = object_mem_new();
    kind->store = object_moving_new(kind->from, kind->to);
    *state = kind;
    return 0;
}

static const char *
need(const char *name)
{
    const char *text = getenv(name);
    assert_non_null(text);
    return text;
}

static struct object_s3_options
s3_options(const char *prefix)
{
    return (struct object_s3_options){
        .address = need("ZKT_S3_ADDRESS"),
        .bucket = need("ZKT_S3_BUCKET"),
        .prefix = prefix,
        .url_ttl_s = 600,
        .makes_bucket = true,
        .credentials = {.access = need("ZKT_S3_ACCESS"),
                        .secret = need("ZKT_S3_SECRET"),
                        .region = "us-east-1"},
    };
}

static int
open_s3(void **state)
{
    struct kind *kind = xcalloc(1, sizeof(*kind));
    struct problem problem = {.code = ZKT_OK};
    const struct object_s3_options options = s3_options("own/");
    enum zkt_err err = object_s3_open(&options, &kind->store, &problem);
    if (err != ZKT_OK) {
        fail_msg("%s", problem.text);
    }
    kind->is_s3 = true;
    *state = kind;
    return 0;
}

static int
open_dir(void **state)
{
    struct kind *kind = xcalloc(1, sizeof(*kind));
    struct problem problem;
    const char *temp = getenv("TMPDIR");
    kind->folder = xasprintf("%s/zkarton-test-XXXXXX", temp != NULL ? temp : "/tmp");
    assert_non_null(mkdtemp(kind->folder));
    char *path = xasprintf("%s/objects", kind->folder);
    char *secret = xasprintf("%s/keys/secret", kind->folder);
    const struct object_dir_options options = {
        .path = path, .secret_path = secret, .address = "http://h:1", .url_ttl_s = 60};
    assert_int_equal(object_dir_open(&options, &kind->store, &problem), ZKT_OK);
    free(path);
    free(secret);
    *state = kind;
    return 0;
}

// Empties the store through the seam, then removes what a directory store made.
static int
close_kind(void **state)
{
    struct kind *kind = *state;
    struct object_info infos[PAGE];
    struct problem problem;
    size_t count = 0;
    size_t deleted_count = 0;
    do {
        assert_int_equal(object_store_list(kind->store, NULL, infos, PAGE, &count, &problem),
                         ZKT_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(
                object_store_delete(kind->store, &infos[i].uid, 1, &deleted_count, &problem),
                ZKT_OK);
        }
    } while (count > 0);
    object_store_destroy(&kind->store);
    object_store_destroy(&kind->from);
    object_store_destroy(&kind->to);
    for (unsigned shard = 0; kind->folder != NULL && shard < 256; shard++) {
        char *path = xasprintf("%s/objects/%02x", kind->folder, shard);
        assert_int_equal(rmdir(path), 0); // nothing else is in there
        free(path);
    }
    static const char *const rest[] = {"/objects/tmp",
                                       "/objects/parts",
                                       "/objects/buckets",
                                       "/objects",
                                       "/keys/secret",
                                       "/keys",
                                       ""};
    for (size_t i = 0; kind->folder != NULL && i < sizeof(rest) / sizeof(rest[0]); i++) {
        char *path = xasprintf("%s%s", kind->folder, rest[i]);
        assert_int_equal(remove(path), 0);
        free(path);
    }
    free(kind->folder);
    free(kind);
    return 0;
}

static void
head_tells_what_is_there(void **state)
{
    struct kind *kind = *state;
    struct uid uid;
    struct object_info info;
    struct problem problem;
    uid_random(&uid);
    assert_int_equal(object_store_head(kind->store, &uid, &info, &problem), ZKT_NOT_FOUND);
    put(kind, &uid, "abc");
    assert_int_equal(object_store_head(kind->store, &uid, &info, &problem), ZKT_OK);
    assert_int_equal(info.size, 3);
    assert_true(uid_equal(&info.uid, &uid));
    assert_true(info.modified_ms > 0);
}

static void
delete_is_idempotent(void **state)
{
    struct kind *kind = *state;
    struct uid uids[3];
    struct object_info info;
    struct problem problem;
    size_t deleted_count = 9;
    for (size_t i = 0; i < 3; i++) {
        uid_random(&uids[i]);
    }
    put(kind, &uids[0], "a");
    put(kind, &uids[2], "c");
    assert_int_equal(object_store_delete(kind->store, uids, 3, &deleted_count, &problem), ZKT_OK);
    assert_int_equal(deleted_count, 3);
    assert_int_equal(object_store_head(kind->store, &uids[2], &info, &problem), ZKT_NOT_FOUND);
    assert_int_equal(object_store_delete(kind->store, uids, 3, &deleted_count, &problem), ZKT_OK);
    assert_int_equal(deleted_count, 3);
    assert_int_equal(object_store_delete(kind->store, uids, 0, &deleted_count, &problem), ZKT_OK);
    assert_int_equal(deleted_count, 0);
}

static void
list_shows_each_object_once_in_order(void **state)
{
    struct kind *kind = *state;
    struct object_info infos[PAGE];
    struct problem problem;
    struct uid last = {{0}};
    size_t seen_count = 0;
    size_t count = 0;
    bool is_first = true;
    for (size_t i = 0; i < OBJECTS_COUNT; i++) {
        struct uid uid;
        uid_random(&uid);
        put(kind, &uid, "x");
    }
    do {
        assert_int_equal(
            object_store_list(kind->store, is_first ? NULL : &last, infos, PAGE, &count, &problem),
            ZKT_OK);
        for (size_t i = 0; i < count; i++) {
            assert_true(is_first || uid_compare(&infos[i].uid, &last) > 0);
            is_first = false;
            last = infos[i].uid;
            seen_count++;
            if (seen_count % 7 == 0) { // deleting on the way disturbs nobody else
                size_t deleted_count = 0;
                assert_int_equal(
                    object_store_delete(kind->store, &last, 1, &deleted_count, &problem), ZKT_OK);
            }
        }
    } while (count > 0);
    assert_int_equal(seen_count, OBJECTS_COUNT);
}

static void
urls_are_given_for_any_object(void **state)
{
    struct kind *kind = *state;
    struct uid uid;
    struct bytes put_url = {0};
    struct bytes get_url = {0};
    const uint8_t sha256[32] = {1};
    uid_random(&uid);
    const struct object_info info = {.uid = uid, .size = 5};
    assert_int_equal(object_store_presign_put(kind->store, &info, sha256, 1700000000, &put_url),
                     ZKT_OK);
    assert_int_equal(object_store_presign_get(kind->store, &uid, 1700000000, &get_url), ZKT_OK);
    assert_true(put_url.len > 0);
    assert_string_not_equal(bytes_text(&put_url), bytes_text(&get_url));
    bytes_fini(&put_url);
    bytes_fini(&get_url);
}

// ---- In parts

static void
put_dir_part(struct kind *kind, const struct uid *uid, struct span upload, uint32_t part,
             struct span data, struct bytes *etag)
{
    struct object_grant grant = {
        .uid = *uid, .is_put = true, .size = (int64_t)data.len, .part = part};
    struct object_upload *begun = NULL;
    char text[OBJECT_ETAG_SIZE];
    char tag[33];
    uint8_t sha256[32];
    struct problem problem;
    snprintf(grant.upload, sizeof(grant.upload), "%.*s", (int)upload.len,
             (const char *)upload.data);
    assert_int_equal(object_upload_begin(kind->store, &grant, &begun, &problem), ZKT_OK);
    assert_int_equal(object_upload_write(begun, data.data, data.len, &problem), ZKT_OK);
    assert_int_equal(object_put_finish(&begun, text, &problem), S3_OK);
    EVP_Digest(data.data, data.len, sha256, NULL, EVP_sha256(), NULL);
    hex_format(sha256, sizeof sha256 / 2, tag);
    assert_string_equal(text, tag);
    bytes_printf(etag, "\"%s\"", text);
}

static void
put_part(struct kind *kind, const struct uid *uid, struct span upload, uint32_t part,
         struct span data, struct bytes *etag)
{
    struct bytes url = {0};
    struct bytes body = {0};
    assert_int_equal(object_store_presign_part(kind->store, uid, upload, part, (int64_t)data.len,
                                               time(NULL), &url),
                     ZKT_OK);
    if (kind->is_s3) {
        assert_int_equal(http(bytes_text(&url), &data, etag, &body), 200);
    } else if (strcmp(kind->store->kind, "dir") == 0) {
        put_dir_part(kind, uid, upload, part, data, etag);
    } else {
        struct object_store *mem = kind->to != NULL ? kind->to : kind->store;
        assert_int_equal(object_mem_put_part(mem, uid, upload, part, data, etag), ZKT_OK);
    }
    bytes_fini(&url);
    bytes_fini(&body);
}

struct parts {
    struct object_info info;
    uint8_t *content;
    uint8_t sha256[32];
    struct bytes upload;
    struct bytes etags[2];
    struct span spans[2];
};

static struct parts *
send_parts(struct kind *kind)
{
    struct parts *parts = xcalloc(1, sizeof(*parts));
    struct problem problem;
    size_t size = PART_BYTES + REST_BYTES;
    parts->content = xmalloc(size);
    for (size_t i = 0; i < size; i++) {
        parts->content[i] = (uint8_t)(i * 31 + i / 257);
    }
    uid_random(&parts->info.uid);
    parts->info.size = (int64_t)size;
    EVP_Digest(parts->content, size, parts->sha256, NULL, EVP_sha256(), NULL);
    assert_int_equal(object_store_multipart_begin(kind->store, &parts->info, parts->sha256,
                                                  &parts->upload, &problem),
                     ZKT_OK);
    // The second one first; the first one twice, as after a lost connection.
    struct span upload = bytes_span(&parts->upload);
    put_part(kind, &parts->info.uid, upload, 2, span_of(parts->content + PART_BYTES, REST_BYTES),
             &parts->etags[1]);
    put_part(kind, &parts->info.uid, upload, 1, span_of(parts->content + 1, PART_BYTES),
             &parts->etags[0]);
    bytes_clear(&parts->etags[0]);
    put_part(kind, &parts->info.uid, upload, 1, span_of(parts->content, PART_BYTES),
             &parts->etags[0]);
    parts->spans[0] = bytes_span(&parts->etags[0]);
    parts->spans[1] = bytes_span(&parts->etags[1]);
    return parts;
}

static enum zkt_err
complete(struct kind *kind, struct parts *parts, size_t count)
{
    struct problem problem;
    return object_store_multipart_complete(kind->store, &parts->info, parts->sha256,
                                           bytes_span(&parts->upload), parts->spans, count,
                                           &problem);
}

static void
parts_free(struct parts *parts)
{
    bytes_fini(&parts->upload);
    bytes_fini(&parts->etags[0]);
    bytes_fini(&parts->etags[1]);
    free(parts->content);
    free(parts);
}

static void
parts_become_an_object(void **state)
{
    struct kind *kind = *state;
    struct object_info info;
    struct problem problem;
    struct parts *parts = send_parts(kind);
    assert_int_equal(object_store_head(kind->store, &parts->info.uid, &info, &problem),
                     ZKT_NOT_FOUND);
    assert_int_equal(complete(kind, parts, 2), ZKT_OK);
    assert_int_equal(object_store_head(kind->store, &parts->info.uid, &info, &problem), ZKT_OK);
    assert_int_equal(info.size, parts->info.size);
    assert_int_equal(complete(kind, parts, 2), ZKT_OK); // who did not hear the answer
    if (kind->is_s3) {
        struct bytes url = {0};
        struct bytes body = {0};
        assert_int_equal(object_store_presign_get(kind->store, &parts->info.uid, time(NULL), &url),
                         ZKT_OK);
        assert_int_equal(http(bytes_text(&url), NULL, NULL, &body), 200);
        assert_int_equal(body.len, parts->info.size);
        assert_memory_equal(body.data, parts->content, body.len);
        bytes_fini(&url);
        bytes_fini(&body);
    }
    parts_free(parts);
}

static void
parts_that_are_another_object_are_refused(void **state)
{
    struct kind *kind = *state;
    struct object_info info;
    struct problem problem;
    struct parts *parts = send_parts(kind);
    assert_int_equal(complete(kind, parts, 0), ZKT_INVALID);
    parts->info.size++;
    assert_int_equal(complete(kind, parts, 2), ZKT_INVALID);
    assert_int_equal(object_store_head(kind->store, &parts->info.uid, &info, &problem),
                     ZKT_NOT_FOUND);
    assert_int_equal(object_store_multipart_abort(kind->store, &parts->info.uid,
                                                  bytes_span(&parts->upload), &problem),
                     ZKT_OK);
    parts_free(parts);
}

static void
an_etag_that_no_part_has_is_refused(void **state)
{
    struct kind *kind = *state;
    struct problem problem;
    struct parts *parts = send_parts(kind);
    parts->spans[0] = span_of_text("\"0123456789abcdef0123456789abcdef\"");
    assert_int_equal(complete(kind, parts, 2), ZKT_INVALID);
    assert_int_equal(object_store_multipart_abort(kind->store, &parts->info.uid,
                                                  bytes_span(&parts->upload), &problem),
                     ZKT_OK);
    assert_int_equal(complete(kind, parts, 2), ZKT_NOT_FOUND);
    // What is gone counts as aborted.
    assert_int_equal(object_store_multipart_abort(kind->store, &parts->info.uid,
                                                  bytes_span(&parts->upload), &problem),
                     ZKT_OK);
    parts_free(parts);
}

static void
uploads_under_way_are_listed_until_they_end(void **state)
{
    struct kind *kind = *state;
    enum { UPLOADS = 7 };
    struct object_pending *seen = xcalloc(UPLOADS + 1, sizeof(*seen));
    struct object_info info = {.size = 1};
    const uint8_t sha256[32] = {0};
    struct problem problem;
    size_t seen_count = 0;
    size_t count = 0;
    for (size_t i = 0; i < UPLOADS; i++) {
        struct bytes upload = {0};
        uid_random(&info.uid);
        assert_int_equal(
            object_store_multipart_begin(kind->store, &info, sha256, &upload, &problem), ZKT_OK);
        bytes_fini(&upload);
    }
    do {
        assert_int_equal(object_store_list_pending(kind->store,
                                                   seen_count > 0 ? &seen[seen_count - 1] : NULL,
                                                   seen + seen_count, 3, &count, &problem),
                         ZKT_OK);
        for (size_t i = seen_count; i < seen_count + count; i++) {
            assert_true(i == 0 || uid_compare(&seen[i - 1].uid, &seen[i].uid) < 0);
            assert_true(seen[i].started_ms > 0);
        }
        seen_count += count;
        assert_true(seen_count <= UPLOADS);
    } while (count > 0);
    assert_int_equal(seen_count, UPLOADS);
    for (size_t i = 0; i < UPLOADS; i++) {
        assert_int_equal(object_store_multipart_abort(kind->store, &seen[i].uid,
                                                      span_of_text(seen[i].upload), &problem),
                         ZKT_OK);
    }
    assert_int_equal(object_store_list_pending(kind->store, NULL, seen, 1, &count, &problem),
                     ZKT_OK);
    assert_int_equal(count, 0);
    free(seen);
}

// ---- Of a bucket that others use too

static void
put_and_get_by_url(void **state)
{
    struct kind *kind = *state;
    const uint8_t sha256[32] = {0};
    struct object_info info = {.size = 5};
    struct span content = span_of_text("hello");
    struct bytes url = {0};
    struct bytes body = {0};
    uid_random(&info.uid);
    assert_int_equal(object_store_presign_put(kind->store, &info, sha256, time(NULL), &url),
                     ZKT_OK);
    assert_int_equal(http(bytes_text(&url), &content, NULL, &body), 200);
    bytes_clear(&url);
    bytes_clear(&body);
    assert_int_equal(object_store_presign_get(kind->store, &info.uid, time(NULL), &url), ZKT_OK);
    assert_int_equal(http(bytes_text(&url), NULL, NULL, &body), 200);
    assert_true(span_equal(bytes_span(&body), content));
    bytes_clear(&url);
    bytes_clear(&body);
    assert_int_equal(object_store_presign_get(kind->store, &info.uid, time(NULL) - 3600, &url),
                     ZKT_OK);
    assert_int_equal(http(bytes_text(&url), NULL, NULL, &body), 403); // expired
    bytes_fini(&url);
    bytes_fini(&body);
}

static void
keys_of_others_are_theirs(void **state)
{
    struct kind *kind = *state;
    struct object_store *other = NULL;
    struct object_info infos[PAGE];
    struct problem problem;
    struct uid own;
    struct uid foreign;
    struct bytes cursor = {0};
    size_t count = 0;
    size_t deleted_count = 0;
    const struct object_s3_options options = s3_options("other/");
    assert_int_equal(object_s3_open(&options, &other, &problem), ZKT_OK);
    uid_random(&own);
    uid_random(&foreign);
    put_file(kind->store, &own, "own");
    put_file(other, &foreign, "foreign");
    assert_int_equal(object_store_list(kind->store, NULL, infos, PAGE, &count, &problem), ZKT_OK);
    assert_int_equal(count, 1);
    assert_true(uid_equal(&infos[0].uid, &own));
    assert_int_equal(object_store_delete(kind->store, &foreign, 1, &deleted_count, &problem),
                     ZKT_OK);
    assert_int_equal(object_store_head(other, &foreign, &infos[0], &problem), ZKT_OK);
    // "all", with nothing that old
    assert_int_equal(
        object_store_delete_foreign(kind->store, 1000, &cursor, &deleted_count, &problem), ZKT_OK);
    assert_int_equal(deleted_count, 0);
    assert_int_equal(cursor.len, 0);
    assert_int_equal(object_store_delete_foreign(kind->store, (time(NULL) + 60) * 1000, &cursor,
                                                 &deleted_count, &problem),
                     ZKT_OK);
    assert_int_equal(deleted_count, 1);
    assert_int_equal(object_store_head(other, &foreign, &infos[0], &problem), ZKT_NOT_FOUND);
    assert_int_equal(object_store_head(kind->store, &own, &infos[0], &problem), ZKT_OK);
    bytes_fini(&cursor);
    object_store_destroy(&other);
}

static void
an_interrupted_store_waits_for_nothing(void **state)
{
    struct kind *kind = *state;
    struct object_store *away = NULL;
    struct object_info info;
    struct problem problem;
    struct uid uid = {{1}};
    struct object_s3_options options = s3_options("own/");
    options.address = "http://127.0.0.1:1"; // nobody listens
    (void)kind;
    assert_int_equal(object_s3_open(&options, &away, &problem), ZKT_OK); // tasks flow without it
    object_store_interrupt(away);
    assert_int_equal(object_store_head(away, &uid, &info, &problem), ZKT_CANCELLED);
    object_store_destroy(&away);
}

static void
a_start_says_what_is_wrong(void **state)
{
    struct object_store *store = NULL;
    struct problem problem = {.code = ZKT_OK};
    struct object_s3_options options = s3_options("own/");
    (void)state; // G2
    options.makes_bucket = false;
    options.bucket = "no-such-bucket";
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_NOT_FOUND);
    assert_non_null(strstr(problem.text, "no-such-bucket"));
    assert_non_null(strstr(problem.text, "--setup-bucket"));
    options = s3_options("own/");
    options.credentials.secret = "wrong";
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_DENIED);
    assert_non_null(strstr(problem.text, "[s3] secret_key"));
    options = s3_options("own/");
    options.credentials.access = "nobody";
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_DENIED);
    assert_non_null(strstr(problem.text, "[s3] access_key"));
    options = s3_options("own/");
    options.credentials.access = NULL;
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_CONFIG_INVALID);
    options = s3_options("own/");
    options.address = "somewhere";
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_CONFIG_INVALID);
    assert_non_null(strstr(problem.text, "[s3] address"));
    options = s3_options("own/");
    options.bucket = "a/b";
    assert_int_equal(object_s3_open(&options, &store, &problem), ZKT_CONFIG_INVALID);
    assert_null(store);
}

static void
a_failing_store_says_how_far_it_came(void **state)
{
    struct kind *kind = *state;
    struct uid uids[2];
    struct problem problem;
    size_t deleted_count = 9;
    uid_random(&uids[0]);
    uid_random(&uids[1]);
    object_mem_fail(kind->store, 1);
    assert_int_equal(object_store_delete(kind->store, uids, 2, &deleted_count, &problem), ZKT_IO);
    assert_int_equal(deleted_count, 0);
    assert_int_equal(object_store_delete(kind->store, uids, 2, &deleted_count, &problem), ZKT_OK);
}

#define over(test, kind)                                                                           \
    {                                                                                              \
#kind ": " #test, test, open_##kind, close_kind, NULL                                      \
    }

static int
over_s3(void)
{
    const struct CMUnitTest tests[] = {
        over(head_tells_what_is_there, s3),
        over(delete_is_idempotent, s3),
        over(list_shows_each_object_once_in_order, s3),
        over(urls_are_given_for_any_object, s3),
        over(parts_become_an_object, s3),
        over(parts_that_are_another_object_are_refused, s3),
        over(an_etag_that_no_part_has_is_refused, s3),
        over(uploads_under_way_are_listed_until_they_end, s3),
        over(put_and_get_by_url, s3),
        over(keys_of_others_are_theirs, s3),
        over(an_interrupted_store_waits_for_nothing, s3),
        over(a_start_says_what_is_wrong, s3),
    };
    return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        over(head_tells_what_is_there, mem),
        over(delete_is_idempotent, mem),
        over(list_shows_each_object_once_in_order, mem),
        over(urls_are_given_for_any_object, mem),
        over(parts_become_an_object, mem),
        over(parts_that_are_another_object_are_refused, mem),
        over(an_etag_that_no_part_has_is_refused, mem),
        over(uploads_under_way_are_listed_until_they_end, mem),
        over(a_failing_store_says_how_far_it_came, mem),
        over(head_tells_what_is_there, moving),
        over(delete_is_idempotent, moving),
        over(list_shows_each_object_once_in_order, moving),
        over(urls_are_given_for_any_object, moving),
        over(parts_become_an_object, moving),
        over(uploads_under_way_are_listed_until_they_end, moving),
        over(head_tells_what_is_there, dir),
        over(delete_is_idempotent, dir),
        over(list_shows_each_object_once_in_order, dir),
        over(urls_are_given_for_any_object, dir),
        over(parts_become_an_object, dir),
        over(parts_that_are_another_object_are_refused, dir),
        over(an_etag_that_no_part_has_is_refused, dir),
        over(uploads_under_way_are_listed_until_they_end, dir),
    };
    if (argc > 1 && strcmp(argv[1], "s3") == 0) {
        return over_s3();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
