// json_echo: answers framed requests on stdin, for test_json_python.py. A request is kind (1 byte:
// 'v' value, 'm' value through msgpack, 't' task), style (1 byte), length (4 bytes, big-endian),
// text; the answer is code (1 byte), length (4 bytes), text or what is wrong.
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "wire/json.h"
#include "wire/msgpack_value.h"
#include "wire/task_json.h"

static enum zkt_err
echo_value(struct span text, unsigned style, struct arena *arena, struct bytes *out,
           struct problem *problem)
{
    struct value value;
    enum zkt_err err = json_parse(text, arena, &value, problem);
    if (err == ZKT_OK) {
        json_write(&value, out, style);
    }
    return err;
}

static enum zkt_err
echo_msgpack(struct span text, unsigned style, struct arena *arena, struct bytes *out,
             struct problem *problem)
{
    struct value value;
    struct value again;
    struct bytes packed = {0};
    enum zkt_err err = json_parse(text, arena, &value, problem);
    if (err == ZKT_OK) {
        msgpack_write_value(&value, &packed);
        err = msgpack_parse_value(bytes_span(&packed), arena, &again, problem);
    }
    if (err == ZKT_OK && !value_same(&value, &again)) {
        err = problem_set(problem, ZKT_INVALID, "msgpack changed the value");
    }
    if (err == ZKT_OK) {
        json_write(&again, out, style);
    }
    bytes_fini(&packed);
    return err;
}

static enum zkt_err
echo_task(struct span text, unsigned style, struct arena *arena, struct bytes *out,
          struct problem *problem)
{
    struct task_document document;
    enum zkt_err err = task_from_json(text, arena, &document, problem);
    return err == ZKT_OK ? task_to_json(&document, style, out, problem) : err;
}

static void
answer(enum zkt_err err, struct span text)
{
    uint8_t head[5] = {(uint8_t)err};
    put_u32(head + 1, (uint32_t)text.len);
    fwrite(head, 1, sizeof head, stdout);
    fwrite(text.data, 1, text.len, stdout);
    fflush(stdout);
}

int
main(void)
{
    uint8_t head[6];
    struct arena arena;
    struct bytes out = {0};
    arena_init(&arena);
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        uint32_t len = get_u32(head + 2);
        uint8_t *text = xmalloc(len); // exact, so that a sanitizer sees a read behind the end
        struct problem problem = {.code = ZKT_OK};
        enum zkt_err err = ZKT_IO;
        bytes_clear(&out);
        if (fread(text, 1, len, stdin) == len) {
            struct span span = span_of(text, len);
            err = head[0] == 'v'   ? echo_value(span, head[1], &arena, &out, &problem)
                  : head[0] == 'm' ? echo_msgpack(span, head[1], &arena, &out, &problem)
                                   : echo_task(span, head[1], &arena, &out, &problem);
        }
        answer(err, err == ZKT_OK ? bytes_span(&out) : span_of_text(problem.text));
        free(text);
        arena_clear(&arena);
    }
    bytes_fini(&out);
    arena_fini(&arena);
    return 0;
}
