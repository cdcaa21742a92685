// Transfers against a scripted server: success, refusals, lost connections, resuming.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "object/transfer.h"
#include "unit/http_script.h"

static FILE *
file_with(const char *content)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fputs(content, file);
    fflush(file);
    return file;
}

static void
check_content(FILE *file, const char *want)
{
    char content[64] = "";
    assert_int_equal(pread(fileno(file), content, sizeof(content) - 1, 0), strlen(want));
    assert_string_equal(content, want);
}

static bool
count_calls(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    int64_t *last = arg;
    *last = done_bytes;
    return total_bytes != 999; // 999 is the size that is cancelled
}

static enum zkt_err
upload_to(struct server *server, const char *content, struct problem *problem)
{
    struct transfer *transfer = transfer_new();
    FILE *file = file_with(content);
    int64_t last = -1;
    const struct transfer_watch watch = {.on_progress = count_calls, .arg = &last};
    transfer_patience(transfer, 3000);
    server_start(server);
    enum zkt_err err =
        transfer_upload(transfer, server->url, fileno(file),
                        &(struct transfer_want){.size = (int64_t)strlen(content)}, &watch, problem);
    server_stop(server);
    assert_int_equal(last, strlen(content));
    fclose(file);
    transfer_destroy(&transfer);
    return err;
}

static void
uploads_send_the_whole_file(void **state)
{
    (void)state;
    struct problem problem;
    struct server server = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
    assert_int_equal(upload_to(&server, "hello", &problem), ZKT_OK);
    assert_int_equal(strncmp(server.requests[0], "PUT /objects/x ", 15), 0);
    assert_non_null(strstr(server.requests[0], "\r\n\r\nhello"));
}

static void
refused_uploads_say_why(void **state)
{
    (void)state;
    struct problem problem;
    struct server denied = {.answers = {"HTTP/1.1 403 Forbidden\r\nContent-Length: 59\r\n\r\n"
                                        "<Error><Message>the URL has expired</Message></Error>XX"
                                        "XXXX"}};
    assert_int_equal(upload_to(&denied, "hello", &problem), ZKT_DENIED);
    assert_non_null(strstr(problem.text, "the URL has expired"));
    struct server invalid = {
        .answers = {"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"}};
    assert_int_equal(upload_to(&invalid, "hello", &problem), ZKT_INVALID);
    struct server full = {.answers = {"HTTP/1.1 507 Full\r\nContent-Length: 2\r\n\r\nno"}};
    assert_int_equal(upload_to(&full, "hello", &problem), ZKT_DISK_FULL);
}

static void
passing_failures_are_tried_again(void **state)
{
    (void)state;
    struct problem problem;
    struct server server = {.answers = {"", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
    assert_int_equal(upload_to(&server, "hello", &problem), ZKT_OK);
    assert_non_null(strstr(server.requests[2], "\r\n\r\nhello"));
}

static enum zkt_err
download_from(struct server *server, const char *want_content, int64_t want_size, FILE *file,
              struct problem *problem)
{
    struct transfer *transfer = transfer_new();
    uint8_t sha256[32];
    EVP_Digest(want_content, strlen(want_content), sha256, NULL, EVP_sha256(), NULL);
    const struct transfer_want want = {.size = want_size, .sha256 = sha256};
    transfer_patience(transfer, 3000);
    server_start(server);
    enum zkt_err err = transfer_download(transfer, server->url, fileno(file), &want, NULL, problem);
    server_stop(server);
    transfer_destroy(&transfer);
    return err;
}

static void
downloads_are_checked(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct problem problem;
    FILE *file = tmpfile();
    struct server good = {.answers = {answer}};
    assert_int_equal(download_from(&good, "hello", 5, file, &problem), ZKT_OK);
    check_content(file, "hello");
    struct server unknown = {.answers = {answer}};
    assert_int_equal(download_from(&unknown, "hello", -1, file, &problem), ZKT_OK);
    struct server hash = {.answers = {answer}};
    assert_int_equal(download_from(&hash, "hellO", 5, file, &problem), ZKT_IO);
    assert_non_null(strstr(problem.text, "SHA-256"));
    struct server longer = {.answers = {answer}};
    assert_int_equal(download_from(&longer, "hello", 4, file, &problem), ZKT_IO);
    struct server shorter = {.answers = {answer}};
    assert_int_equal(download_from(&shorter, "hello", 6, file, &problem), ZKT_IO);
    struct server missing = {.answers = {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"}};
    assert_int_equal(download_from(&missing, "hello", 5, file, &problem), ZKT_OBJECT_UNKNOWN);
    fclose(file);
}

static void
cut_downloads_go_on(void **state)
{
    (void)state;
    struct problem problem;
    FILE *file = tmpfile();
    struct server server = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
                                        "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
                                        "Content-Range: bytes 2-4/5\r\n\r\nllo"}};
    assert_int_equal(download_from(&server, "hello", 5, file, &problem), ZKT_OK);
    assert_non_null(strstr(server.requests[1], "Range: bytes=2-"));
    check_content(file, "hello");
    fclose(file);
    file = tmpfile();
    struct server whole = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
                                       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}};
    assert_int_equal(download_from(&whole, "hello", 5, file, &problem), ZKT_IO);
    fclose(file);
}

