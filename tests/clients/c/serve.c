// A worker: process hands each task to the scenario and obeys what it says for that delivery.
#include <ftw.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

enum { RUNS_MAX = 64, SHOWN_MAX = 4096 };

// One call of process. Requests come through its pipe, as pointers.
struct run {
    int64_t number; // 0: free
    int pipe[2];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct run runs[RUNS_MAX];
static int64_t last_number;
static zkt_worker_t *worker;

static struct run *
run_open(void)
{
    struct run *run = runs;
    pthread_mutex_lock(&lock);
    while (run->number != 0) {
        run++; // concurrency is far below RUNS_MAX
    }
    run->number = ++last_number;
    if (pipe(run->pipe) != 0) {
        _exit(3);
    }
    pthread_mutex_unlock(&lock);
    return run;
}

static void
run_close(struct run *run)
{
    pthread_mutex_lock(&lock);
    close(run->pipe[0]);
    close(run->pipe[1]);
    run->number = 0;
    pthread_mutex_unlock(&lock);
}

bool
serve_take(zkt_value_t **request_p)
{
    const zkt_value_t *delivery = zkt_value_get(*request_p, "delivery");
    const char *verb = text_of(*request_p, "do", "");
    bool is_stop = strcmp(verb, "stop") == 0;
    if (is_stop || strcmp(verb, "abort") == 0) {
        answer_nothing(*request_p); // first: the process ends with its worker
        is_stop ? zkt_worker_stop(worker) : zkt_worker_abort(worker);
        zkt_value_destroy(request_p);
        return true;
    }
    if (delivery == NULL) {
        return false;
    }
    pthread_mutex_lock(&lock);
    for (struct run *run = runs; run < runs + RUNS_MAX; run++) {
        if (run->number != 0 && run->number == zkt_value_int(delivery, 0)) {
            if (write(run->pipe[1], request_p, sizeof *request_p) != sizeof *request_p) {
                _exit(3);
            }
            *request_p = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    if (*request_p != NULL) { // its process has returned
        bool is_end = strcmp(verb, "finish") == 0 || strcmp(verb, "fail") == 0 ||
                      strcmp(verb, "give_back") == 0;
        answer_result(*request_p, is_end ? ZKT_OK : ZKT_CANCELLED, "process has ended");
        zkt_value_destroy(request_p);
    }
    return true;
}

// ---- What a delivery can be told

static void
say_task(const struct run *run, zkt_delivery_t *delivery, const zkt_task_t *task)
{
    char *json = zkt_task_json(task, 0);
    FILE *line = line_open();
    fprintf(line, "\"event\": \"task\", \"delivery\": %" PRId64 ", \"attempt\": %u, \"task\": %s",
            run->number, zkt_delivery_attempt(delivery), json);
    line_say(line);
    free(json);
}

static void
send_child(zkt_delivery_t *delivery, const zkt_task_t *task, const zkt_value_t *request)
{
    zkt_task_t *child = build_task(request, task);
    char uid[ZKT_ROOT_UID_SIZE];
    snprintf(uid, sizeof uid, "%s", zkt_task_uid(child));
    bool is_posted = zkt_value_bool(zkt_value_get(request, "post"), false);
    enum zkt_err err =
        is_posted ? zkt_delivery_post(delivery, &child) : zkt_delivery_send(delivery, &child);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_delivery_error(delivery));
        return;
    }
    FILE *line = answer_open(request);
    fprintf(line, ", \"uid\": \"%s\"", uid);
    line_say(line);
}

static void
read_resource(zkt_delivery_t *delivery, const zkt_task_t *task, const zkt_value_t *request)
{
    const zkt_resource_t *resource = zkt_task_resource(task, text_of(request, "path", ""));
    const void *data = NULL;
    size_t size = 0;
    unsigned char digest[32];
    if (resource == NULL) {
        answer_error(request, ZKT_NOT_FOUND, "no resource there");
        return;
    }
    enum zkt_err err = zkt_delivery_data(delivery, resource, &data, &size);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_delivery_error(delivery));
        return;
    }
    EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL);
    FILE *line = answer_open(request);
    fputs(", \"uid\": ", line);
    put_text(line, zkt_resource_uid(resource));
    fputs(", \"name\": ", line);
    put_text(line, zkt_resource_name(resource));
    fprintf(line, ", \"size\": %zu, \"is_directory\": %s, \"sha256\": ", size,
            zkt_resource_is_directory(resource) ? "true" : "false");
    put_hex(line, digest, sizeof digest);
    fputs(", \"hex\": ", line);
    put_hex(line, data, size < SHOWN_MAX ? size : SHOWN_MAX);
    line_say(line);
}

