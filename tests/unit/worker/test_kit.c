// The test kit and what process may do with files (I5, B1-B4, T6, S19).
#include "testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zkarton.h>

#include "archive.h"
#include "base/memory.h"

static char temp_dir[] = "/tmp/zkarton-test-XXXXXX";

static void
write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static size_t
entries_count(void)
{
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | wc -l", temp_dir);
    FILE *pipe = popen(command, "r");
    unsigned count = 99;
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

static enum zkt_err
upper(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    const void *data = NULL;
    size_t size = 0;
    (void)arg;
    if (zkt_delivery_data(delivery, zkt_task_resource(task, "sample"), &data, &size) != ZKT_OK) {
        return ZKT_IO;
    }
    char text[64] = "";
    for (size_t byte_index = 0; byte_index < size && byte_index < 63; byte_index++) {
        char byte = ((const char *)data)[byte_index];
        text[byte_index] = byte >= 'a' && byte <= 'z' ? (char)(byte - 32) : byte;
    }
    zkt_log(delivery, ZKT_INFO, "%zu bytes", size);
    const char *folder = NULL;
    char path[256];
    if (zkt_delivery_folder(delivery, NULL, &folder) != ZKT_OK) {
        return ZKT_IO;
    }
    snprintf(path, sizeof path, "%s/up", folder);
    write_file(path, text);
    zkt_task_t *child = zkt_task_new("type=upper");
    zkt_task_set_file(child, "sample", path);
    return zkt_delivery_send(delivery, &child);
}

static zkt_worker_options_t
options_of(zkt_process_fn process)
{
    return (zkt_worker_options_t){
        .identity = "karton.upper", .filters = {"type=text lang=!de"}, .process = process};
}

static void
test_finished(void **state)
{
    (void)state;
    zkt_worker_options_t options = options_of(upper);
    zkt_task_t *task = zkt_task_new("type=text quality=high");
    zkt_task_persist_header(task, "quality");
    zkt_task_set_data(task, "sample", "a", "abc", 3);
    zkt_task_set_string(task, "uploader", "ps");
    zkt_task_persist(task, "uploader");
    zkt_test_t *test = NULL;
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_null(task);
    assert_string_equal(zkt_test_state(test), "Finished");
    assert_null(zkt_test_error(test));
    assert_string_equal(zkt_test_log(test), "[INFO] 3 bytes\n");
    assert_int_equal(zkt_test_children_count(test), 1);
    const zkt_task_t *child = zkt_test_child(test, 0);
    char *headers = zkt_value_json(zkt_task_headers(child));
    assert_string_equal(
        headers, "{\"type\": \"upper\", \"quality\": \"high\", \"origin\": \"karton.upper\"}");
    free(headers);
    assert_string_equal(zkt_value_string(zkt_task_payload(child, "uploader"), ""), "ps");
    size_t size = 0;
    const char *data = zkt_test_data(test, zkt_task_resource(child, "sample"), &size);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "ABC", 3);
    assert_null(zkt_test_child(test, 1));
    zkt_test_destroy(&test);
    assert_int_equal(entries_count(), 0); // files and folders ended with process
}

static void
test_rejected(void **state)
{
    (void)state;
    zkt_worker_options_t options = options_of(upper);
    zkt_task_t *task = zkt_task_new("type=text lang=de");
    zkt_test_t *test = NULL;
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Rejected");
    zkt_test_destroy(&test);
}

static enum zkt_err
refuse(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    if (zkt_task_header(task, "back") != NULL) {
        return zkt_delivery_give_back(delivery, 0);
    }
    if (zkt_task_header(task, "plain") != NULL) {
        return ZKT_IO;
    }
    zkt_task_t *child = zkt_task_new("bad");
    enum zkt_err err = zkt_delivery_send(delivery, &child);
    return err == ZKT_INVALID && child == NULL ? err : ZKT_OK;
}

static void
test_crashed_and_returned(void **state)
{
    (void)state;
    zkt_worker_options_t options = options_of(refuse);
    zkt_test_t *test = NULL;
    zkt_task_t *task = zkt_task_new("type=text");
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_non_null(strstr(zkt_test_error(test), "\"bad\" is not KEY=VALUE"));
    zkt_test_destroy(&test);
    task = zkt_task_new("type=text plain=1");
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_string_equal(zkt_test_error(test), "IO");
    zkt_test_destroy(&test);
    task = zkt_task_new("type=text back=1");
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Returned");
    zkt_test_destroy(&test);
}

static enum zkt_err
unzip(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const zkt_resource_t *zip = zkt_task_resource(task, "tree");
    const char *folder = NULL;
    enum zkt_err err = zkt_delivery_folder(delivery, zip, &folder);
    if (err != ZKT_OK) {
        return err;
    }
    char path[512];
    snprintf(path, sizeof path, "%s/sub/deep.txt", folder);
    struct stat status;
    zkt_log(delivery, ZKT_INFO, "%d %d", stat(path, &status) == 0 ? (int)status.st_size : -1,
            zkt_resource_is_directory(zip));
    return ZKT_OK;
}