static void
nobody_there_is_unreachable(void **state)
{
    (void)state;
    struct server server = {.answers = {NULL}};
    struct problem problem;
    struct transfer *transfer = transfer_new();
    transfer_patience(transfer, 200);
    server_start(&server);
    server_stop(&server); // the port is free again: nobody listens
    FILE *file = file_with("x");
    assert_int_equal(transfer_upload(transfer, server.url, fileno(file),
                                     &(struct transfer_want){.size = 1}, NULL, &problem),
                     ZKT_UNREACHABLE);
    assert_int_equal(transfer_upload(transfer, "file:///etc/passwd", fileno(file),
                                     &(struct transfer_want){.size = 1}, NULL, &problem),
                     ZKT_INVALID);
    fclose(file);
    transfer_destroy(&transfer);
}

static void
a_watcher_can_stop_it(void **state)
{
    (void)state;
    struct server server = {.answers = {NULL}};
    struct problem problem;
    struct transfer *transfer = transfer_new();
    FILE *file = tmpfile();
    int64_t last = -1;
    const struct transfer_watch watch = {.on_progress = count_calls, .arg = &last};
    assert_int_equal(ftruncate(fileno(file), 999), 0);
    server_start(&server);
    assert_int_equal(transfer_upload(transfer, server.url, fileno(file),
                                     &(struct transfer_want){.size = 999}, &watch, &problem),
                     ZKT_CANCELLED);
    transfer_destroy(&transfer);
    server_stop(&server);
    fclose(file);
}

static bool
stop_when_idle(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    int *idle_calls = arg;
    *idle_calls += done_bytes == total_bytes;
    return *idle_calls < 3;
}

static void
a_watcher_can_stop_it_while_nothing_comes(void **state)
{
    (void)state;
    struct server server = {.answers = {NULL}};
    struct problem problem;
    struct transfer *transfer = transfer_new();
    FILE *file = file_with("hello");
    int idle_calls = 0;
    const struct transfer_watch watch = {.on_progress = stop_when_idle, .arg = &idle_calls};
    server_start(&server); // takes connections, answers nothing
    assert_int_equal(transfer_upload(transfer, server.url, fileno(file),
                                     &(struct transfer_want){.size = 5}, &watch, &problem),
                     ZKT_CANCELLED);
    transfer_destroy(&transfer);
    server_stop(&server);
    fclose(file);
}

// ---- Renewal, waiting, changed files

struct owner {
    const char *url; // what renew gives; NULL: code and why not
    enum zkt_err code;
    int renewals_count;
    int waits_count;
};

static bool
go_on(void *arg, int64_t done_bytes, int64_t total_bytes)
{
    (void)arg;
    return done_bytes <= total_bytes;
}

static void
count_wait(void *arg, const struct problem *problem)
{
    struct owner *owner = arg;
    assert_int_not_equal(problem->code, ZKT_OK);
    owner->waits_count++;
}

static const char *
give_url(void *arg, struct problem *problem)
{
    struct owner *owner = arg;
    owner->renewals_count++;
    problem_set(problem, owner->code, "no URL");
    return owner->url;
}

