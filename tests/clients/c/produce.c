// A client: connect, submit, post, wait, query, control, download, follow.
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static zkt_client_t *client;
static zkt_config_t *config;
static struct {
    uint64_t sent_count;
    uint64_t taken_count;
    uint64_t refused_count;
} posted;

static void
count_sent(void *arg, const char *root_uid, enum zkt_err result, uint32_t taken_count,
           const char *error)
{
    (void)arg;
    (void)root_uid;
    (void)error;
    posted.sent_count += result == ZKT_OK;
    posted.refused_count += result != ZKT_OK;
    posted.taken_count += taken_count;
}

static void
connect_client(const zkt_value_t *request)
{
    produce_end();
    config = build_config(request);
    if (config == NULL) {
        return;
    }
    zkt_client_options_t options = {
        .identity = text_of(request, "identity", ""),
        .config = config,
        .timeout_ms = (int)zkt_value_int(zkt_value_get(request, "timeout_ms"), 0),
        .is_operator = zkt_value_bool(zkt_value_get(request, "operator"), false),
        .on_sent = count_sent,
        .window_tasks = 256};
    enum zkt_err err = zkt_client_new(&options, &client);
    answer_result(request, err, zkt_client_error(client));
}

static void
submit(const zkt_value_t *request)
{
    zkt_task_t *task = build_task(request, NULL);
    char uid[ZKT_ROOT_UID_SIZE];
    char root_uid[ZKT_ROOT_UID_SIZE];
    snprintf(uid, sizeof uid, "%s", zkt_task_uid(task));
    enum zkt_err err = zkt_client_send(client, &task, root_uid);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_client_error(client));
        return;
    }
    FILE *line = answer_open(request);
    fprintf(line, ", \"uid\": \"%s\", \"root_uid\": \"%s\"", uid, root_uid);
    line_say(line);
}

static void
post(const zkt_value_t *request)
{
    int64_t count = zkt_value_int(zkt_value_get(request, "count"), 1);
    enum zkt_err err = ZKT_OK;
    memset(&posted, 0, sizeof posted);
    for (int64_t task_index = 0; task_index < count && err == ZKT_OK; task_index++) {
        zkt_task_t *task = build_task(request, NULL);
        zkt_task_set_int(task, "number", task_index);
        err = zkt_client_post(client, &task, NULL);
    }
    err = err == ZKT_OK ? zkt_client_flush(client, 60000) : err;
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_client_error(client));
        return;
    }
    FILE *line = answer_open(request);
    fprintf(line, ", \"sent\": %" PRIu64 ", \"taken\": %" PRIu64 ", \"refused\": %" PRIu64,
            posted.sent_count, posted.taken_count, posted.refused_count);
    line_say(line);
}

static void
wait_for(const zkt_value_t *request)
{
    zkt_summary_t summary;
    enum zkt_err err =
        zkt_client_wait(client, text_of(request, "root_uid", ""),
                        (int)zkt_value_int(zkt_value_get(request, "timeout_ms"), 30000), &summary);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_client_error(client));
        return;
    }
    FILE *line = answer_open(request);
    fprintf(line, ", \"finished\": %" PRIu64 ", \"crashed\": %" PRIu64, summary.finished_count,
            summary.crashed_count);
    line_say(line);
}

// One page after the other; arguments are the request's with the cursor.
static enum zkt_err
ask_page(const zkt_value_t *request, bool is_control, const zkt_value_t *previous,
         zkt_value_t **answer)
{
    zkt_value_t *arguments = zkt_value_map();
    const zkt_value_t *given = zkt_value_get(request, "arguments");
    for (size_t item_index = 0; item_index < zkt_value_len(given); item_index++) {
        char *json = zkt_value_json(zkt_value_at(given, item_index));
        zkt_value_t *copy = zkt_value_from_json(json);
        zkt_value_put(arguments, zkt_value_key(given, item_index), &copy);
        free(json);
    }
    if (zkt_value_get(previous, "next") != NULL) {
        char *json = zkt_value_json(zkt_value_get(previous, "next"));
        zkt_value_t *copy = zkt_value_from_json(json);
        zkt_value_put(arguments, "after", &copy);
        free(json);
    }
    char *json = zkt_value_json(arguments);
    zkt_value_destroy(&arguments);
    const char *what = text_of(request, "what", "");
    enum zkt_err err = is_control ? zkt_client_control(client, what, json, answer)
                                  : zkt_client_query(client, what, json, answer);
    free(json);
    return err;
}

