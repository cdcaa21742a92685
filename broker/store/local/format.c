#include "store/local/format.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// Value: version 1, kind 1, fields of the kind, then 8 bytes checksum of key and all before it. A
// task's tail (uids of objects, error, body) lies behind its own checksum.
enum {
    SUM_BYTES = 8,
    TASK_FIXED = 128,
    CONSUMER_FIXED = 2 + 8 + 1 + 8 + 8 * PRIORITIES_COUNT + 4,
    INSTANCE_FIXED = 2 + 8 + 4 + 8 + 4,
    UPLOAD_FIXED = 2 + 16 + 8 + 8 + 32,
    INTENT_FIXED = 2 + 1 + 4 + 8,
    SUM_WHOLE_MAX = 1024,
};

struct span
key_span(const struct key *key)
{
    return span_of(key->bytes, key->len);
}

static struct key
key_begin(enum record_kind kind)
{
    struct key key = {.len = 1};
    key.bytes[0] = (uint8_t)kind;
    return key;
}

static void
key_add_u32(struct key *key, uint32_t number)
{
    put_u32(key->bytes + key->len, number);
    key->len += 4;
}

static void
key_add_u64(struct key *key, uint64_t number)
{
    put_u64(key->bytes + key->len, number);
    key->len += 8;
}

struct key
key_task(uint32_t consumer, enum priority priority, uint64_t sequence)
{
    struct key key = key_begin(RECORD_TASK);
    key_add_u32(&key, consumer);
    key.bytes[key.len++] = (uint8_t)priority;
    key_add_u64(&key, sequence);
    return key;
}

struct key
key_crashed(uint32_t consumer, uint64_t sequence)
{
    struct key key = key_begin(RECORD_CRASHED);
    key_add_u32(&key, consumer);
    key_add_u64(&key, sequence);
    return key;
}

struct key
key_held(uint64_t delivery, uint64_t sequence)
{
    struct key key = key_begin(RECORD_HELD);
    key_add_u64(&key, delivery);
    key_add_u64(&key, sequence);
    return key;
}

struct key
key_body(uint64_t number)
{
    return key_number(RECORD_BODY, number);
}

struct key
key_consumer(uint32_t consumer)
{
    struct key key = key_begin(RECORD_CONSUMER);
    key_add_u32(&key, consumer);
    return key;
}

struct key
key_finished(const struct uid *root, uint64_t sequence)
{
    struct key key = key_uid(RECORD_FINISHED, root);
    key_add_u64(&key, sequence);
    return key;
}

struct key
key_uid(enum record_kind kind, const struct uid *uid)
{
    struct key key = key_begin(kind);
    memcpy(key.bytes + 1, uid->bytes, sizeof uid->bytes);
    key.len += sizeof uid->bytes;
    return key;
}

struct key
key_number(enum record_kind kind, uint64_t number)
{
    struct key key = key_begin(kind);
    key_add_u64(&key, number);
    return key;
}

struct key
key_meta(const char *name)
{
    struct key key = key_begin(RECORD_META);
    size_t len = strnlen(name, sizeof key.bytes - 1);
    memcpy(key.bytes + 1, name, len);
    key.len += len;
    return key;
}

// Short ones are copied together: that is several times faster than feeding XXH3 in pieces.
static uint64_t
sum_of(struct span key, const uint8_t *data, size_t len)
{
    uint8_t whole[SUM_WHOLE_MAX];
    if (key.len + len <= sizeof whole) {
        memcpy(whole, key.data, key.len);
        memcpy(whole + key.len, data, len);
        return XXH3_64bits(whole, key.len + len);
    }
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, key.data, key.len);
    XXH3_64bits_update(&state, data, len);
    return XXH3_64bits_digest(&state);
}

// ---- Writing

struct cursor {
    uint8_t *at;
};

static void
add(struct cursor *cursor, const void *data, size_t len)
{
    if (len > 0) {
        memcpy(cursor->at, data, len);
    }
    cursor->at += len;
}

static void
add_u8(struct cursor *cursor, unsigned number)
{
    *cursor->at++ = (uint8_t)number;
}

static void
add_u32(struct cursor *cursor, uint32_t number)
{
    put_u32(cursor->at, number);
    cursor->at += 4;
}

static void
add_u64(struct cursor *cursor, uint64_t number)
{
    put_u64(cursor->at, number);
    cursor->at += 8;
}

