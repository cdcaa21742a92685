// The HTTP thread is libmicrohttpd's own. What the loop publishes is handed over through one atomic
// pointer: the loop puts a fresh text there and frees one that was never taken; the HTTP thread
// takes it and is then its only owner. Neither waits.
#include "http/server.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/finisher.h"
#include "http/listen.h"
#include "http/objects.h"
#include "http/reply.h"
#include "http/s3_api.h"
#include "http/watch.h"
#include "object/object_bucket.h"

enum {
    CONNECTIONS_MAX = 8192,
    CONNECTIONS_MIN = 64,
    FILES_PER_CONNECTION = 4,     // of the files the process may open; ZeroMQ needs its own
    CONNECTIONS_SPARE = 64,       // accepted, for to be closed at once
    CONNECTION_BYTES = 128 << 10, // headers and the part of a body that is being read
    IDLE_S = 10,
    HEAD_S = 30,
    REQUEST_S = 60,
};

// What /metrics and /healthz say.
struct published {
    struct bytes metrics;
    char *reason; // NULL: healthy
};

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_patience patience;
    struct watch *watch;
    struct finishers *finishers;   // NULL: no objects
    struct object_store *objects;  // borrowed
    struct object_store *fallback; // borrowed
    int64_t (*now_ms)(void);
    uint16_t port;
    _Atomic(struct published *) incoming; // put by the loop, taken by the HTTP thread
    struct published *current;            // the HTTP thread's
    atomic_uint_fast64_t requests_count;
    unsigned connections_count; // the HTTP thread's
    unsigned connections_max;
};

static void
published_destroy(struct published *published)
{
    if (published != NULL) {
        bytes_fini(&published->metrics);
        free(published->reason);
        free(published);
    }
}

void
http_server_publish(struct http_server *server, struct bytes *metrics, const char *reason)
{
    struct published *fresh = xcalloc(1, sizeof *fresh);
    fresh->metrics = *metrics;
    bytes_init(metrics);
    fresh->reason = reason != NULL ? xstrdup(reason) : NULL;
    published_destroy(atomic_exchange(&server->incoming, fresh));
}

static const struct published *
newest(struct http_server *server)
{
    struct published *fresh = atomic_exchange(&server->incoming, NULL);
    if (fresh != NULL) {
        published_destroy(server->current);
        server->current = fresh;
    }
    return server->current;
}

// ---- Requests

static enum MHD_Result
answer_health(struct http_server *server, struct MHD_Connection *connection)
{
    const struct published *said = newest(server);
    const char *reason = said == NULL ? "starting" : said->reason;
    struct bytes out = {0};
    bytes_printf(&out, "%s\n", reason != NULL ? reason : "ok");
    unsigned status = reason != NULL ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
    enum MHD_Result result = reply_text(connection, status, "text/plain", bytes_span(&out));
    bytes_fini(&out);
    return result;
}

static enum MHD_Result
answer_metrics(struct http_server *server, struct MHD_Connection *connection)
{
    const struct published *said = newest(server);
    struct span text = said != NULL ? bytes_span(&said->metrics) : span_of("", 0);
    return reply_text(connection, MHD_HTTP_OK, "text/plain; version=0.0.4", text);
}

static enum MHD_Result
refuse(struct MHD_Connection *connection, unsigned status, enum zkt_err code, const char *why)
{
    struct problem problem;
    problem_set(&problem, code, "%s", why);
    return reply_problem(connection, status, &problem);
}

static struct watched *
watched_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

// What the peer does with a request that has headers: MHD asks with each part of the body, and
// without data at its end.
static void
note_progress(struct http_server *server, struct MHD_Connection *connection,
              struct http_request *request, size_t data_len)
{
    struct watched *watched = watched_of(connection);
    if (!request->has_headers) {
        request->has_headers = true;
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  server->patience.request_s);
        watch_begin(server->watch, watched, WATCH_BODY);
    } else if (data_len > 0) {
        watch_progress(server->watch, watched, data_len);
    } else {
        watch_begin(server->watch, watched, WATCH_ANSWER);
    }
}

// Whether an S3 client asks: our own pages go first, whatever signature they bring.
static bool
is_s3(const struct http_server *server, struct MHD_Connection *connection,
      const struct http_request *request, const char *path)
{
    if (request->s3 != NULL) {
        return true;
    }
    if (server->objects == NULL || request->has_begun ||
        strncmp(path, OBJECTS_PREFIX, strlen(OBJECTS_PREFIX)) == 0 ||
        strcmp(path, "/healthz") == 0 || strcmp(path, "/metrics") == 0) {
        return false;
    }
    return s3_is_signed(connection) || object_has_clients(server->objects);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
           const char *version, const char *data, size_t *data_len, void **request_p)
{
    (void)version;
    struct http_server *server = arg;
    struct http_request *request = *request_p;
    if (request == NULL) {
        return MHD_NO;
    }
    note_progress(server, connection, request, *data_len);
    if (is_s3(server, connection, request, path)) {
        return s3_handle(server->objects, server->finishers, connection, &request->s3, method,
                         request->target, server->now_ms(), data, data_len);
    }
    request->method = method;
    request->now_ms = server->now_ms();
    request->fallback = server->fallback;
    request->finishers = server->finishers;
    bool is_read =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    bool is_object =
        server->objects != NULL && strncmp(path, OBJECTS_PREFIX, strlen(OBJECTS_PREFIX)) == 0;
    if (is_object && strcmp(method, MHD_HTTP_METHOD_PUT) == 0) {
        return objects_write(server->objects, connection, request, data, data_len);
    }
    if (!is_read) {
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, ZKT_INVALID,
                      "this method does nothing here");
    }
    if (!request->has_begun) {
        request->has_begun = true; // MHD asks again when the headers are read
        return MHD_YES;
    }
    if (*data_len > 0) {
        *data_len = 0; // a body nobody asked for
        return MHD_YES;
    }
    if (is_object) {
        return objects_read(server->objects, connection, request);
    }
    if (strcmp(path, "/healthz") == 0) {
        return answer_health(server, connection);
    }
    if (strcmp(path, "/metrics") == 0) {
        return answer_metrics(server, connection);
    }
    return refuse(connection, 0, ZKT_NOT_FOUND, "nothing has this path");
}