static enum zkt_err
run_watched(struct server *server, struct owner *owner, bool is_upload, struct problem *problem)
{
    struct transfer *transfer = transfer_new();
    FILE *file = is_upload ? file_with("hello") : tmpfile();
    uint8_t sha256[32];
    EVP_Digest("hello", 5, sha256, NULL, EVP_sha256(), NULL);
    const struct transfer_want want = {.size = 5, .sha256 = sha256};
    const struct transfer_watch watch = {
        .on_progress = go_on, .arg = owner, .on_wait = count_wait, .renew = give_url};
    transfer_patience(transfer, 1000);
    server_start(server);
    if (owner->url != NULL) {
        owner->url = server->url;
    }
    enum zkt_err err =
        is_upload ? transfer_upload(transfer, server->url, fileno(file), &want, &watch, problem)
                  : transfer_download(transfer, server->url, fileno(file), &want, &watch, problem);
    server_stop(server);
    if (!is_upload && err == ZKT_OK) {
        check_content(file, "hello");
    }
    fclose(file);
    transfer_destroy(&transfer);
    return err;
}

static const char OK[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
static const char EXPIRED[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nexpired";
static const char BUSY[] = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

static void
an_expired_url_is_renewed_in_the_middle(void **state)
{
    (void)state;
    struct problem problem;
    struct owner owner = {.url = ""};
    struct server server = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", EXPIRED,
                                        "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
                                        "Content-Range: bytes 2-4/5\r\n\r\nllo"}};
    assert_int_equal(run_watched(&server, &owner, false, &problem), ZKT_OK);
    assert_int_equal(owner.renewals_count, 1);
    assert_int_equal(owner.waits_count, 1); // for the cut, not for the renewal
    assert_non_null(strstr(server.requests[2], "Range: bytes=2-"));
    struct owner sender = {.url = ""};
    struct server upload = {.answers = {EXPIRED, OK}};
    assert_int_equal(run_watched(&upload, &sender, true, &problem), ZKT_OK);
    assert_int_equal(sender.renewals_count, 1);
    assert_int_equal(sender.waits_count, 0);
}

static void
a_second_refusal_in_a_row_is_final(void **state)
{
    (void)state;
    struct problem problem;
    struct owner owner = {.url = ""};
    struct server server = {.answers = {EXPIRED, EXPIRED}};
    assert_int_equal(run_watched(&server, &owner, false, &problem), ZKT_DENIED);
    assert_int_equal(owner.renewals_count, 1);
    struct owner refused = {.code = ZKT_OBJECT_UNKNOWN}; // the broker says no
    struct server gone = {.answers = {EXPIRED}};
    assert_int_equal(run_watched(&gone, &refused, false, &problem), ZKT_OBJECT_UNKNOWN);
    assert_string_equal(problem.text, "no URL");
    struct owner away = {.code = ZKT_UNREACHABLE}; // no broker: as no store
    struct server both = {
        .answers = {EXPIRED, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}};
    assert_int_equal(run_watched(&both, &away, false, &problem), ZKT_OK);
    assert_int_equal(away.waits_count, 1);
}

static void
a_store_that_is_away_is_told_once(void **state)
{
    (void)state;
    struct problem problem;
    struct owner owner = {.url = ""};
    struct server server = {.answers = {BUSY, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
                                        "HTTP/1.1 400 Bad\r\nContent-Length: 48\r\n\r\n"
                                        "<Error><Code>RequestTimeout</Code><x></x></Error>",
                                        OK}};
    assert_int_equal(run_watched(&server, &owner, true, &problem), ZKT_OK);
    assert_int_equal(owner.waits_count, 1);
}

static void
a_changed_file_is_found_out(void **state)
{
    (void)state;
    struct problem problem;
    struct transfer *transfer = transfer_new();
    uint8_t sha256[32];
    EVP_Digest("hello", 5, sha256, NULL, EVP_sha256(), NULL);
    const struct transfer_want want = {.size = 5, .sha256 = sha256};
    FILE *file = file_with("hellO");
    struct server takes = {.answers = {OK}}; // a store that does not look
    server_start(&takes);
    assert_int_equal(transfer_upload(transfer, takes.url, fileno(file), &want, NULL, &problem),
                     ZKT_IO);
    server_stop(&takes);
    assert_non_null(strstr(problem.text, "the file changed"));
    struct server looks = {.answers = {"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno"}};
    server_start(&looks);
    assert_int_equal(transfer_upload(transfer, looks.url, fileno(file), &want, NULL, &problem),
                     ZKT_IO);
    server_stop(&looks);
    assert_non_null(strstr(problem.text, "the file changed"));
    fclose(file);
    transfer_destroy(&transfer);
}

// ---- Parts

struct part_owner {
    struct server *server;
    int fresh_count;
    char url[96];
};

