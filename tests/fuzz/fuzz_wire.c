// Whatever comes over the wire or lies in the store: it is read or refused, and what was read can
// be written and read again as the same. The first byte says as what the rest is taken.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/command.h"
#include "wire/msgpack_value.h"
#include "wire/task_body.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Written once more, the message must be the same bytes: writing has one form.
static void
fuzz_command(struct arena *arena, struct span frame)
{
    struct command command;
    struct problem problem = {0};
    if (command_decode(frame, arena, &command, &problem) != ZKT_OK) {
        zkt_assert(problem.text[0] != '\0');
        return;
    }
    struct bytes first = {0};
    struct bytes second = {0};
    command_encode(&command, &first);
    struct command again;
    enum zkt_err err = command_decode(bytes_span(&first), arena, &again, &problem);
    // Names that the sender left out make the second frame a little larger than the first.
    zkt_assert(err == ZKT_OK || err == ZKT_TOO_LARGE);
    if (err == ZKT_OK) {
        command_encode(&again, &second);
        zkt_assert(span_equal(bytes_span(&first), bytes_span(&second)));
    }
    bytes_fini(&first);
    bytes_fini(&second);
}

static void
fuzz_value(struct arena *arena, struct span span)
{
    struct value value;
    struct value again;
    struct problem problem = {0};
    if (msgpack_parse_value(span, arena, &value, &problem) != ZKT_OK) {
        zkt_assert(problem.text[0] != '\0');
        return;
    }
    struct bytes out = {0};
    msgpack_write_value(&value, &out);
    enum zkt_err err = msgpack_parse_value(bytes_span(&out), arena, &again, &problem);
    zkt_assert(err == ZKT_OK);
    zkt_assert(value_same(&value, &again));
    bytes_fini(&out);
}

static void
fuzz_body(struct arena *arena, struct span body)
{
    struct task headers = {0};
    struct task task = {0};
    bool has_headers = wire_task_codec.headers(body, arena, &headers);
    if (!wire_task_codec.unpack(body, arena, &task)) {
        return;
    }
    zkt_assert(has_headers);
    zkt_assert(value_same(&headers.headers, &task.headers));
    struct bytes packed = {0};
    struct task again = {0};
    wire_task_codec.pack(&task, &packed);
    bool is_read = wire_task_codec.unpack(bytes_span(&packed), arena, &again);
    zkt_assert(is_read);
    struct uid uid;
    memset(&uid, 1, sizeof uid);
    struct deliver_item item = {.delivery = 1,
                                .attempt = 1,
                                .task = {.uid = uid},
                                .body = bytes_span(&packed),
                                .receiver = span_of_text("me")};
    struct command command = {.verb = VERB_DELIVER, .deliver = {.items = &item, .items_count = 1}};
    struct bytes frame = {0};
    struct command back;
    command_encode(&command, &frame);
    enum zkt_err err = command_decode(bytes_span(&frame), arena, &back, NULL);
    zkt_assert(err == ZKT_OK || err == ZKT_TOO_LARGE);
    bytes_fini(&packed);
    bytes_fini(&frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct arena arena;
    arena_init(&arena);
    // A copy of the very size, so that a read behind the end is seen.
    uint8_t *copy = malloc(size > 1 ? size - 1 : 1);
    memcpy(copy, data + 1, size - 1);
    struct span rest = span_of(copy, size - 1);
    if (data[0] == 'v') {
        fuzz_value(&arena, rest);
    } else if (data[0] == 'b') {
        fuzz_body(&arena, rest);
    } else {
        fuzz_command(&arena, rest);
    }
    free(copy);
    arena_fini(&arena);
    return 0;
}