// The first line of a request, before MHD decodes it: the signature is over what was sent.
static void *
on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
    (void)arg;
    (void)connection;
    struct http_request *request = xcalloc(1, sizeof *request);
    if (strlen(target) < TARGET_BYTES_MAX) {
        request->target = xstrdup(target);
    }
    return request;
}

static void
on_completed(void *arg, struct MHD_Connection *connection, void **request_p,
             enum MHD_RequestTerminationCode how)
{
    struct http_server *server = arg;
    if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK) { // the connection may serve another one
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  server->patience.idle_s);
        watch_begin(server->watch, watched_of(connection), WATCH_HEAD);
    }
    struct http_request *request = *request_p;
    if (request != NULL) {
        objects_abandon(request);
        s3_abandon(&request->s3);
        free(request->target);
        free(request);
        *request_p = NULL;
        atomic_fetch_add(&server->requests_count, 1);
    }
}

// ---- Connections

static void
on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
              enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        server->connections_count++;
        *socket_context = watch_add(
            server->watch,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    } else {
        server->connections_count--;
        watch_remove(server->watch, (struct watched **)socket_context); // before MHD closes it
    }
}

// One too many is closed; libmicrohttpd itself would let it wait.
static enum MHD_Result
may_connect(void *arg, const struct sockaddr *address, socklen_t address_len)
{
    (void)address;
    (void)address_len;
    const struct http_server *server = arg;
    return server->connections_count < server->connections_max ? MHD_YES : MHD_NO;
}

static unsigned
connections_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return CONNECTIONS_MIN;
    }
    rlim_t count = files.rlim_cur / FILES_PER_CONNECTION;
    count = count > CONNECTIONS_MAX ? CONNECTIONS_MAX : count;
    return count < CONNECTIONS_MIN ? CONNECTIONS_MIN : (unsigned)count;
}

// ---- Life

static void
fill_patience(struct http_patience *patience)
{
    patience->idle_s = patience->idle_s > 0 ? patience->idle_s : IDLE_S;
    patience->head_s = patience->head_s > 0 ? patience->head_s : HEAD_S;
    patience->request_s = patience->request_s > 0 ? patience->request_s : REQUEST_S;
}

enum zkt_err
http_server_start(const struct http_options *options, struct http_server **server_p,
                  struct problem *problem)
{
    int fd;
    uint16_t port;
    *server_p = NULL;
    enum zkt_err err = http_listen(options->listen, &fd, &port, problem);
    if (err != ZKT_OK) {
        return err;
    }
    struct http_server *server = xcalloc(1, sizeof *server);
    server->objects = options->objects;
    server->fallback = options->fallback;
    server->now_ms = options->now_ms != NULL ? options->now_ms : clock_wall_ms;
    server->port = port;
    server->connections_max = connections_max();
    server->patience = options->patience;
    fill_patience(&server->patience);
    err = watch_start(server->patience.head_s, server->patience.request_s, &server->watch, problem);
    if (err == ZKT_OK && server->objects != NULL) {
        err = finishers_start(&server->finishers, problem);
    }
    if (err != ZKT_OK) {
        close(fd);
        watch_stop(&server->watch);
        free(server);
        return err;
    }
    if (options->on_bound != NULL) {
        options->on_bound(options->arg, port);
    }
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, may_connect, server,
        on_request, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_CONNECTION_LIMIT,
        server->connections_max + CONNECTIONS_SPARE, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        server, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, server->patience.idle_s, MHD_OPTION_END);
    if (server->daemon == NULL) {
        close(fd);
        finishers_stop(&server->finishers);
        watch_stop(&server->watch);
        free(server);
        return problem_set(problem, ZKT_IO, "[http] listen %.200s: the HTTP server did not start",
                           options->listen);
    }
    *server_p = server;
    return ZKT_OK;
}

uint16_t
http_server_port(const struct http_server *server)
{
    return server->port;
}

uint64_t
http_server_requests_count(const struct http_server *server)
{
    return atomic_load(&server->requests_count);
}

void
http_server_stop(struct http_server **server_p)
{
    struct http_server *server = *server_p;
    if (server == NULL) {
        return;
    }
    // Nobody new comes in, and no connection stays suspended.
    MHD_socket listening = MHD_quiesce_daemon(server->daemon);
    if (server->finishers != NULL) {
        finishers_close(server->finishers);
    }
    MHD_stop_daemon(server->daemon);
    finishers_stop(&server->finishers);
    watch_stop(&server->watch);
    if (listening != MHD_INVALID_SOCKET) {
        close(listening);
    }
    published_destroy(atomic_load(&server->incoming));
    published_destroy(server->current);
    free(server);
    *server_p = NULL;
}
