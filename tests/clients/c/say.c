#include "driver.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// A stream whose text line_say finds again.
static _Thread_local char *line_text;
static _Thread_local size_t line_size;

void
put_text(FILE *line, const char *text)
{
    if (text == NULL) {
        fputs("null", line);
        return;
    }
    fputc('"', line);
    for (const unsigned char *byte = (const unsigned char *)text; *byte != '\0'; byte++) {
        if (*byte == '"' || *byte == '\\') {
            fprintf(line, "\\%c", *byte);
        } else if (*byte < ' ') {
            fprintf(line, "\\u%04x", *byte);
        } else {
            fputc(*byte, line);
        }
    }
    fputc('"', line);
}

void
put_hex(FILE *line, const void *data, size_t size)
{
    fputc('"', line);
    for (size_t byte_index = 0; byte_index < size; byte_index++) {
        fprintf(line, "%02x", ((const unsigned char *)data)[byte_index]);
    }
    fputc('"', line);
}

FILE *
line_open(void)
{
    FILE *line = open_memstream(&line_text, &line_size);
    if (line == NULL) {
        _exit(3);
    }
    fputc('{', line);
    return line;
}

void
line_say(FILE *line)
{
    fputs("}\n", line);
    fclose(line);
    pthread_mutex_lock(&lock);
    for (size_t done = 0; done < line_size;) {
        ssize_t written = write(STDOUT_FILENO, line_text + done, line_size - done);
        if (written <= 0) {
            _exit(3);
        }
        done += (size_t)written;
    }
    pthread_mutex_unlock(&lock);
    free(line_text);
}

void
line_drop(FILE *line)
{
    fclose(line);
    free(line_text);
}

FILE *
answer_open(const zkt_value_t *request)
{
    FILE *line = line_open();
    fprintf(line, "\"id\": %" PRId64, zkt_value_int(zkt_value_get(request, "id"), 0));
    return line;
}

void
answer_nothing(const zkt_value_t *request)
{
    line_say(answer_open(request));
}

void
answer_error(const zkt_value_t *request, enum zkt_err err, const char *text)
{
    FILE *line = answer_open(request);
    fprintf(line, ", \"error\": {\"code\": \"%s\", \"text\": ", zkt_err_name(err));
    put_text(line, text);
    fputc('}', line);
    line_say(line);
}

void
answer_result(const zkt_value_t *request, enum zkt_err err, const char *text)
{
    if (err == ZKT_OK) {
        answer_nothing(request);
    } else {
        answer_error(request, err, text);
    }
}
