// driver.h: the parts of the C driver of tests/clients (protocol: ../README.md).
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <zkarton.h>

// ---- say.c: lines on stdout, one at a time from any thread.
void
put_text(FILE *line, const char *text); // a JSON text; NULL: null
void
put_hex(FILE *line, const void *data, size_t size); // a JSON text of hex digits
// line_open starts "{"; line_say ends it with "}\n" and writes it out.
FILE *
line_open(void);
void
line_say(FILE *line);
void
line_drop(FILE *line);
FILE *
answer_open(const zkt_value_t *request); // {"id": n
void
answer_nothing(const zkt_value_t *request);
void
answer_error(const zkt_value_t *request, enum zkt_err err, const char *text);
// answer_result answers nothing or the error.
void
answer_result(const zkt_value_t *request, enum zkt_err err, const char *text);

// ---- build.c: what requests describe.
const char *
text_of(const zkt_value_t *request, const char *key, const char *fallback);
// parent: of the delivery, NULL outside; source of "$pass" and of derived tasks.
zkt_task_t *
build_task(const zkt_value_t *request, const zkt_task_t *parent);
// build_config loads the usual files and applies the request's "config"; NULL: answered an error.
zkt_config_t *
build_config(const zkt_value_t *request);

// ---- serve.c: a worker. It never returns: the process ends with it.
_Noreturn void
serve(const zkt_value_t *request);
bool
serve_take(zkt_value_t **request_p); // true: the request was for the worker or a delivery

// ---- produce.c: a client.
void
produce(const zkt_value_t *request);
void
produce_end(void);