// Reserves a value of len bytes and writes version and kind.
static struct cursor
begin(const struct key *key, size_t len, struct bytes *out)
{
    struct cursor cursor = {.at = bytes_reserve(out, len)};
    out->len += len;
    add_u8(&cursor, STORE_FORMAT_VERSION);
    add_u8(&cursor, key->bytes[0]);
    return cursor;
}

static void
seal(struct cursor *cursor, const struct key *key, const uint8_t *start)
{
    add_u64(cursor, sum_of(key_span(key), start, (size_t)(cursor->at - start)));
}

void
format_task(const struct key *key, const struct task_record *task, struct bytes *out)
{
    size_t tail = task->error.len + task->body.len;
    size_t len = TASK_FIXED + task->objects.len + SUM_BYTES + tail + SUM_BYTES;
    size_t start = out->len;
    struct cursor cursor = begin(key, len, out);
    add_u8(&cursor, task->priority);
    add_u8(&cursor, 0);
    add_u32(&cursor, task->attempt);
    add(&cursor, &task->root, 16);
    add(&cursor, &task->parent, 16);
    add(&cursor, &task->orig, 16);
    add(&cursor, &task->retry_of, 16);
    add_u64(&cursor, (uint64_t)task->changed_ms);
    add_u64(&cursor, (uint64_t)task->created_ms);
    add_u64(&cursor, (uint64_t)task->started_ms);
    add_u64(&cursor, task->generation);
    add_u64(&cursor, task->body_number);
    add_u32(&cursor, (uint32_t)(task->objects.len / 16));
    add_u32(&cursor, (uint32_t)task->error.len);
    add_u32(&cursor, (uint32_t)task->body.len);
    add_u32(&cursor, task->consumer);
    add(&cursor, task->objects.data, task->objects.len);
    seal(&cursor, key, out->data + start);
    const uint8_t *tail_start = cursor.at;
    add(&cursor, task->error.data, task->error.len);
    add(&cursor, task->body.data, task->body.len);
    seal(&cursor, key, tail_start);
}

void
format_consumer(const struct key *key, const struct consumer_value *consumer, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, CONSUMER_FIXED + consumer->bind.len + SUM_BYTES, out);
    add_u64(&cursor, consumer->generation);
    add_u8(&cursor, (unsigned)consumer->is_persistent | (unsigned)consumer->is_async << 1 |
                        (unsigned)consumer->is_dropping << 2);
    add_u64(&cursor, (uint64_t)consumer->last_seen_ms);
    for (int priority = 0; priority < PRIORITIES_COUNT; priority++) {
        add_u64(&cursor, consumer->marks[priority]);
    }
    add_u32(&cursor, (uint32_t)consumer->bind.len);
    add(&cursor, consumer->bind.data, consumer->bind.len);
    seal(&cursor, key, out->data + start);
}

void
format_instance(const struct key *key, const struct instance_value *instance, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, INSTANCE_FIXED + instance->errors.len + SUM_BYTES, out);
    add_u64(&cursor, instance->last_number);
    add_u32(&cursor, instance->consumer);
    add_u64(&cursor, (uint64_t)instance->seen_ms);
    add_u32(&cursor, (uint32_t)instance->errors.len);
    add(&cursor, instance->errors.data, instance->errors.len);
    seal(&cursor, key, out->data + start);
}

void
format_upload(const struct key *key, const struct upload_value *upload, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, UPLOAD_FIXED + SUM_BYTES, out);
    add(&cursor, &upload->instance, 16);
    add_u64(&cursor, (uint64_t)upload->size);
    add_u64(&cursor, (uint64_t)upload->at_ms);
    add(&cursor, upload->sha256, 32);
    seal(&cursor, key, out->data + start);
}

void
format_intent(const struct key *key, const struct intent_value *intent, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, INTENT_FIXED + SUM_BYTES, out);
    add_u8(&cursor, intent->what);
    add_u32(&cursor, intent->consumer);
    add_u64(&cursor, intent->delivery);
    seal(&cursor, key, out->data + start);
}

void
format_number(const struct key *key, uint64_t number, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, 2 + 8 + SUM_BYTES, out);
    add_u64(&cursor, number);
    seal(&cursor, key, out->data + start);
}

void
format_blob(const struct key *key, struct span body, struct bytes *out)
{
    size_t start = out->len;
    struct cursor cursor = begin(key, 2 + body.len + SUM_BYTES, out);
    add(&cursor, body.data, body.len);
    seal(&cursor, key, out->data + start);
}

// ---- Reading

static bool
refuse(const char **reason, const char *why)
{
    *reason = why;
    return false;
}

