// What is served while requests wait for the disk, which a gate in front of fsync holds.
#include "unit/testing.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "object/s3_sign.h"
#include "unit/http/place.h"

enum { MANY = 64, DEADLINE_MS = 20000 };

// ---- The gate

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t has_changed;
    bool holds_files;
    bool holds_folders;
    size_t held_count;
    size_t folder_syncs_count;
    size_t now_count; // folders being synced
    size_t now_max;
    struct bytes durable; // names, "NAME\n" each: they stood in a folder when its sync began
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .has_changed = PTHREAD_COND_INITIALIZER};

static void
append_names(int fd, struct bytes *names)
{
    DIR *folder = fdopendir(dup(fd));
    struct dirent *entry;
    assert_non_null(folder);
    rewinddir(folder);
    while ((entry = readdir(folder)) != NULL) {
        bytes_printf(names, "%s\n", entry->d_name);
    }
    closedir(folder);
}

// In place of libc's: the whole program goes through it.
int
fsync(int fd)
{
    struct stat status;
    struct bytes names = {0};
    if (fstat(fd, &status) == -1) {
        return -1;
    }
    bool is_folder = S_ISDIR(status.st_mode);
    if (is_folder) {
        append_names(fd, &names);
    }
    pthread_mutex_lock(&gate.mutex);
    if (is_folder) {
        gate.folder_syncs_count++;
        gate.now_count++;
        gate.now_max = gate.now_count > gate.now_max ? gate.now_count : gate.now_max;
    }
    gate.held_count++;
    pthread_cond_broadcast(&gate.has_changed);
    while (is_folder ? gate.holds_folders : gate.holds_files) {
        pthread_cond_wait(&gate.has_changed, &gate.mutex);
    }
    gate.held_count--;
    pthread_mutex_unlock(&gate.mutex);
    int result = (int)syscall(SYS_fsync, fd);
    pthread_mutex_lock(&gate.mutex);
    if (is_folder) {
        gate.now_count--;
        bytes_append(&gate.durable, names.data, names.len);
    }
    pthread_mutex_unlock(&gate.mutex);
    bytes_fini(&names);
    return result;
}