static const char *
part_url(void *arg, uint32_t part, bool is_fresh, struct problem *problem)
{
    (void)problem;
    struct part_owner *owner = arg;
    owner->fresh_count += is_fresh ? 1 : 0;
    snprintf(owner->url, sizeof owner->url, "%s?n=%u", owner->server->url, part);
    return owner->url;
}

static enum zkt_err
send_in_parts(struct server *server, struct part_owner *owner, char (*etags)[TRANSFER_ETAG_SIZE],
              int64_t *done_bytes, struct problem *problem)
{
    struct transfer *transfer = transfer_new();
    FILE *file = file_with("aabbccddeef");
    *owner = (struct part_owner){.server = server};
    const struct transfer_parts parts = {.size = 11, .part_size = 2, .url = part_url, .arg = owner};
    const struct transfer_watch watch = {.on_progress = count_calls, .arg = done_bytes};
    transfer_patience(transfer, 2000);
    server_start(server);
    enum zkt_err err =
        transfer_upload_parts(transfer, &parts, fileno(file), &watch, etags, problem);
    server_stop(server);
    fclose(file);
    transfer_destroy(&transfer);
    return err;
}

#define TAGGED(tag)                                                                                \
    "HTTP/1.1 200 OK\r\nETag: \"" tag "\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// How many requests went to part n with this body.
static int
requests_of(const struct server *server, int part, const char *body)
{
    char line[32];
    char end[16];
    int count = 0;
    snprintf(line, sizeof line, "?n=%d ", part);
    snprintf(end, sizeof end, "\r\n\r\n%s", body);
    for (size_t i = 0; i < server->steps_count; i++) {
        const char *at = strstr(server->requests[i], end);
        count +=
            strstr(server->requests[i], line) != NULL && at != NULL && strlen(at) == strlen(end);
    }
    return count;
}

static void
parts_that_fail_are_sent_again_alone(void **state)
{
    (void)state;
    struct problem problem;
    struct part_owner owner;
    char etags[6][TRANSFER_ETAG_SIZE];
    int64_t done_bytes = 0;
    struct server server = {.answers = {TAGGED("t"), "", TAGGED("t"), EXPIRED, TAGGED("t"),
                                        TAGGED("t"), TAGGED("t"), TAGGED("t")}};
    assert_int_equal(send_in_parts(&server, &owner, etags, &done_bytes, &problem), ZKT_OK);
    static const char *const bodies[] = {"aa", "bb", "cc", "dd", "ee", "f"};
    int requests_count = 0;
    for (int part = 1; part <= 6; part++) {
        assert_string_equal(etags[part - 1], "\"t\"");
        int count = requests_of(&server, part, bodies[part - 1]);
        assert_in_range(count, 1, 3);
        requests_count += count;
    }
    assert_int_equal(requests_count, 8); // six, the lost one and the expired one once more
    assert_int_equal(owner.fresh_count, 1);
    assert_int_equal(done_bytes, 11);
}

static void
a_forgotten_upload_is_not_found(void **state)
{
    (void)state;
    struct problem problem;
    struct part_owner owner;
    char etags[6][TRANSFER_ETAG_SIZE];
    int64_t done_bytes = 0;
    static const char gone[] = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct server server = {.answers = {gone, gone, gone, gone}};
    assert_int_equal(send_in_parts(&server, &owner, etags, &done_bytes, &problem), ZKT_NOT_FOUND);
    struct server untagged = {.answers = {OK, OK, OK, OK}};
    assert_int_equal(send_in_parts(&untagged, &owner, etags, &done_bytes, &problem), ZKT_IO);
    assert_non_null(strstr(problem.text, "no ETag"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_send_the_whole_file),
        cmocka_unit_test(refused_uploads_say_why),
        cmocka_unit_test(passing_failures_are_tried_again),
        cmocka_unit_test(downloads_are_checked),
        cmocka_unit_test(cut_downloads_go_on),
        cmocka_unit_test(nobody_there_is_unreachable),
        cmocka_unit_test(a_watcher_can_stop_it),
        cmocka_unit_test(a_watcher_can_stop_it_while_nothing_comes),
        cmocka_unit_test(an_expired_url_is_renewed_in_the_middle),
        cmocka_unit_test(a_second_refusal_in_a_row_is_final),
        cmocka_unit_test(a_store_that_is_away_is_told_once),
        cmocka_unit_test(a_changed_file_is_found_out),
        cmocka_unit_test(parts_that_fail_are_sent_again_alone),
        cmocka_unit_test(a_forgotten_upload_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