// Version, kind, length and the checksum over the first sealed_len bytes.
static bool
verify(struct span key, struct span value, enum record_kind kind, size_t sealed_len,
       const char **reason)
{
    if (key.len == 0 || key.data[0] != (uint8_t)kind) {
        return refuse(reason, "the key is of another kind");
    }
    if (value.len < sealed_len + SUM_BYTES) {
        return refuse(reason, "the value is too short");
    }
    if (value.data[0] != STORE_FORMAT_VERSION || value.data[1] != (uint8_t)kind) {
        return refuse(reason, "the value has another version or kind");
    }
    if (get_u64(value.data + sealed_len) != sum_of(key, value.data, sealed_len)) {
        return refuse(reason, "the checksum of the header does not fit");
    }
    return true;
}

static bool
task_key(struct span key, struct task_record *out)
{
    if (key.len == 14 && key.data[0] == RECORD_TASK) {
        out->sequence = get_u64(key.data + 6);
        return true;
    }
    if (key.len == 13 && key.data[0] == RECORD_CRASHED) {
        out->sequence = get_u64(key.data + 5);
        return true;
    }
    if (key.len == 17 && key.data[0] == RECORD_HELD) {
        out->sequence = get_u64(key.data + 9);
        return true;
    }
    if (key.len == 25 && key.data[0] == RECORD_FINISHED) {
        out->sequence = get_u64(key.data + 17);
        return true;
    }
    return false;
}

static bool
task_tail(struct span key, struct span tail, struct task_record *out, size_t error_len,
          size_t body_len, const char **reason)
{
    if (tail.len != error_len + body_len + SUM_BYTES) {
        return refuse(reason, "the value has another length than its header says");
    }
    if (get_u64(tail.data + error_len + body_len) != sum_of(key, tail.data, error_len + body_len)) {
        return refuse(reason, "the checksum of the body does not fit");
    }
    out->error = span_of(tail.data, error_len);
    out->body = span_of(tail.data + error_len, body_len);
    return true;
}

bool
parse_task(struct span key, struct span value, bool is_whole, struct task_record *out,
           const char **reason)
{
    *out = (struct task_record){0};
    if (!task_key(key, out)) {
        return refuse(reason, "the key is of another kind");
    }
    if (out->sequence > SEQUENCE_MAX) {
        return refuse(reason, "no such sequence is ever given");
    }
    if (value.len < TASK_FIXED + SUM_BYTES) {
        return refuse(reason, "the value is too short");
    }
    const uint8_t *at = value.data;
    size_t objects_len = (size_t)get_u32(at + 112) * 16;
    size_t sealed_len = TASK_FIXED + objects_len;
    if (!verify(key, value, (enum record_kind)key.data[0], sealed_len, reason)) {
        return false;
    }
    if (at[2] >= PRIORITIES_COUNT) {
        return refuse(reason, "the priority is none");
    }
    out->priority = (enum priority)at[2];
    out->attempt = get_u32(at + 4);
    memcpy(&out->root, at + 8, 16);
    memcpy(&out->parent, at + 24, 16);
    memcpy(&out->orig, at + 40, 16);
    memcpy(&out->retry_of, at + 56, 16);
    out->changed_ms = (int64_t)get_u64(at + 72);
    out->created_ms = (int64_t)get_u64(at + 80);
    out->started_ms = (int64_t)get_u64(at + 88);
    out->generation = get_u64(at + 96);
    out->body_number = get_u64(at + 104);
    out->consumer = get_u32(at + 124);
    out->objects = span_of(at + TASK_FIXED, objects_len);
    struct span tail = span_of(at + sealed_len + SUM_BYTES, value.len - sealed_len - SUM_BYTES);
    return !is_whole || task_tail(key, tail, out, get_u32(at + 116), get_u32(at + 120), reason);
}