static _Thread_local FILE *walk_line;
static _Thread_local size_t walk_prefix_len;
static _Thread_local size_t walk_count;

static int
walk_file(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)place;
    char bytes[SHOWN_MAX];
    FILE *file = kind == FTW_F ? fopen(path, "rb") : NULL;
    if (file == NULL) {
        return kind == FTW_F ? -1 : 0;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    fputs(walk_count++ > 0 ? ", " : "", walk_line);
    put_text(walk_line, path + walk_prefix_len + 1);
    fputs(": ", walk_line);
    put_hex(walk_line, bytes, size);
    return 0;
}

static void
unpack_folder(zkt_delivery_t *delivery, const zkt_task_t *task, const zkt_value_t *request)
{
    const char *path = NULL;
    enum zkt_err err =
        zkt_delivery_folder(delivery, zkt_task_resource(task, text_of(request, "path", "")), &path);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_delivery_error(delivery));
        return;
    }
    walk_line = answer_open(request);
    walk_prefix_len = strlen(path);
    walk_count = 0;
    fputs(", \"files\": {", walk_line);
    if (nftw(path, walk_file, 8, FTW_PHYS) != 0) {
        _exit(3);
    }
    fputc('}', walk_line);
    line_say(walk_line);
}

static void
log_line(zkt_delivery_t *delivery, const zkt_value_t *request)
{
    static const struct {
        const char *name;
        enum zkt_level level;
    } levels[] = {{"DEBUG", ZKT_DEBUG}, {"WARNING", ZKT_WARNING}, {"ERROR", ZKT_ERROR}};
    enum zkt_level level = ZKT_INFO;
    for (size_t index = 0; index < sizeof levels / sizeof *levels; index++) {
        if (strcmp(levels[index].name, text_of(request, "level", "INFO")) == 0) {
            level = levels[index].level;
        }
    }
    zkt_log(delivery, level, "%s", text_of(request, "message", ""));
    answer_nothing(request);
}

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Busy, deaf to everything but the time and the cancelling.
static void
spin(zkt_delivery_t *delivery, const zkt_value_t *request)
{
    int64_t end_ms = now_ms() + zkt_value_int(zkt_value_get(request, "ms"), 0);
    bool is_cancelled = false;
    while (now_ms() < end_ms && !is_cancelled) {
        is_cancelled = zkt_delivery_is_cancelled(delivery);
    }
    FILE *line = answer_open(request);
    fprintf(line, ", \"cancelled\": %s", is_cancelled ? "true" : "false");
    line_say(line);
}

// ---- The loop inside process

// The next request; says once when the delivery is cancelled meanwhile.
static zkt_value_t *
next_request(const struct run *run, zkt_delivery_t *delivery, bool *was_cancelled)
{
    for (;;) {
        struct pollfd polled[] = {
            {.fd = run->pipe[0], .events = POLLIN},
            {.fd = *was_cancelled ? -1 : zkt_delivery_cancel_fd(delivery), .events = POLLIN}};
        poll(polled, 2, -1);
        if (polled[1].revents != 0) {
            *was_cancelled = true;
            FILE *line = line_open();
            fprintf(line, "\"event\": \"cancelled\", \"delivery\": %" PRId64, run->number);
            line_say(line);
        }
        zkt_value_t *request = NULL;
        if (polled[0].revents != 0 &&
            read(run->pipe[0], &request, sizeof request) == sizeof request) {
            return request;
        }
    }
}