// A worker with the folder as resource "tree" of its task, which it finishes.
static zkt_test_t *
finish(zkt_process_fn process, const char *folder)
{
    zkt_worker_options_t options = options_of(process);
    zkt_task_t *task = zkt_task_new("type=text");
    zkt_task_set_directory(task, "tree", folder);
    assert_null(zkt_task_error(task));
    zkt_test_t *test = NULL;
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Finished");
    return test;
}

static void
test_directories(void **state)
{
    (void)state;
    char folder[64] = "/tmp/zkarton-tree-XXXXXX";
    char path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/sub/deep.txt", folder);
    write_file(path, "deep");
    zkt_test_t *test = finish(unzip, folder);
    assert_string_equal(zkt_test_log(test), "[INFO] 4 1\n");
    zkt_test_destroy(&test);
    unlink(path);
    snprintf(path, sizeof path, "%s/sub", folder);
    rmdir(path);
    rmdir(folder);
    assert_int_equal(entries_count(), 0);
}

static enum zkt_err
list_folder(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    const char *folder = NULL;
    enum zkt_err err = zkt_delivery_folder(delivery, zkt_task_resource(task, "tree"), &folder);
    DIR *entries = err == ZKT_OK ? opendir(folder) : NULL;
    struct dirent *entry = NULL;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.') {
            zkt_log(delivery, ZKT_INFO, "%zu %02x", strlen(entry->d_name),
                    (unsigned char)entry->d_name[0]);
        }
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return err;
}

// Links are followed as far as they stay in the folder.
static void
test_links_stay_inside(void **state)
{
    (void)state;
    static const char *const links[][2] = {{"a", "in"},
                                           {"/etc/passwd", "out"},
                                           {"/etc", "outdir"},
                                           {"..", "above"},
                                           {"no", "dangling"}};
    enum { LINKS_COUNT = sizeof links / sizeof *links };
    char folder[64] = "/tmp/zkarton-tree-XXXXXX";
    char file[128];
    char path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/a", folder);
    write_file(file, "x");
    for (size_t i = 0; i < LINKS_COUNT; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, links[i][1]);
        assert_int_equal(symlink(links[i][0], path), 0);
    }
    zkt_test_t *test = finish(list_folder, folder);
    const char *log = zkt_test_log(test);
    assert_non_null(strstr(log, "[INFO] 1 61\n"));
    assert_non_null(strstr(log, "[INFO] 2 69\n"));
    assert_int_equal(strlen(log), 2 * strlen("[INFO] 1 61\n"));
    zkt_test_destroy(&test);
    for (size_t i = 0; i < LINKS_COUNT; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, links[i][1]);
        unlink(path);
    }
    unlink(file);
    rmdir(folder);
}

// An empty directory is one, and names that are no text come back as they were (B3).
static void
test_odd_directories(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "\xff\xfe"};
    static const char *const logs[] = {"", "[INFO] 2 ff\n"};
    for (size_t i = 0; i < 2; i++) {
        char folder[64] = "/tmp/zkarton-tree-XXXXXX";
        char path[128] = "";
        assert_non_null(mkdtemp(folder));
        if (names[i] != NULL) {
            snprintf(path, sizeof path, "%s/%s", folder, names[i]);
            write_file(path, "x");
        }
        zkt_test_t *test = finish(list_folder, folder);
        assert_string_equal(zkt_test_log(test), logs[i]);
        zkt_test_destroy(&test);
        unlink(path);
        rmdir(folder);
    }
}

// The name of a file may be any bytes: it is carried as text, and is never a path.
static void
test_odd_names(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/file", temp_dir);
    write_file(path, "x");
    zkt_task_t *task = zkt_task_new("type=text");
    zkt_task_set_file_as(task, "a", "../\xff\xe4/../x", path);
    char *name = xcalloc(10001, 1);
    memset(name, 'n', 10000);
    zkt_task_set_file_as(task, "b", name, path);
    assert_null(zkt_task_error(task));
    assert_string_equal(zkt_resource_name(zkt_task_resource(task, "a")),
                        "../\xed\xb3\xbf\xed\xb3\xa4/../x");
    assert_int_equal(strlen(zkt_resource_name(zkt_task_resource(task, "b"))), 10000);
    char *json = zkt_task_json(task, 0);
    assert_non_null(strstr(json, "../\\udcff\\udce4/../x"));
    free(json);
    free(name);
    zkt_task_destroy(&task);
    unlink(path);
}