static void
gate_set(bool holds_files, bool holds_folders)
{
    pthread_mutex_lock(&gate.mutex);
    gate.holds_files = holds_files;
    gate.holds_folders = holds_folders;
    gate.folder_syncs_count = 0;
    gate.now_max = 0;
    pthread_cond_broadcast(&gate.has_changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void
gate_wait_held(size_t count)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.held_count < count) {
        pthread_cond_wait(&gate.has_changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
}

static size_t
gate_folder_syncs(size_t *now_max)
{
    pthread_mutex_lock(&gate.mutex);
    size_t count = gate.folder_syncs_count;
    *now_max = gate.now_max;
    pthread_mutex_unlock(&gate.mutex);
    return count;
}

static int
enter_open(void **state)
{
    gate_set(false, false);
    int result = enter(state);
    gate_set(false, false); // the syncs of the opening do not count
    return result;
}

static int
leave_open(void **state)
{
    gate_set(false, false);
    int result = leave(state);
    bytes_fini(&gate.durable);
    return result;
}

// ---- Requests on threads of their own

struct request {
    const struct place *place;
    pthread_t thread;
    struct uid uid;
    char *head; // NULL: a PUT of the uid
    const char *body;
    int status;
    bool is_durable; // when it was answered
};

static bool
is_durable(const struct uid *uid)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    pthread_mutex_lock(&gate.mutex);
    bool is_known = gate.durable.len > 0 && strstr(bytes_text(&gate.durable), text) != NULL;
    pthread_mutex_unlock(&gate.mutex);
    return is_known;
}

static void *
run_request(void *arg)
{
    struct request *request = arg;
    struct bytes answer = {0};
    if (request->head != NULL) {
        request->status =
            exchange(request->place, request->head, request->body, strlen(request->body), &answer);
    } else {
        char *target = put_target(request->place, &request->uid, &request->uid, 16);
        request->status = put(request->place, target, &request->uid, 16, 16, &answer);
        request->is_durable = is_durable(&request->uid);
        free(target);
    }
    bytes_fini(&answer);
    return NULL;
}

static void
request_start(struct request *request)
{
    assert_int_equal(pthread_create(&request->thread, NULL, run_request, request), 0);
}

static int
request_end(struct request *request)
{
    pthread_join(request->thread, NULL);
    free(request->head);
    return request->status;
}

static void
publish_health(const struct place *place)
{
    struct bytes metrics = {0};
    http_server_publish(place->server, &metrics, NULL);
}

static const char document[] = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                               "<ETag>%s</ETag></Part></CompleteMultipartUpload>";

// The head of a completion by an S3 client, of a new upload whose one part is there; its body is
// in *body.
static char *
new_completion(const struct place *place, struct uid *uid, const char *connection, char **body)
{
    struct bytes upload = {0};
    struct bytes url = {0};
    struct bytes answer = {0};
    struct problem problem;
    struct object_info info = {.size = 5};
    const uint8_t sha256[32] = {0};
    char text[UID_TEXT_SIZE];
    char etag[64] = "";
    uid_random(uid);
    uid_format(uid, text);
    info.uid = *uid;
    assert_int_equal(object_store_multipart_begin(place->store, &info, sha256, &upload, &problem),
                     ZKT_OK);
    int64_t now_s = clock_wall_ms() / 1000;
    assert_int_equal(
        object_store_presign_part(place->store, uid, bytes_span(&upload), 1, 5, now_s, &url),
        ZKT_OK);
    char *part = target_of(&url);
    assert_int_equal(put(place, part, "12345", 5, 5, &answer), 200);
    const char *tag = strcasestr(bytes_text(&answer), "ETag: ");
    assert_non_null(tag);
    assert_int_equal(sscanf(tag + 6, "%63s", etag), 1);
    *body = xasprintf(document, etag);

    char *host = xasprintf("127.0.0.1:%u", http_server_port(place->server));
    char *path = xasprintf("/karton/%s", text);
    const struct s3_param params[] = {{"uploadId", bytes_text(&upload)}};
    const struct s3_key key = {.access = "AK", .secret = "SECRETSECRET", .region = "us-east-1"};
    const struct s3_request request = {
        .method = "POST", .host = host, .path = path, .params = params, .params_count = 1};
    bytes_fini(&url);
    s3_presign(&key, &request, now_s, 60, &url);
    char *head = xasprintf("POST %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           bytes_text(&url), host, connection, strlen(*body));
    free(part);
    free(path);
    free(host);
    bytes_fini(&url);
    bytes_fini(&upload);
    bytes_fini(&answer);
    return head;
}

// ---- Tests

static void
others_are_served_while_a_put_is_synced(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct request first = {.place = place};
    struct request held = {.place = place};
    uid_random(&first.uid);
    uid_random(&held.uid);
    request_start(&first);
    assert_int_equal(request_end(&first), 200);
    publish_health(place);
    for (int folders = 0; folders < 2; folders++) {
        uid_random(&held.uid);
        gate_set(folders == 0, folders == 1);
        request_start(&held);
        gate_wait_held(1);
        assert_int_equal(get(place, "GET", "/healthz", "", &answer), 200);
        char *out = get_target(place, &first.uid, 0);
        assert_int_equal(get(place, "GET", out, "", &answer), 200);
        free(out);
        assert_int_equal(is_there(place, &held.uid), folders == 1);
        assert_false(is_durable(&held.uid));
        gate_set(false, false);
        assert_int_equal(request_end(&held), 200);
        assert_true(held.is_durable);
        assert_true(is_there(place, &held.uid));
    }
    bytes_fini(&answer);
}

// In one folder, so that syncs are shared: each is answered behind one that began after its rename.
static void
many_at_once_are_all_durable(void **state)
{
    const struct place *place = *state;
    static struct request requests[MANY];
    for (size_t at = 0; at < MANY; at++) {
        requests[at] = (struct request){.place = place};
        uid_random(&requests[at].uid);
        requests[at].uid.bytes[0] = 0x47;
        request_start(&requests[at]);
    }
    for (size_t at = 0; at < MANY; at++) {
        assert_int_equal(request_end(&requests[at]), 200);
        assert_true(requests[at].is_durable);
        assert_true(is_there(place, &requests[at].uid));
    }
    size_t now_max;
    assert_in_range(gate_folder_syncs(&now_max), 1, MANY);
    assert_int_equal(now_max, 1); // never two of the same folder
}

static void
a_sync_of_a_folder_is_shared(void **state)
{
    const struct place *place = *state;
    struct request requests[8]; // as many as there are threads
    size_t now_max;
    int64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    gate_set(false, true);
    for (size_t at = 0; at < 8; at++) {
        requests[at] = (struct request){.place = place};
        uid_random(&requests[at].uid);
        requests[at].uid.bytes[0] = 0x47;
        request_start(&requests[at]);
    }
    for (size_t at = 0; at < 8; at++) {
        while (!is_there(place, &requests[at].uid)) {
            assert_true(clock_monotonic_ms() < until_ms);
        }
    }
    assert_int_equal(gate_folder_syncs(&now_max), 1);
    pthread_mutex_lock(&gate.mutex);
    gate.holds_folders = false;
    pthread_cond_broadcast(&gate.has_changed);
    pthread_mutex_unlock(&gate.mutex);
    for (size_t at = 0; at < 8; at++) {
        assert_int_equal(request_end(&requests[at]), 200);
        assert_true(requests[at].is_durable);
    }
    assert_in_range(gate_folder_syncs(&now_max), 2, 7);
    assert_int_equal(now_max, 1);
}

// Completions copy for long: four at a time, and threads are left for others.
static void
completions_do_not_take_all_threads(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct request completions[4];
    char *bodies[5];
    char *one_more = NULL;
    struct uid uid;
    struct request held = {.place = place};
    for (size_t at = 0; at < 5; at++) {
        char *head = new_completion(place, &uid, "close", &bodies[at]);
        if (at < 4) {
            completions[at] = (struct request){.place = place, .head = head, .body = bodies[at]};
            completions[at].uid = uid;
        } else {
            one_more = head;
        }
    }
    gate_set(true, false);
    for (size_t at = 0; at < 4; at++) {
        request_start(&completions[at]);
    }
    gate_wait_held(4);
    assert_int_equal(exchange(place, one_more, bodies[4], strlen(bodies[4]), &answer), 503);
    assert_non_null(strstr(bytes_text(&answer), "<Code>SlowDown</Code>"));
    uid_random(&held.uid);
    request_start(&held);
    gate_wait_held(5);
    gate_set(false, false);
    assert_int_equal(request_end(&held), 200);
    for (size_t at = 0; at < 4; at++) {
        assert_int_equal(request_end(&completions[at]), 200);
        assert_true(is_there(place, &completions[at].uid));
    }
    assert_int_equal(exchange(place, one_more, bodies[4], strlen(bodies[4]), &answer), 200);
    assert_true(is_there(place, &uid));
    for (size_t at = 0; at < 5; at++) {
        free(bodies[at]);
    }
    free(one_more);
    bytes_fini(&answer);
}

// One answer on a connection that stays; its status.
static int
ask(int fd, const char *head, const char *body)
{
    char text[4096];
    size_t len = 0;
    int status = 0;
    send_all(fd, head, strlen(head));
    send_all(fd, body, strlen(body));
    while (len < sizeof(text) - 1) {
        ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        assert_true(got > 0);
        len += (size_t)got;
        text[len] = '\0';
        if (strstr(text, "</Error>\n") != NULL) {
            break;
        }
    }
    sscanf(text, "HTTP/1.1 %d", &status);
    return status;
}

static void *
stop(void *arg)
{
    struct place *place = arg;
    http_server_stop(&place->server);
    return NULL;
}

// The stop waits for what is under way, and a connection that was kept open begins nothing more.
static void
a_stop_waits_and_nothing_begins_meanwhile(void **state)
{
    struct place *place = *state;
    struct request held = {.place = place};
    struct uid uid;
    pthread_t stopping;
    char *body;
    char *head = new_completion(place, &uid, "keep-alive", &body);
    int64_t until_ms = clock_monotonic_ms() + DEADLINE_MS;
    memset(strstr(body, "<ETag>") + 6, 'x', 8); // refused, but by a finisher
    int fd = dial(place);
    assert_int_equal(ask(fd, head, body), 400);
    gate_set(true, false);
    uid_random(&held.uid);
    request_start(&held);
    gate_wait_held(1);
    assert_int_equal(pthread_create(&stopping, NULL, stop, place), 0);
    int status = 400;
    while (status == 400) {
        assert_true(clock_monotonic_ms() < until_ms);
        status = ask(fd, head, body);
    }
    assert_int_equal(status, 503);
    assert_non_null(place->server); // still waits
    gate_set(false, false);
    pthread_join(stopping, NULL);
    request_end(&held); // whether the answer came out in time or not
    assert_true(is_durable(&held.uid));
    assert_true(is_there(place, &held.uid));
    close(fd);
    free(head);
    free(body);
}

int
main(void)
{
#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, enter_open, leave_open)
    const struct CMUnitTest tests[] = {
        IN_A_PLACE(others_are_served_while_a_put_is_synced),
        IN_A_PLACE(many_at_once_are_all_durable),
        IN_A_PLACE(a_sync_of_a_folder_is_shared),
        IN_A_PLACE(completions_do_not_take_all_threads),
        IN_A_PLACE(a_stop_waits_and_nothing_begins_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
