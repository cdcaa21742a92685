// The directory store: what an upload leaves behind in every case, whom a URL lets in, what a
// restart finds.
#include "unit/testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "object/object_bucket.h"
#include "object/object_dir.h"
#include "object/object_secret.h"

enum { NOW_S = 1700000000, TTL_S = 60 };

static unsigned syncs_count;
static ino_t synced;

// Stands before that of the C library: counts, and syncs.
int
fsync(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    synced = status.st_ino;
    syncs_count++;
    return (int)syscall(SYS_fsync, fd);
}

struct fixture {
    char *folder;
    char *path;
    char *secret_path;
    struct object_store *store;
};

static void
open_store(struct fixture *fixture)
{
    struct problem problem = {0};
    const struct object_dir_options options = {
        .path = fixture->path,
        .secret_path = fixture->secret_path,
        .address = "http://:5572",
        .url_ttl_s = TTL_S,
    };
    enum zkt_err err = object_dir_open(&options, &fixture->store, &problem);
    if (err != ZKT_OK) {
        print_error("%s\n", problem.text);
    }
    assert_int_equal(err, ZKT_OK);
}

static int
set_up(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof(*fixture));
    const char *temp = getenv("TMPDIR");
    fixture->folder = xasprintf("%s/zkarton-test-XXXXXX", temp != NULL ? temp : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->path = xasprintf("%s/objects", fixture->folder);
    fixture->secret_path = xasprintf("%s/keys/object.secret", fixture->folder);
    open_store(fixture);
    *state = fixture;
    return 0;
}

static void
remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char *inside = xasprintf("%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && remove(inside) != 0) {
            remove_folder(inside);
        }
        free(inside);
    }
    if (folder != NULL) {
        closedir(folder);
    }
    remove(path);
}

static int
tear_down(void **state)
{
    struct fixture *fixture = *state;
    object_store_destroy(&fixture->store);
    remove_folder(fixture->folder);
    free(fixture->folder);
    free(fixture->path);
    free(fixture->secret_path);
    free(fixture);
    return 0;
}

static struct object_grant
grant_of(const char *content)
{
    struct object_grant grant = {.is_put = true, .size = (int64_t)strlen(content)};
    uid_random(&grant.uid);
    EVP_Digest(content, strlen(content), grant.sha256, NULL, EVP_sha256(), NULL);
    return grant;
}

static enum zkt_err
upload(struct fixture *fixture, const struct object_grant *grant, const char *content)
{
    struct object_upload *upload = NULL;
    struct problem problem;
    assert_int_equal(object_upload_begin(fixture->store, grant, &upload, &problem), ZKT_OK);
    size_t half = strlen(content) / 2;
    enum zkt_err err = object_upload_write(upload, content, half, &problem);
    if (err == ZKT_OK) {
        err = object_upload_write(upload, content + half, strlen(content) - half, &problem);
    }
    if (err != ZKT_OK) {
        object_upload_abort(&upload);
        return err;
    }
    char etag[OBJECT_ETAG_SIZE];
    err = object_put_finish(&upload, etag, &problem) == S3_OK ? ZKT_OK : problem.code;
    assert_null(upload);
    return err;
}

static size_t
files_in(const struct fixture *fixture, const char *name)
{
    char *path = xasprintf("%s/%s", fixture->path, name);
    DIR *folder = opendir(path);
    size_t count = 0;
    struct dirent *entry;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    free(path);
    return count;
}

static void
what_was_uploaded_can_be_read(void **state)
{
    struct fixture *fixture = *state;
    struct object_grant grant = grant_of("hello world");
    struct object_info info;
    struct problem problem;
    char content[32] = "";
    int fd = -1;
    assert_int_equal(object_store_head(fixture->store, &grant.uid, &info, &problem), ZKT_NOT_FOUND);
    assert_int_equal(upload(fixture, &grant, "hello world"), ZKT_OK);
    assert_int_equal(object_dir_open_file(fixture->store, &grant.uid, &fd, &info, &problem),
                     ZKT_OK);
    assert_int_equal(info.size, 11);
    assert_int_equal(read(fd, content, (size_t)info.size), 11);
    assert_string_equal(content, "hello world");
    close(fd);
    assert_int_equal(files_in(fixture, "tmp"), 0);
    struct object_grant other = grant_of("HELLO WORLD");
    other.uid = grant.uid;
    assert_int_equal(upload(fixture, &other, "HELLO WORLD"), ZKT_IN_USE);
    assert_int_equal(upload(fixture, &grant, "hello world"), ZKT_OK); // an answer was lost
    assert_int_equal(files_in(fixture, "tmp"), 0);
    struct object_grant empty = grant_of(""); // T6
    assert_int_equal(upload(fixture, &empty, ""), ZKT_OK);
}

