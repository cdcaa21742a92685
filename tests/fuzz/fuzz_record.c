// Any bytes as a record: it verifies or it does not; nothing is read beyond its end. The first byte
// says how long the key is.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/local/format.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_record(struct span key, struct span value)
{
    const char *reason = "";
    struct task_record task;
    parse_any(key, value, &reason);
    if (parse_task(key, value, false, &task, &reason)) {
        // A header that verifies is what some broker wrote: it comes out as it went in.
        if (task.priority >= PRIORITIES_COUNT) {
            abort();
        }
    }
}

// Makes the record that the bytes describe, so that the parser's inside is reached too.
static void
try_own(const uint8_t *data, size_t size)
{
    struct task_record task = {.sequence = size, .consumer = data[0], .priority = PRIORITY_LOW};
    task.error = span_of(data, size / 2);
    task.body = span_of(data + size / 2, size - size / 2);
    struct key key = key_task(task.consumer, task.priority, task.sequence);
    struct bytes value = {0};
    struct task_record read;
    const char *reason = "";
    format_task(&key, &task, &value);
    if (!parse_task(key_span(&key), bytes_span(&value), true, &read, &reason) ||
        !span_equal(read.body, task.body) || !span_equal(read.error, task.error)) {
        abort();
    }
    size_t flipped = (size_t)data[0] * 31 % (value.len * 8);
    value.data[flipped / 8] ^= (uint8_t)(1u << (flipped % 8));
    if (parse_task(key_span(&key), bytes_span(&value), true, &read, &reason)) {
        abort(); // one flipped bit is always found
    }
    bytes_fini(&value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t key_len = data[0] % 33;
    if (key_len > size - 1) {
        return 0;
    }
    try_record(span_of(data + 1, key_len), span_of(data + 1 + key_len, size - 1 - key_len));
    try_own(data, size);
    return 0;
}
