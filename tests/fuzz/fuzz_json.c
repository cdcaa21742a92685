// JSON from anybody: what is read can be written, and reads back the same; through msgpack too. As
// a task, it is written the same way twice.
#include <stdlib.h>

#include "base/assert.h"
#include "wire/json.h"
#include "wire/msgpack_value.h"
#include "wire/task_json.h"

static void
check_value(const struct value *value, struct arena *arena)
{
    static const unsigned styles[] = {JSON_DEFAULT, JSON_COMPACT, JSON_INDENT2, JSON_INDENT4};
    struct value again;
    struct problem problem;
    struct bytes out = {0};
    for (size_t style_index = 0; style_index < sizeof styles / sizeof *styles; style_index++) {
        bytes_clear(&out);
        json_write(value, &out, styles[style_index]);
        // Indentation can make it longer than is read.
        enum zkt_err err = json_parse(bytes_span(&out), arena, &again, &problem);
        zkt_assert(err == ZKT_OK || err == ZKT_TOO_LARGE);
        zkt_assert(err != ZKT_OK || value_same(value, &again));
    }
    bytes_clear(&out);
    msgpack_write_value(value, &out);
    zkt_assert(msgpack_parse_value(bytes_span(&out), arena, &again, &problem) == ZKT_OK);
    zkt_assert(value_same(value, &again));
    bytes_fini(&out);
}

static void
check_task(struct span text, struct arena *arena)
{
    struct task_document document;
    struct problem problem;
    struct bytes first = {0};
    struct bytes second = {0};
    if (task_from_json(text, arena, &document, &problem) == ZKT_OK) {
        zkt_assert(task_to_json(&document, JSON_SORTED, &first, &problem) == ZKT_OK);
        enum zkt_err err = task_from_json(bytes_span(&first), arena, &document, &problem);
        zkt_assert(err == ZKT_OK || err == ZKT_TOO_LARGE);
        if (err == ZKT_OK) {
            zkt_assert(task_to_json(&document, JSON_SORTED, &second, &problem) == ZKT_OK);
            zkt_assert(span_equal(bytes_span(&first), bytes_span(&second)));
        }
    }
    bytes_fini(&first);
    bytes_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct value value;
    struct problem problem;
    arena_init(&arena);
    if (json_parse(span_of(data, size), &arena, &value, &problem) == ZKT_OK) {
        check_value(&value, &arena);
        check_task(span_of(data, size), &arena);
    }
    arena_fini(&arena);
    return 0;
}