static void
what_is_wrong_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct object_grant grant = grant_of("hello world");
    struct object_info info;
    struct problem problem;
    assert_int_equal(upload(fixture, &grant, "hello worle"), ZKT_INVALID);
    assert_int_equal(upload(fixture, &grant, "hello worl"), ZKT_INVALID);
    assert_int_equal(upload(fixture, &grant, "hello world!"), ZKT_TOO_LARGE);
    assert_int_equal(object_store_head(fixture->store, &grant.uid, &info, &problem), ZKT_NOT_FOUND);
    assert_int_equal(files_in(fixture, "tmp"), 0);
}

static void
a_restart_keeps_objects_and_secret_and_sweeps_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct object_grant grant = grant_of("kept");
    struct object_info info;
    struct problem problem;
    struct bytes before = {0};
    struct bytes after = {0};
    struct stat status;
    assert_int_equal(upload(fixture, &grant, "kept"), ZKT_OK);
    assert_int_equal(object_store_presign_get(fixture->store, &grant.uid, NOW_S, &before), ZKT_OK);
    char *partial = xasprintf("%s/tmp/abcdef", fixture->path);
    close(open(partial, O_CREAT | O_WRONLY, 0600));
    free(partial);
    object_store_destroy(&fixture->store);
    open_store(fixture);
    assert_int_equal(files_in(fixture, "tmp"), 0);
    assert_int_equal(object_store_head(fixture->store, &grant.uid, &info, &problem), ZKT_OK);
    assert_int_equal(object_store_presign_get(fixture->store, &grant.uid, NOW_S, &after), ZKT_OK);
    assert_string_equal(bytes_text(&before), bytes_text(&after));
    assert_int_equal(stat(fixture->secret_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    bytes_fini(&before);
    bytes_fini(&after);
}

static void
a_secret_that_others_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct problem problem;
    const struct object_dir_options options = {
        .path = fixture->path, .secret_path = fixture->secret_path, .url_ttl_s = TTL_S};
    object_store_destroy(&fixture->store);
    assert_int_equal(chmod(fixture->secret_path, 0640), 0);
    assert_int_equal(object_dir_open(&options, &fixture->store, &problem), ZKT_INSECURE);
    assert_null(fixture->store);
    assert_non_null(strstr(problem.text, "chmod 600"));
}

// The order on the disk: the bytes, the name, and only then is it used.
static void
a_secret_is_on_disk_under_its_name(void **state)
{
    struct fixture *fixture = *state;
    struct problem problem;
    char first[OBJECT_SECRET_MAX + 1];
    char again[OBJECT_SECRET_MAX + 1];
    char *folder = xasprintf("%s/keys", fixture->folder);
    char *path = xasprintf("%s/object.prefix", folder);
    syncs_count = 0;
    assert_int_equal(object_secret_load(path, 12, false, first, &problem), ZKT_OK);
    assert_int_equal(syncs_count, 2);
    struct stat status;
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(synced, status.st_ino); // the last one is the folder
    assert_int_equal(object_secret_load(path, 12, false, again, &problem), ZKT_OK);
    assert_string_equal(first, again);
    assert_int_equal(strlen(first), 12);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(object_secret_load(path, 12, true, again, &problem), ZKT_INSECURE);
    assert_int_equal(truncate(path, 11), 0);
    assert_int_equal(object_secret_load(path, 12, false, again, &problem), ZKT_IO);
    free(path);
    free(folder);
}

static void
put_key(struct fixture *fixture, const char *key)
{
    struct object_upload *upload = NULL;
    struct problem problem;
    char etag[OBJECT_ETAG_SIZE];
    const struct object_put put = {.bucket = "many", .key = key, .size = 0};
    assert_int_equal(object_put_begin(fixture->store, &put, &upload, &problem), S3_OK);
    assert_int_equal(object_put_finish(&upload, etag, &problem), S3_OK);
}

