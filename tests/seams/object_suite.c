// One suite over every object store: what the seam promises, whoever keeps the bytes.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "object/object_dir.h"
#include "object/object_mem.h"

enum { OBJECTS_COUNT = 700, PAGE = 64 };

struct kind {
    const char *name;
    struct object_store *store;
    char *folder; // NULL: none
};

static void
put(struct kind *kind, const struct uid *uid, const char *content)
{
    struct object_grant grant = {.uid = *uid, .is_put = true, .size = (int64_t)strlen(content)};
    struct object_upload *upload = NULL;
    struct problem problem;
    if (kind->folder == NULL) {
        object_mem_put(kind->store, uid, content, strlen(content), 1);
        return;
    }
    EVP_Digest(content, strlen(content), grant.sha256, NULL, EVP_sha256(), NULL);
    assert_int_equal(object_upload_begin(kind->store, &grant, &upload, &problem), ZKT_OK);
    assert_int_equal(object_upload_write(upload, content, strlen(content), &problem), ZKT_OK);
    assert_int_equal(object_upload_finish(&upload, &problem), ZKT_OK);
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
    for (unsigned shard = 0; kind->folder != NULL && shard < 256; shard++) {
        char *path = xasprintf("%s/objects/%02x", kind->folder, shard);
        assert_int_equal(rmdir(path), 0); // nothing else is in there
        free(path);
    }
    static const char *const rest[] = {"/objects/tmp", "/objects", "/keys/secret", "/keys", ""};
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        over(head_tells_what_is_there, mem),
        over(delete_is_idempotent, mem),
        over(list_shows_each_object_once_in_order, mem),
        over(urls_are_given_for_any_object, mem),
        over(a_failing_store_says_how_far_it_came, mem),
        over(head_tells_what_is_there, dir),
        over(delete_is_idempotent, dir),
        over(list_shows_each_object_once_in_order, dir),
        over(urls_are_given_for_any_object, dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
