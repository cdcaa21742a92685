// The HTTP port over real sockets, with the directory store behind it.
#include "unit/testing.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "http/server.h"
#include "object/object_dir.h"
#include "object/transfer.h"
#include "unit/http/place.h"

static void
objects_go_in_and_come_out(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct uid uid;
    uid_random(&uid);
    const char content[] = "0123456789";
    char *in = put_target(place, &uid, content, 10);
    char *out = get_target(place, &uid, 0);
    assert_int_equal(get(place, "GET", out, "", &answer), 404);
    assert_non_null(strstr(bytes_text(&answer), "<Code>NoSuchKey</Code>"));
    assert_int_equal(put(place, in, content, 10, 10, &answer), 200);
    assert_int_equal(put(place, in, content, 10, 10, &answer), 200); // again, after a lost answer
    assert_int_equal(get(place, "GET", out, "", &answer), 200);
    assert_string_equal(body_of(&answer), content);
    assert_non_null(strstr(bytes_text(&answer), "X-Content-Type-Options: nosniff"));
    assert_int_equal(get(place, "HEAD", out, "", &answer), 200);
    assert_non_null(strstr(bytes_text(&answer), "Content-Length: 10\r\n"));
    assert_string_equal(body_of(&answer), "");
    assert_int_equal(get(place, "GET", out, "Range: bytes=2-4\r\n", &answer), 206);
    assert_string_equal(body_of(&answer), "234");
    assert_non_null(strstr(bytes_text(&answer), "Content-Range: bytes 2-4/10\r\n"));
    assert_int_equal(get(place, "GET", out, "Range: bytes=7-\r\n", &answer), 206);
    assert_string_equal(body_of(&answer), "789");
    assert_int_equal(get(place, "GET", out, "Range: bytes=10-\r\n", &answer), 416);
    assert_non_null(strstr(bytes_text(&answer), "Content-Range: bytes */10\r\n"));
    assert_int_equal(get(place, "GET", out, "Range: bytes=2-4\r\nIf-Range: \"other\"\r\n", &answer),
                     200);
    char text[UID_TEXT_SIZE];
    uid_format(&uid, text);
    char *same = xasprintf("If-None-Match: \"%s\"\r\n", text);
    assert_int_equal(get(place, "GET", out, same, &answer), 304);
    free(same);
    free(in);
    free(out);
    bytes_fini(&answer);
}

static void
large_and_empty_objects(void **state)
{
    const struct place *place = *state; // T6
    struct bytes answer = {0};
    enum { LARGE = 5 << 20 };
    char *large = xmalloc(LARGE);
    for (size_t byte_index = 0; byte_index < LARGE; byte_index++) {
        large[byte_index] = (char)(byte_index * 31 >> 3);
    }
    const size_t sizes[] = {0, 1, 65536, LARGE};
    for (size_t size_index = 0; size_index < 4; size_index++) {
        struct uid uid;
        uid_random(&uid);
        char *in = put_target(place, &uid, large, sizes[size_index]);
        char *out = get_target(place, &uid, 0);
        assert_int_equal(put(place, in, large, sizes[size_index], sizes[size_index], &answer), 200);
        assert_int_equal(get(place, "GET", out, "", &answer), 200);
        const char *body = body_of(&answer);
        size_t len = answer.len - (size_t)(body - (const char *)answer.data);
        assert_int_equal(len, sizes[size_index]);
        assert_memory_equal(body, large, len);
        free(in);
        free(out);
    }
    free(large);
    bytes_fini(&answer);
}

static void
only_what_was_announced_is_kept(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct uid uid;
    uid_random(&uid);
    char *in = put_target(place, &uid, "0123456789", 10);
    assert_int_equal(put(place, in, "0123456780", 10, 10, &answer), 400); // another hash
    assert_false(is_there(place, &uid));
    assert_int_equal(put(place, in, "012345678", 9, 9, &answer), 400); // another size
    assert_int_equal(put(place, in, "0123456789x", 11, 11, &answer), 400);
    assert_false(is_there(place, &uid));
    char *head = xasprintf("PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n"
                           "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
                           in, http_server_port(place->server));
    assert_int_equal(exchange(place, head, "", 0, &answer), 411);
    free(head);
    assert_false(is_there(place, &uid));
    assert_int_equal(put(place, in, "0123456789", 10, 10, &answer), 200);
    assert_true(is_there(place, &uid));
    free(in);
    bytes_fini(&answer);
}