static void
many_deletes_sync_a_folder_once(void **state)
{
    struct fixture *fixture = *state;
    struct problem problem;
    char *keys[12];
    enum s3_code codes[12];
    assert_int_equal(object_bucket_create(fixture->store, "many", &problem), S3_OK);
    for (size_t i = 0; i < 10; i++) { // in the bucket, in a, in a/b, again and again
        static const char *const folders[] = {"", "a/", "a/b/"};
        keys[i] = xasprintf("%s%zu", folders[i % 3], i);
        put_key(fixture, keys[i]);
    }
    keys[10] = xstrdup("a/never");
    keys[11] = xasprintf("%0255d", 0); // no key can be so
    syncs_count = 0;
    object_keys_delete(fixture->store, "many", keys, 12, codes);
    assert_int_equal(syncs_count, 3);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(codes[i], i == 11 ? S3_KEY_TOO_LONG : S3_OK);
        free(keys[i]);
    }
    assert_int_equal(files_in(fixture, "buckets/many"), 0); // empty folders went too
}

// Asks with this method and the URL after the host.
static enum zkt_err
authorize(struct fixture *fixture, const char *method, const char *url, int64_t now_s,
          struct object_grant *grant)
{
    struct s3_param params[S3_PARAMS_MAX];
    struct problem problem;
    char *text = xstrdup(strchr(url + strlen("http://"), '/'));
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    struct s3_request request = {
        .method = method, .host = "10.0.0.7:5572", .path = text, .params = params};
    enum zkt_err err = ZKT_INVALID;
    if (s3_query_parse(query, params, &request.params_count)) {
        err = object_dir_authorize(fixture->store, &request, now_s, grant, &problem);
    }
    free(text);
    return err;
}

static void
a_url_allows_what_it_says(void **state)
{
    struct fixture *fixture = *state;
    struct object_grant want = grant_of("hello");
    struct object_grant got;
    struct bytes put = {0};
    struct bytes get = {0};
    const struct object_info info = {.uid = want.uid, .size = want.size};
    assert_int_equal(object_store_presign_put(fixture->store, &info, want.sha256, NOW_S, &put),
                     ZKT_OK);
    assert_int_equal(object_store_presign_get(fixture->store, &want.uid, NOW_S, &get), ZKT_OK);
    const char *put_url = bytes_text(&put);
    const char *get_url = bytes_text(&get);
    assert_int_equal(strncmp(put_url, "http://:5572/objects/", 21), 0);
    assert_int_equal(authorize(fixture, "PUT", put_url, NOW_S, &got), ZKT_OK);
    assert_true(got.is_put);
    assert_int_equal(got.size, 5);
    assert_memory_equal(got.sha256, want.sha256, 32);
    assert_true(uid_equal(&got.uid, &want.uid));
    assert_int_equal(authorize(fixture, "GET", get_url, NOW_S + TTL_S, &got), ZKT_OK);
    assert_int_equal(authorize(fixture, "HEAD", get_url, NOW_S, &got), ZKT_OK);
    assert_int_equal(authorize(fixture, "GET", get_url, NOW_S + TTL_S + 1, &got), ZKT_DENIED);
    assert_int_equal(authorize(fixture, "PUT", get_url, NOW_S, &got), ZKT_DENIED);
    assert_int_equal(authorize(fixture, "GET", put_url, NOW_S, &got), ZKT_DENIED);
    assert_int_equal(authorize(fixture, "DELETE", get_url, NOW_S, &got), ZKT_DENIED);
    assert_int_equal(authorize(fixture, "GET", "http://x/objects/../keys", NOW_S, &got),
                     ZKT_NOT_FOUND);
    char *size = strstr(bytes_text(&put), "x-zkt-size=5");
    assert_non_null(size);
    size[strlen("x-zkt-size=")] = '6';
    assert_int_equal(authorize(fixture, "PUT", bytes_text(&put), NOW_S, &got), ZKT_DENIED);
    bytes_fini(&put);
    bytes_fini(&get);
}

static void
a_client_may_sign_for_the_host_it_dialled(void **state)
{
    struct fixture *fixture = *state;
    struct object_grant got;
    struct uid uid;
    struct bytes url = {0};
    uid_random(&uid);
    object_dir_set_address(fixture->store, "http://10.0.0.7:5572");
    assert_int_equal(object_store_presign_get(fixture->store, &uid, NOW_S, &url), ZKT_OK);
    object_dir_set_address(fixture->store, "http://:1");
    assert_int_equal(authorize(fixture, "GET", bytes_text(&url), NOW_S, &got), ZKT_OK);
    bytes_fini(&url);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_uploaded_can_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_restart_keeps_objects_and_secret_and_sweeps_the_rest,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_that_others_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_is_on_disk_under_its_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_deletes_sync_a_folder_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_url_allows_what_it_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_may_sign_for_the_host_it_dialled, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