bool
parse_consumer(struct span key, struct span value, uint32_t *number, struct consumer_value *out,
               const char **reason)
{
    if (key.len != 5 || value.len < CONSUMER_FIXED + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    const uint8_t *at = value.data;
    size_t bind_len = get_u32(at + CONSUMER_FIXED - 4);
    if (bind_len != value.len - CONSUMER_FIXED - SUM_BYTES) {
        return refuse(reason, "the value has another length than it says");
    }
    if (!verify(key, value, RECORD_CONSUMER, CONSUMER_FIXED + bind_len, reason)) {
        return false;
    }
    *number = get_u32(key.data + 1);
    out->generation = get_u64(at + 2);
    out->is_persistent = (at[10] & 1) != 0;
    out->is_async = (at[10] & 2) != 0;
    out->is_dropping = (at[10] & 4) != 0;
    out->last_seen_ms = (int64_t)get_u64(at + 11);
    for (int priority = 0; priority < PRIORITIES_COUNT; priority++) {
        out->marks[priority] = get_u64(at + 19 + 8 * priority);
    }
    out->bind = span_of(at + CONSUMER_FIXED, bind_len);
    return true;
}

bool
parse_instance(struct span key, struct span value, struct uid *instance, struct instance_value *out,
               const char **reason)
{
    if (key.len != 17 || value.len < INSTANCE_FIXED + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    const uint8_t *at = value.data;
    size_t errors_len = get_u32(at + INSTANCE_FIXED - 4);
    if (errors_len != value.len - INSTANCE_FIXED - SUM_BYTES || errors_len % 16 != 0) {
        return refuse(reason, "the value has another length than it says");
    }
    if (!verify(key, value, RECORD_INSTANCE, INSTANCE_FIXED + errors_len, reason)) {
        return false;
    }
    memcpy(instance, key.data + 1, 16);
    out->last_number = get_u64(at + 2);
    out->consumer = get_u32(at + 10);
    out->seen_ms = (int64_t)get_u64(at + 14);
    out->errors = span_of(at + INSTANCE_FIXED, errors_len);
    return true;
}

bool
parse_upload(struct span key, struct span value, struct uid *object, struct upload_value *out,
             const char **reason)
{
    if (key.len != 17 || value.len != UPLOAD_FIXED + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    if (!verify(key, value, RECORD_UPLOAD, UPLOAD_FIXED, reason)) {
        return false;
    }
    memcpy(object, key.data + 1, 16);
    memcpy(&out->instance, value.data + 2, 16);
    out->size = (int64_t)get_u64(value.data + 18);
    out->at_ms = (int64_t)get_u64(value.data + 26);
    memcpy(out->sha256, value.data + 34, 32);
    return true;
}

bool
parse_intent(struct span key, struct span value, uint64_t *number, struct intent_value *out,
             const char **reason)
{
    if (key.len != 9 || value.len != INTENT_FIXED + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    if (!verify(key, value, RECORD_INTENT, INTENT_FIXED, reason)) {
        return false;
    }
    *number = get_u64(key.data + 1);
    out->what = value.data[2];
    out->consumer = get_u32(value.data + 3);
    out->delivery = get_u64(value.data + 7);
    return true;
}

bool
parse_number(struct span key, struct span value, uint64_t *number, const char **reason)
{
    if (key.len == 0 || value.len != 2 + 8 + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    if (!verify(key, value, (enum record_kind)key.data[0], 2 + 8, reason)) {
        return false;
    }
    *number = get_u64(value.data + 2);
    return true;
}

bool
parse_blob(struct span key, struct span value, uint64_t *number, struct span *body,
           const char **reason)
{
    if (key.len != 9 || value.len < 2 + SUM_BYTES) {
        return refuse(reason, "the record has another length");
    }
    if (!verify(key, value, RECORD_BODY, value.len - SUM_BYTES, reason)) {
        return false;
    }
    *number = get_u64(key.data + 1);
    *body = span_of(value.data + 2, value.len - 2 - SUM_BYTES);
    return true;
}

bool
parse_any(struct span key, struct span value, const char **reason)
{
    struct task_record task;
    struct consumer_value consumer;
    struct instance_value instance;
    struct upload_value upload;
    struct intent_value intent;
    struct uid uid;
    struct span body;
    uint32_t number;
    uint64_t large;
    switch (key.len > 0 ? key.data[0] : 0) {
    case RECORD_TASK:
    case RECORD_HELD:
    case RECORD_CRASHED:
    case RECORD_FINISHED:
        return parse_task(key, value, true, &task, reason);
    case RECORD_CONSUMER:
        return parse_consumer(key, value, &number, &consumer, reason);
    case RECORD_INSTANCE:
        return parse_instance(key, value, &uid, &instance, reason);
    case RECORD_UPLOAD:
        return parse_upload(key, value, &uid, &upload, reason);
    case RECORD_INTENT:
        return parse_intent(key, value, &large, &intent, reason);
    case RECORD_BODY:
        return parse_blob(key, value, &large, &body, reason);
    case RECORD_META:
    case RECORD_DELETION:
        return parse_number(key, value, &large, reason);
    case RECORD_DAMAGED:
        return true;
    default:
        return refuse(reason, "there is no such kind of record");
    }
}
