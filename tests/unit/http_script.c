#include "unit/http_script.h"

#include "unit/testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
read_request(int fd, char *request)
{
    size_t len = 0;
    size_t wanted = SIZE_MAX;
    while (len < wanted && len < REQUEST_BYTES_MAX - 1) {
        ssize_t got = read(fd, request + len, REQUEST_BYTES_MAX - 1 - len);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        request[len] = '\0';
        const char *end = strstr(request, "\r\n\r\n");
        if (end != NULL && wanted == SIZE_MAX) {
            const char *length = strstr(request, "Content-Length: ");
            wanted =
                (size_t)(end - request) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
        }
    }
}

static void *
serve(void *arg)
{
    struct server *server = arg;
    for (size_t i = 0; i < server->steps_count; i++) {
        int fd = accept(server->listener, NULL, NULL);
        read_request(fd, server->requests[i]);
        const char *answer = server->answers[i];
        ssize_t written = write(fd, answer, strlen(answer));
        (void)written;
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

void
server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t address_len = sizeof(address);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &address_len), 0);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d/objects/x",
             ntohs(address.sin_port));
    while (server->steps_count < STEPS_MAX && server->answers[server->steps_count] != NULL) {
        server->steps_count++;
    }
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void
server_stop(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
}