static void
what_is_there_is_never_replaced(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct uid uid;
    uid_random(&uid);
    char *in = put_target(place, &uid, "first", 5);
    char *other = put_target(place, &uid, "other", 5);
    char *out = get_target(place, &uid, 0);
    assert_int_equal(put(place, in, "first", 5, 5, &answer), 200);
    assert_int_equal(put(place, other, "other", 5, 5, &answer), 409);
    assert_non_null(strstr(bytes_text(&answer), "<Reason>IN_USE</Reason>"));
    assert_int_equal(get(place, "GET", out, "", &answer), 200);
    assert_string_equal(body_of(&answer), "first");
    free(in);
    free(other);
    free(out);
    bytes_fini(&answer);
}

// A part is of an upload of its own object, whatever the signed URL says.
static void
a_part_is_of_an_upload_of_its_object(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct bytes upload = {0};
    struct problem problem;
    struct object_info info = {.size = 5};
    const uint8_t sha256[32] = {0};
    struct uid other;
    uid_random(&info.uid);
    uid_random(&other);
    assert_int_equal(object_store_multipart_begin(place->store, &info, sha256, &upload, &problem),
                     ZKT_OK);
    for (int is_own = 0; is_own < 2; is_own++) {
        struct bytes url = {0};
        assert_int_equal(object_store_presign_part(place->store, is_own ? &info.uid : &other,
                                                   bytes_span(&upload), 1, 5,
                                                   clock_wall_ms() / 1000, &url),
                         ZKT_OK);
        char *in = target_of(&url);
        assert_int_equal(put(place, in, "bytes", 5, 5, &answer), is_own ? 200 : 404);
        free(in);
    }
    bytes_fini(&upload);
    bytes_fini(&answer);
}

// Refused by the headers alone, before a body comes.
static void
what_the_disk_cannot_hold_is_refused_at_once(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct bytes url = {0};
    struct object_info info = {.size = INT64_C(1) << 56};
    const uint8_t sha256[32] = {0};
    log_set_level(LOG_ERROR + 1);
    uid_random(&info.uid);
    assert_int_equal(
        object_store_presign_put(place->store, &info, sha256, clock_wall_ms() / 1000, &url),
        ZKT_OK);
    char *in = target_of(&url);
    int status = put(place, in, "", (size_t)info.size, 0, &answer);
    assert_true(status == 413 || status == 507);
    assert_null(strstr(bytes_text(&answer), place->directory));
    assert_false(is_there(place, &info.uid));
    free(in);
    bytes_fini(&answer);
    log_set_level(LOG_INFO);
}

// What libzkarton does, with a body that is on its way when the refusal comes.
static void
the_client_hears_why_it_is_refused(void **state)
{
    const struct place *place = *state;
    enum { SIZE = 64 << 20 };
    struct problem problem;
    struct uid uid;
    struct transfer *transfer = transfer_new();
    FILE *file = tmpfile();
    assert_int_equal(ftruncate(fileno(file), SIZE), 0);
    transfer_patience(transfer, 100);
    uid_random(&uid);
    const struct object_info info = {.uid = uid, .size = SIZE};
    const uint8_t wrong[32] = {0};
    for (int round = 0; round < 10; round++) {
        struct bytes url = {0};
        bool is_late = round % 2 == 0;
        assert_int_equal(object_store_presign_put(place->store, &info, wrong,
                                                  clock_wall_ms() / 1000 - (is_late ? 61 : 0),
                                                  &url),
                         ZKT_OK);
        assert_int_equal(transfer_upload(transfer, bytes_text(&url), fileno(file),
                                         &(struct transfer_want){.size = SIZE}, NULL, &problem),
                         is_late ? ZKT_DENIED : ZKT_INVALID);
        assert_non_null(strstr(problem.text, is_late ? "expired" : "SHA-256"));
        bytes_fini(&url);
    }
    assert_false(is_there(place, &uid));
    fclose(file);
    transfer_destroy(&transfer);
}