// true: process ends with *result.
static bool
obey(zkt_delivery_t *delivery, const zkt_task_t *task, const zkt_value_t *request,
     enum zkt_err *result)
{
    const char *verb = text_of(request, "do", "");
    if (strcmp(verb, "finish") == 0) {
        *result = ZKT_OK;
    } else if (strcmp(verb, "fail") == 0) {
        *result = zkt_delivery_fail(delivery, "%s", text_of(request, "text", ""));
    } else if (strcmp(verb, "give_back") == 0) {
        *result =
            zkt_delivery_give_back(delivery, zkt_value_int(zkt_value_get(request, "delay_ms"), 0));
    } else {
        if (strcmp(verb, "send") == 0) {
            send_child(delivery, task, request);
        } else if (strcmp(verb, "read") == 0) {
            read_resource(delivery, task, request);
        } else if (strcmp(verb, "folder") == 0) {
            unpack_folder(delivery, task, request);
        } else if (strcmp(verb, "log") == 0) {
            log_line(delivery, request);
        } else if (strcmp(verb, "spin") == 0) {
            spin(delivery, request);
        } else {
            answer_error(request, ZKT_USAGE, "no such verb");
        }
        return false;
    }
    answer_nothing(request);
    return true;
}

static enum zkt_err
process(zkt_delivery_t *delivery, const zkt_task_t *task, void *arg)
{
    (void)arg;
    struct run *run = run_open();
    enum zkt_err result = ZKT_OK;
    bool was_cancelled = false;
    bool is_over = false;
    say_task(run, delivery, task);
    while (!is_over) {
        zkt_value_t *request = next_request(run, delivery, &was_cancelled);
        is_over = obey(delivery, task, request, &result);
        zkt_value_destroy(&request);
    }
    run_close(run);
    return result;
}

// As the exit codes of zkt_worker_main.
static int
exit_code(enum zkt_err err)
{
    switch (err) {
    case ZKT_OK:
        return 0;
    case ZKT_CONFIG_INVALID:
    case ZKT_FILTER_INVALID:
    case ZKT_IDENTITY_INVALID:
    case ZKT_INVALID:
        return 2;
    case ZKT_UNREACHABLE:
        return 3;
    case ZKT_DENIED:
        return 4;
    case ZKT_CANCELLED:
        return 130;
    default:
        return 1;
    }
}

void
serve(const zkt_value_t *request)
{
    zkt_config_t *config = build_config(request);
    if (config == NULL) {
        exit(2);
    }
    char *filters = zkt_value_json(zkt_value_get(request, "filters"));
    zkt_worker_options_t options = {
        .identity = text_of(request, "identity", ""),
        .info = text_of(request, "info", NULL),
        .service_version = text_of(request, "service_version", NULL),
        .filters_json = zkt_value_get(request, "filters") == NULL ? NULL : filters,
        .process = process,
        .config = config,
        .concurrency = (unsigned)zkt_value_int(zkt_value_get(request, "concurrency"), 1),
        .prefetch = (unsigned)zkt_value_int(zkt_value_get(request, "prefetch"), 0),
        .timeout_s = (unsigned)zkt_value_int(zkt_value_get(request, "timeout_s"), 0),
        .temporary = zkt_value_bool(zkt_value_get(request, "temporary"), false),
        .transactional = zkt_value_bool(zkt_value_get(request, "transactional"), false),
        .join = zkt_value_bool(zkt_value_get(request, "join"), false)};
    enum zkt_err err = zkt_worker_new(&options, &worker);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_worker_error(worker));
    } else {
        FILE *line = answer_open(request);
        fputs(", \"identity\": ", line);
        put_text(line, zkt_worker_identity(worker));
        line_say(line);
        err = zkt_worker_run(worker);
        line = line_open();
        fprintf(line, "\"event\": \"stopped\", \"code\": \"%s\", \"text\": ", zkt_err_name(err));
        put_text(line, err == ZKT_OK ? NULL : zkt_worker_error(worker));
        line_say(line);
    }
    free(filters);
    _exit(exit_code(err)); // the reader, and process after a hard stop, are still running
}
