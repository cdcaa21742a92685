#include "unit/http/place.h"

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
#include "base/memory.h"
#include "object/object_dir.h"

int
enter(void **state)
{
    return enter_with(state, (struct http_patience){.idle_s = 0});
}

int
enter_with(void **state, struct http_patience patience)
{
    struct place *place = calloc(1, sizeof *place);
    struct problem problem = {.text = ""};
    strncpy(place->directory, "/tmp/zkt-http-XXXXXX", sizeof place->directory - 1);
    assert_non_null(mkdtemp(place->directory));
    char *objects = xasprintf("%s/objects", place->directory);
    char *secret = xasprintf("%s/keys/secret", place->directory);
    char *keys = xasprintf("%s/s3.keys", place->directory);
    int fd = open(keys, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "AK SECRETSECRET\n", 16), 16);
    close(fd);
    struct object_dir_options options = {
        .path = objects, .secret_path = secret, .address = "", .url_ttl_s = 60, .keys_path = keys};
    assert_int_equal(object_dir_open(&options, &place->store, &problem), ZKT_OK);
    struct http_options http = {
        .listen = "127.0.0.1:0", .objects = place->store, .patience = patience};
    assert_int_equal(http_server_start(&http, &place->server, &problem), ZKT_OK);
    char *address = xasprintf("http://127.0.0.1:%u", http_server_port(place->server));
    object_dir_set_address(place->store, address);
    free(objects);
    free(secret);
    free(keys);
    free(address);
    *state = place;
    return 0;
}

int
leave(void **state)
{
    struct place *place = *state;
    http_server_stop(&place->server);
    assert_null(place->server);
    object_store_destroy(&place->store);
    char *command = xasprintf("rm -r %s", place->directory);
    assert_int_equal(system(command), 0);
    free(command);
    free(place);
    return 0;
}

int
dial(const struct place *place)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons(http_server_port(place->server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

void
send_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; // the server may stop reading after a refusal
        }
        at += sent;
        len -= (size_t)sent;
    }
}

int
begin_upload(const struct place *place, const struct uid *uid, size_t size)
{
    char *zeroes = xcalloc(1, size);
    char *in = put_target(place, uid, zeroes, size);
    char *head = xasprintf("PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: %zu\r\n"
                           "Expect: 100-continue\r\n\r\n",
                           in, http_server_port(place->server), size);
    int fd = dial(place);
    send_all(fd, head, strlen(head));
    static const char continues[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char said[sizeof continues - 1];
    assert_int_equal(recv(fd, said, sizeof said, MSG_WAITALL), sizeof said);
    assert_memory_equal(said, continues, sizeof said);
    free(head);
    free(in);
    free(zeroes);
    return fd;
}

// Sends head and body, reads to the end, answers the status; the whole answer in *answer.
int
exchange(const struct place *place, const char *head, const void *body, size_t body_len,
         struct bytes *answer)
{
    int fd = dial(place);
    send_all(fd, head, strlen(head));
    send_all(fd, body, body_len);
    bytes_clear(answer);
    ssize_t got;
    while ((got = recv(fd, bytes_reserve(answer, 65536), 65536, 0)) > 0) {
        answer->len += (size_t)got;
    }
    close(fd);
    int status = 0;
    sscanf(bytes_text(answer), "HTTP/1.1 %d", &status);
    return status;
}

int
get(const struct place *place, const char *method, const char *target, const char *headers,
    struct bytes *answer)
{
    char *head = xasprintf("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s\r\n",
                           method, target, http_server_port(place->server), headers);
    int status = exchange(place, head, "", 0, answer);
    free(head);
    return status;
}

int
put(const struct place *place, const char *target, const void *body, size_t announced, size_t sent,
    struct bytes *answer)
{
    char *head = xasprintf("PUT %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           target, http_server_port(place->server), announced);
    int status = exchange(place, head, body, sent, answer);
    free(head);
    return status;
}

const char *
body_of(struct bytes *answer)
{
    char *end = strstr(bytes_text(answer), "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

// The path and query of a URL of the store; freed by the caller.
char *
target_of(struct bytes *url)
{
    const char *slash = strchr(strstr(bytes_text(url), "://") + 3, '/');
    char *target = xstrdup(slash);
    bytes_fini(url);
    return target;
}

char *
put_target(const struct place *place, const struct uid *uid, const void *data, size_t len)
{
    uint8_t sha256[32];
    struct bytes url = {0};
    SHA256(data, len, sha256);
    struct object_info info = {.uid = *uid, .size = (int64_t)len};
    assert_int_equal(
        object_store_presign_put(place->store, &info, sha256, clock_wall_ms() / 1000, &url),
        ZKT_OK);
    return target_of(&url);
}

char *
get_target(const struct place *place, const struct uid *uid, int64_t age_s)
{
    struct bytes url = {0};
    assert_int_equal(
        object_store_presign_get(place->store, uid, clock_wall_ms() / 1000 - age_s, &url), ZKT_OK);
    return target_of(&url);
}

bool
is_there(const struct place *place, const struct uid *uid)
{
    struct object_info info;
    struct problem problem;
    return object_store_head(place->store, uid, &info, &problem) == ZKT_OK;
}

bool
is_empty(const struct place *place)
{
    char *list = xasprintf("find %s/objects -type f | grep -q .", place->directory);
    bool has_files = system(list) == 0;
    free(list);
    return !has_files;
}