static void
the_client_moves_files(void **state)
{
    const struct place *place = *state;
    enum { SIZE = 20 << 20 };
    struct problem problem;
    struct object_info info = {.size = SIZE};
    struct bytes in_url = {0};
    struct bytes out_url = {0};
    uint8_t sha256[32];
    char *content = xcalloc(1, SIZE);
    content[SIZE - 1] = 'x';
    SHA256((const unsigned char *)content, SIZE, sha256);
    uid_random(&info.uid);
    FILE *from = tmpfile();
    FILE *to = tmpfile();
    assert_int_equal(fwrite(content, 1, SIZE, from), SIZE);
    fflush(from);
    int64_t now_s = clock_wall_ms() / 1000;
    assert_int_equal(object_store_presign_put(place->store, &info, sha256, now_s, &in_url), ZKT_OK);
    assert_int_equal(object_store_presign_get(place->store, &info.uid, now_s, &out_url), ZKT_OK);
    struct transfer *transfer = transfer_new();
    const struct transfer_want want = {.size = SIZE, .sha256 = sha256};
    const char *url = bytes_text(&out_url);
    assert_int_equal(transfer_download(transfer, url, fileno(to), &want, NULL, &problem),
                     ZKT_OBJECT_UNKNOWN);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(
            transfer_upload(transfer, bytes_text(&in_url), fileno(from), &want, NULL, &problem),
            ZKT_OK);
    }
    assert_int_equal(transfer_download(transfer, url, fileno(to), &want, NULL, &problem), ZKT_OK);
    char *back = xmalloc(SIZE);
    assert_int_equal(pread(fileno(to), back, SIZE, 0), SIZE);
    assert_memory_equal(back, content, SIZE);
    transfer_destroy(&transfer);
    fclose(from);
    fclose(to);
    free(content);
    free(back);
    bytes_fini(&in_url);
    bytes_fini(&out_url);
}

static void
a_cut_upload_leaves_nothing(void **state)
{
    const struct place *place = *state;
    static const char zeroes[12 << 20];
    static const size_t sizes[] = {10, 20 << 20};
    static const size_t sent[] = {4, sizeof zeroes};
    for (size_t i = 0; i < 2; i++) {
        struct bytes answer = {0};
        struct uid uid;
        uid_random(&uid);
        uint64_t before = http_server_requests_count(place->server);
        int fd = begin_upload(place, &uid, sizes[i]);
        send_all(fd, zeroes, sent[i]);
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        close(fd);
        // A later request is served after it: the count tells that the cut one ended.
        do {
            get(place, "GET", "/healthz", "", &answer);
        } while (http_server_requests_count(place->server) < before + 2);
        assert_false(is_there(place, &uid));
        assert_true(is_empty(place));
        bytes_fini(&answer);
    }
}

static void
a_stop_in_the_middle_of_an_upload_leaves_nothing(void **state)
{
    struct place *place = *state;
    static const char zeroes[12 << 20];
    struct uid uid;
    uid_random(&uid);
    int fd = begin_upload(place, &uid, 20 << 20);
    send_all(fd, zeroes, sizeof zeroes);
    http_server_stop(&place->server);
    assert_false(is_there(place, &uid));
    assert_true(is_empty(place));
    close(fd);
}

static void
urls_are_good_for_one_thing(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    struct uid uid;
    struct uid other;
    uid_random(&uid);
    uid_random(&other);
    char *in = put_target(place, &uid, "0123456789", 10);
    assert_int_equal(put(place, in, "0123456789", 10, 10, &answer), 200);
    char *out = get_target(place, &uid, 0);
    char *old = get_target(place, &uid, 3600);
    assert_int_equal(get(place, "GET", old, "", &answer), 403);
    assert_non_null(strstr(bytes_text(&answer), "<Code>AccessDenied</Code>"));
    assert_int_equal(get(place, "GET", in, "", &answer), 403); // for a PUT
    assert_int_equal(put(place, out, "0123456789", 10, 10, &answer), 403);
    // Every changed byte of the target is refused.
    size_t len = strlen(out);
    for (size_t byte_index = 1; byte_index < len; byte_index += 7) {
        char *altered = xstrdup(out);
        altered[byte_index] = altered[byte_index] == '0' ? '1' : '0';
        int status = get(place, "GET", altered, "", &answer);
        assert_true(status == 403 || status == 404 || status == 400);
        free(altered);
    }
    char *no_query = xmemdup(out, (size_t)(strchr(out, '?') - out));
    assert_int_equal(get(place, "GET", no_query, "", &answer), 403);
    assert_int_equal(get(place, "DELETE", out, "", &answer), 405);
    free(no_query);
    free(in);
    free(out);
    free(old);
    bytes_fini(&answer);
}