static void
ask(const zkt_value_t *request, bool is_control)
{
    zkt_value_t *answer = NULL;
    FILE *line = answer_open(request);
    const char *separator = "";
    fputs(", \"rows\": [", line);
    do {
        zkt_value_t *page = NULL;
        enum zkt_err err = ask_page(request, is_control, answer, &page);
        zkt_value_destroy(&answer);
        answer = page;
        if (err != ZKT_OK) {
            line_drop(line);
            answer_error(request, err, zkt_client_error(client));
            zkt_value_destroy(&answer);
            return;
        }
        const zkt_value_t *rows = zkt_value_get(answer, "rows");
        for (size_t row_index = 0; row_index < zkt_value_len(rows); row_index++) {
            char *row = zkt_value_json(zkt_value_at(rows, row_index));
            fprintf(line, "%s%s", separator, row);
            separator = ", ";
            free(row);
        }
    } while (zkt_value_get(answer, "next") != NULL);
    fputc(']', line);
    line_say(line);
    zkt_value_destroy(&answer);
}

static void
download(const zkt_value_t *request)
{
    FILE *file = tmpfile();
    zkt_value_t *resource = zkt_value_from_resource_uid(text_of(request, "uid", ""));
    if (file == NULL || resource == NULL) {
        answer_error(request, ZKT_INVALID, "no resource uid");
    } else {
        enum zkt_err err = zkt_client_download(client, zkt_value_resource(resource), fileno(file));
        char bytes[4096];
        size_t size = 0;
        if (err == ZKT_OK) {
            rewind(file);
            size = fread(bytes, 1, sizeof bytes, file);
            FILE *line = answer_open(request);
            fputs(", \"hex\": ", line);
            put_hex(line, bytes, size);
            line_say(line);
        } else {
            answer_error(request, err, zkt_client_error(client));
        }
    }
    zkt_value_destroy(&resource);
    if (file != NULL) {
        fclose(file);
    }
}

// ---- Following

static struct {
    pthread_t thread;
    zkt_events_t *events;
    int end_pipe[2];
} follower;

static void *
pump(void *arg)
{
    (void)arg;
    const char *topic = NULL;
    const zkt_value_t *body = NULL;
    char byte = 0;
    while (read(follower.end_pipe[0], &byte, 1) == -1) { // non-blocking: nothing there yet
        enum zkt_err err = zkt_events_next(follower.events, 50, &topic, &body);
        if (err == ZKT_TIMEOUT) {
            continue;
        }
        if (err != ZKT_OK) {
            break;
        }
        char *json = zkt_value_json(body);
        FILE *line = line_open();
        fputs("\"event\": \"published\", \"topic\": ", line);
        put_text(line, topic);
        fprintf(line, ", \"body\": %s", json);
        line_say(line);
        free(json);
    }
    return NULL;
}

static void
follow(const zkt_value_t *request)
{
    const char *topics[17] = {0};
    const zkt_value_t *list = zkt_value_get(request, "topics");
    for (size_t index = 0; index < zkt_value_len(list) && index < 16; index++) {
        topics[index] = zkt_value_string(zkt_value_at(list, index), "");
    }
    enum zkt_err err = zkt_events_new(client, topics, &follower.events);
    if (err != ZKT_OK) {
        answer_error(request, err, zkt_events_error(follower.events));
        zkt_events_destroy(&follower.events);
        return;
    }
    if (pipe2(follower.end_pipe, O_NONBLOCK) != 0 ||
        pthread_create(&follower.thread, NULL, pump, NULL) != 0) {
        _exit(3);
    }
    answer_nothing(request);
}

void
produce_end(void)
{
    if (follower.events != NULL) {
        if (write(follower.end_pipe[1], "x", 1) != 1) {
            _exit(3);
        }
        pthread_join(follower.thread, NULL);
        zkt_events_destroy(&follower.events);
        close(follower.end_pipe[0]);
        close(follower.end_pipe[1]);
    }
    zkt_client_destroy(&client);
    zkt_config_destroy(&config);
}

void
produce(const zkt_value_t *request)
{
    const char *verb = text_of(request, "do", "");
    if (strcmp(verb, "connect") == 0) {
        connect_client(request);
    } else if (client == NULL) {
        answer_error(request, ZKT_USAGE, "connect first");
    } else if (strcmp(verb, "submit") == 0) {
        submit(request);
    } else if (strcmp(verb, "post") == 0) {
        post(request);
    } else if (strcmp(verb, "wait") == 0) {
        wait_for(request);
    } else if (strcmp(verb, "query") == 0 || strcmp(verb, "control") == 0) {
        ask(request, strcmp(verb, "control") == 0);
    } else if (strcmp(verb, "download") == 0) {
        download(request);
    } else if (strcmp(verb, "follow") == 0) {
        follow(request);
    } else {
        answer_error(request, ZKT_USAGE, "no such verb");
    }
}
