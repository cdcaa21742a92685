#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_BYTES = 256, BACKLOG = 128 };

static enum zkt_err
split(const char *address, char host[HOST_BYTES], const char **port, struct problem *problem)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0' || colon - address >= HOST_BYTES) {
        return problem_set(problem, ZKT_CONFIG_INVALID,
                           "[http] listen %.200s: not HOST:PORT. Write 127.0.0.1:5572", address);
    }
    const char *start = address;
    const char *end = colon;
    if (*start == '[' && end > start && end[-1] == ']') {
        start++;
        end--;
    }
    snprintf(host, HOST_BYTES, "%.*s", (int)(end - start), start);
    *port = colon + 1;
    return ZKT_OK;
}

static int
open_bound(const struct addrinfo *where)
{
    int fd = socket(where->ai_family, where->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1) {
        return -1;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static uint16_t
port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0) {
        return 0;
    }
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}

enum zkt_err
http_listen(const char *address, int *fd, uint16_t *port, struct problem *problem)
{
    char host[HOST_BYTES];
    const char *port_text = NULL;
    enum zkt_err err = split(address, host, &port_text, problem);
    if (err != ZKT_OK) {
        return err;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    bool is_any = host[0] == '\0' || strcmp(host, "*") == 0;
    int code = getaddrinfo(is_any ? NULL : host, port_text, &hints, &found);
    if (code != 0) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "[http] listen %.200s: %s", address,
                           gai_strerror(code));
    }
    *fd = -1;
    for (const struct addrinfo *where = found; where != NULL && *fd == -1; where = where->ai_next) {
        *fd = open_bound(where);
    }
    int reason = errno;
    freeaddrinfo(found);
    if (*fd == -1 && reason == EADDRINUSE) {
        return problem_set(problem, ZKT_ADDRESS_IN_USE,
                           "[http] listen %.200s is taken. Stop that program or change the port.",
                           address);
    }
    if (*fd == -1) {
        return problem_set(problem, ZKT_CONFIG_INVALID, "[http] listen %.200s: %s", address,
                           strerror(reason));
    }
    *port = port_of(*fd);
    return ZKT_OK;
}