static void
odd_requests(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    const char *const targets[] = {"/",
                                   "/objects/",
                                   "/objects/../../etc/passwd",
                                   "/objects/%2e%2e/x",
                                   "/objects/47db1ea8-3531-4bea-a3b2-b29dfbd8b100",
                                   "/objects/%00",
                                   "/objects/x?a=%zz",
                                   "/healthz/x",
                                   "*",
                                   "//",
                                   "/%"};
    for (size_t target_index = 0; target_index < sizeof targets / sizeof *targets; target_index++) {
        int status = get(place, "GET", targets[target_index], "", &answer);
        assert_in_range(status, 400, 404);
    }
    char *long_target = xmalloc(10001);
    memset(long_target, 'x', 10000);
    memcpy(long_target, "/objects/", 9);
    long_target[10000] = '\0';
    assert_in_range(get(place, "GET", long_target, "", &answer), 400, 414);
    free(long_target);
    int fd = dial(place);
    send_all(fd, "garbage\r\n\r\n", 11);
    shutdown(fd, SHUT_WR);
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {
        continue; // whatever it says, it closes
    }
    close(fd);
    assert_int_equal(get(place, "GET", "/healthz", "Content-Length: 0\r\n", &answer), 503);
    bytes_fini(&answer);
}

static void
publish(const struct place *place, const char *metrics, const char *reason)
{
    struct bytes text = {0};
    bytes_append_text(&text, metrics);
    http_server_publish(place->server, &text, reason);
    assert_int_equal(text.len, 0);
    assert_null(text.data);
}

static void
what_the_loop_publishes(void **state)
{
    const struct place *place = *state;
    struct bytes answer = {0};
    assert_int_equal(get(place, "GET", "/healthz", "", &answer), 503);
    assert_string_equal(body_of(&answer), "starting\n");
    assert_int_equal(get(place, "GET", "/metrics", "", &answer), 200);
    assert_string_equal(body_of(&answer), "");
    publish(place, "old 1\n", "the disk is full");
    publish(place, "zkarton_up 1\n", "the disk is full");
    assert_int_equal(get(place, "GET", "/healthz", "", &answer), 503);
    assert_string_equal(body_of(&answer), "the disk is full\n");
    assert_int_equal(get(place, "GET", "/metrics", "", &answer), 200);
    assert_string_equal(body_of(&answer), "zkarton_up 1\n");
    assert_non_null(strstr(bytes_text(&answer), "text/plain; version=0.0.4"));
    publish(place, "zkarton_up 2\n", NULL);
    assert_int_equal(get(place, "GET", "/healthz", "", &answer), 200);
    assert_string_equal(body_of(&answer), "ok\n");
    publish(place, "never taken\n", NULL);
    bytes_fini(&answer);
}

static void
a_taken_port_is_told(void **state)
{
    const struct place *place = *state;
    struct problem problem;
    struct http_server *server;
    char *listen = xasprintf("127.0.0.1:%u", http_server_port(place->server));
    struct http_options options = {.listen = listen};
    assert_int_equal(http_server_start(&options, &server, &problem), ZKT_ADDRESS_IN_USE);
    assert_non_null(strstr(problem.text, listen));
    assert_null(server);
    const char *const wrong[] = {"nothing", "127.0.0.1:", ":x", "300.1.1.1:0", ""};
    for (size_t wrong_index = 0; wrong_index < sizeof wrong / sizeof *wrong; wrong_index++) {
        options.listen = wrong[wrong_index];
        assert_int_equal(http_server_start(&options, &server, &problem), ZKT_CONFIG_INVALID);
    }
    free(listen);
}

int
main(void)
{
#define IN_A_PLACE(test) cmocka_unit_test_setup_teardown(test, enter, leave)
    const struct CMUnitTest tests[] = {
        IN_A_PLACE(objects_go_in_and_come_out),
        IN_A_PLACE(large_and_empty_objects),
        IN_A_PLACE(only_what_was_announced_is_kept),
        IN_A_PLACE(a_cut_upload_leaves_nothing),
        IN_A_PLACE(a_stop_in_the_middle_of_an_upload_leaves_nothing),
        IN_A_PLACE(what_is_there_is_never_replaced),
        IN_A_PLACE(a_part_is_of_an_upload_of_its_object),
        IN_A_PLACE(the_client_hears_why_it_is_refused),
        IN_A_PLACE(the_client_moves_files),
        IN_A_PLACE(what_the_disk_cannot_hold_is_refused_at_once),
        IN_A_PLACE(urls_are_good_for_one_thing),
        IN_A_PLACE(odd_requests),
        IN_A_PLACE(what_the_loop_publishes),
        IN_A_PLACE(a_taken_port_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
