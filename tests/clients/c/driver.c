// client_driver: libzkarton as the scenarios of tests/clients drive it (protocol: ../README.md).
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

static int main_pipe[2]; // requests for the main thread, as pointers; NULL: stdin has ended
static bool is_serving;

static void *
read_requests(void *arg)
{
    (void)arg;
    char *text = NULL;
    size_t capacity = 0;
    while (getline(&text, &capacity, stdin) != -1) {
        zkt_value_t *request = zkt_value_from_json(text);
        if (request == NULL) {
            fprintf(stderr, "client_driver: no JSON: %s\n", text);
            _exit(3);
        }
        if (__atomic_load_n(&is_serving, __ATOMIC_ACQUIRE)) {
            if (!serve_take(&request)) {
                answer_error(request, ZKT_USAGE, "a worker takes no such request");
                zkt_value_destroy(&request);
            }
            continue;
        }
        if (strcmp(text_of(request, "do", ""), "serve") == 0) {
            __atomic_store_n(&is_serving, true, __ATOMIC_RELEASE);
        }
        if (write(main_pipe[1], &request, sizeof request) != sizeof request) {
            _exit(3);
        }
    }
    free(text);
    if (is_serving) {
        _exit(3); // the runner is gone
    }
    zkt_value_t *end = NULL;
    return write(main_pipe[1], &end, sizeof end) == sizeof end ? NULL : NULL;
}

int
main(void)
{
    pthread_t reader;
    zkt_value_t *request = NULL;
    if (pipe(main_pipe) != 0 || pthread_create(&reader, NULL, read_requests, NULL) != 0) {
        return 3;
    }
    FILE *line = line_open();
    fprintf(line, "\"event\": \"ready\", \"language\": \"c\", \"version\": \"%s\"", ZKT_VERSION);
    line_say(line);
    while (read(main_pipe[0], &request, sizeof request) == sizeof request && request != NULL) {
        if (strcmp(text_of(request, "do", ""), "serve") == 0) {
            serve(request);
        }
        produce(request);
        zkt_value_destroy(&request);
    }
    produce_end();
    pthread_join(reader, NULL);
    return 0;
}