// A token is what zkt_client_put printed, and nothing else.
static void
test_tokens(void **state)
{
    (void)state;
    static const char good[] =
        "object:0be49ec1-ab49-42fe-857f-97e8535307b6:3661456e-9a4b-45b2-b916-efb87e73ca0d:100:"
        "c7f97b82a4ca80acce50ee1a9fbb56e38c2ce170b8fa919f5320dc4a7b9e8e90:1:%2E%2E%2Fa%20b";
    zkt_task_t *task = zkt_task_new("type=text");
    zkt_task_set_token(task, "a", good);
    assert_null(zkt_task_error(task));
    const zkt_resource_t *resource = zkt_task_resource(task, "a");
    assert_string_equal(zkt_resource_name(resource), "../a b");
    assert_int_equal(zkt_resource_size(resource), 100);
    assert_true(zkt_resource_is_directory(resource));
    char *json = zkt_task_json(task, 0);
    assert_null(strstr(json, "3661456e")); // the secret stays out of the task
    free(json);
    zkt_task_destroy(&task);
    static const char *const wrong[] = {
        "", "object:", "object:0be49ec1-ab49-42fe-857f-97e8535307b6::1:00:0:x",
        "object:x:y:1:z:0:n", "0be49ec1-ab49-42fe-857f-97e8535307b6"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        task = zkt_task_new("type=text");
        zkt_task_set_token(task, "a", wrong[i]);
        assert_non_null(strstr(zkt_task_error(task), "not a token"));
        zkt_task_destroy(&task);
    }
    char cut[sizeof good];
    for (size_t len = 0; len < sizeof good - 1; len++) { // every cut one is refused or read whole
        memcpy(cut, good, len);
        cut[len] = '\0';
        task = zkt_task_new("type=text");
        zkt_task_set_token(task, "a", cut);
        assert_true(zkt_task_error(task) != NULL || len > (size_t)(strrchr(good, ':') - good));
        zkt_task_destroy(&task);
    }
}

// A zip with an entry "../x", stored, made by hand.
static void
test_zip_cannot_leave(void **state)
{
    (void)state;
    static const char zip[] =
        "PK\3\4\12\0\0\0\0\0\0\0!\0\203\26\334\214\1\0\0\0\1\0\0\0\4\0\0\0../xx"
        "PK\1\2\12\0\12\0\0\0\0\0\0\0!\0\203\26\334\214\1\0\0\0\1\0\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\0\0\0../x"
        "PK\5\6\0\0\0\0\1\0\1\0002\0\0\0#\0\0\0\0\0";
    zkt_worker_options_t options = options_of(unzip);
    zkt_task_t *task = zkt_task_new("type=text");
    zkt_task_set_data(task, "tree", "evil.zip", zip, sizeof zip - 1);
    zkt_test_t *test = NULL;
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_string_equal(zkt_test_state(test), "Crashed");
    assert_non_null(strstr(zkt_test_error(test), "entry \"../x\" leaves the folder"));
    zkt_test_destroy(&test);
    task = zkt_task_new("type=text");
    zkt_task_set_data(task, "tree", "no.zip", "nothing", 7);
    assert_int_equal(zkt_test_run(&options, &task, &test), ZKT_OK);
    assert_non_null(strstr(zkt_test_error(test), "not a zip archive"));
    zkt_test_destroy(&test);
}

static void
test_local_resources(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/empty", temp_dir);
    write_file(path, "");
    zkt_task_t *task = zkt_task_new("type=text");
    zkt_task_set_file(task, "empty", path); // T6: legal by path
    assert_null(zkt_task_error(task));
    const zkt_resource_t *resource = zkt_task_resource(task, "empty");
    assert_int_equal(zkt_resource_size(resource), 0);
    assert_string_equal(zkt_resource_sha256(resource),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(zkt_resource_name(resource), "empty");
    assert_string_equal(zkt_resource_bucket(resource), "karton");
    zkt_task_set_data(task, "none", "none", "", 0); // … but not as data
    assert_non_null(strstr(zkt_task_error(task), "none: empty data"));
    zkt_task_destroy(&task);

    write_file(path, "abc");
    int fd = open(path, O_RDONLY);
    assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
    task = zkt_task_new("type=text");
    zkt_task_set_fd(task, "fd", "name", fd);
    assert_null(zkt_task_error(task));
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 2); // B1: the position is kept
    assert_int_equal(zkt_resource_size(zkt_task_resource(task, "fd")), 3);
    close(fd);
    zkt_task_set_file(task, "missing", "/no/such/file");
    assert_non_null(strstr(zkt_task_error(task), "missing: /no/such/file: No such file"));
    zkt_task_destroy(&task);
    unlink(path);
}

static int
make_temp(void **state)
{
    (void)state;
    return mkdtemp(temp_dir) == NULL || setenv("TMPDIR", temp_dir, 1) != 0;
}

static int
remove_temp(void **state)
{
    (void)state;
    return rmdir(temp_dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finished),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_crashed_and_returned),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_odd_directories),
        cmocka_unit_test(test_links_stay_inside),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_zip_cannot_leave),
        cmocka_unit_test(test_local_resources),
    };
    return cmocka_run_group_tests(tests, make_temp, remove_temp);
}
