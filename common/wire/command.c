// Path of a task, step 2 of 10: decode. From io/front_recv.c, to core/session.c.
#include "wire/command.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/command_shapes.h"
#include "wire/msgpack_value.h"
#include "wire/task_body.h"

static const char *const names[VERBS_END] = {
    [VERB_HELLO] = "HELLO",
    [VERB_WELCOME] = "WELCOME",
    [VERB_HEARTBEAT] = "HEARTBEAT",
    [VERB_SUBMIT] = "SUBMIT",
    [VERB_SUBMITTED] = "SUBMITTED",
    [VERB_CREDIT] = "CREDIT",
    [VERB_DELIVER] = "DELIVER",
    [VERB_REPORT] = "REPORT",
    [VERB_REPORTED] = "REPORTED",
    [VERB_REVOKE] = "REVOKE",
    [VERB_LOG] = "LOG",
    [VERB_UPLOAD] = "UPLOAD",
    [VERB_DOWNLOAD] = "DOWNLOAD",
    [VERB_URLS] = "URLS",
    [VERB_WAIT] = "WAIT",
    [VERB_DONE] = "DONE",
    [VERB_QUERY] = "QUERY",
    [VERB_ANSWER] = "ANSWER",
    [VERB_CONTROL] = "CONTROL",
    [VERB_RETIRE] = "RETIRE",
    [VERB_BYE] = "BYE",
    [VERB_ERROR] = "ERROR",
};

const char *
verb_name(uint32_t verb)
{
    return verb < VERBS_END ? names[verb] : NULL;
}

// ---- Decoding

static enum zkt_err
read_head(struct decoder *decoder, struct command *out)
{
    struct token list;
    struct token verb;
    struct token id;
    struct reader *reader = &decoder->reader;
    if (!reader_next(reader, &list) || list.type != TOKEN_LIST || list.len != 3) {
        return problem_set(decoder->problem, ZKT_INVALID,
                           "frame: must be a msgpack list [verb, id, body]");
    }
    if (!reader_next(reader, &verb) || verb.type != TOKEN_INT || verb.integer < 0) {
        return problem_set(decoder->problem, ZKT_INVALID, "verb: must be a small natural number");
    }
    if (!reader_next(reader, &id) || id.type != TOKEN_INT || id.integer < 0) {
        return problem_set(decoder->problem, ZKT_INVALID,
                           "id: must be a natural number below 2^63");
    }
    out->id = (uint64_t)id.integer;
    if (verb.integer >= VERBS_END || verb_name((uint32_t)verb.integer) == NULL) {
        return problem_set(decoder->problem, ZKT_VERB_UNKNOWN, "verb: there is no verb %lld",
                           (long long)verb.integer);
    }
    out->verb = (enum verb)verb.integer;
    return ZKT_OK;
}

static enum zkt_err
read_request(struct decoder *decoder, struct command *out)
{
    enum zkt_err err =
        msgpack_read_value(&decoder->reader, decoder->arena, &out->request.args, decoder->problem);
    if (err != ZKT_OK) {
        return err;
    }
    const struct value *what = value_get(&out->request.args, "what");
    if (what == NULL || what->type != VALUE_STRING) {
        return problem_set(decoder->problem, ZKT_INVALID, ".what: must be a text");
    }
    out->request.what = span_of(what->text, what->len);
    return ZKT_OK;
}

// The version decides how the rest of HELLO is to be read, so it is looked for first, wherever it
// stands.
static enum zkt_err
check_version(const struct decoder *decoder)
{
    struct reader reader = decoder->reader;
    struct token map;
    bool has_map = reader_next(&reader, &map) && map.type == TOKEN_MAP;
    for (uint32_t pair_index = 0; has_map && pair_index < map.len; pair_index++) {
        struct token key;
        struct token version;
        if (!reader_next(&reader, &key)) {
            break;
        }
        if (key.type != TOKEN_STRING || key.len != 1 || key.data[0] != 'v') {
            if (!reader_skip(&reader)) {
                break;
            }
            continue;
        }
        if (!reader_next(&reader, &version) || version.type != TOKEN_INT ||
            version.integer != PROTOCOL_VERSION) {
            return problem_set(decoder->problem, ZKT_VERSION_UNSUPPORTED,
                               ".v: this side speaks version %d of the protocol only",
                               PROTOCOL_VERSION);
        }
        return ZKT_OK;
    }
    return ZKT_OK; // shape_read says what is missing
}

static enum zkt_err
check_submit(const struct submit *submit, struct span frame, struct problem *problem)
{
    if (submit->tasks_count > 1 && frame.len > LIMIT_SUBMIT_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE,
                           ".tasks: %zu bytes, limit %d for more than one task", frame.len,
                           LIMIT_SUBMIT_BYTES);
    }
    if (frame.len > LIMIT_TASK_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE, ".tasks[0]: %zu bytes, limit %d. Use a resource",
                           frame.len, LIMIT_TASK_BYTES);
    }
    for (size_t task_index = 0; task_index < submit->tasks_count; task_index++) {
        const struct task *task = &submit->tasks[task_index];
        if (task->headers.len > LIMIT_HEADERS_COUNT) {
            return problem_set(problem, ZKT_TOO_LARGE, ".tasks[%zu].headers: %u headers, limit %d",
                               task_index, task->headers.len, LIMIT_HEADERS_COUNT);
        }
    }
    return ZKT_OK;
}

static enum zkt_err
read_body(struct decoder *decoder, struct span frame, struct command *out)
{
    if (out->verb == VERB_QUERY || out->verb == VERB_CONTROL) {
        return read_request(decoder, out);
    }
    enum zkt_err err = out->verb == VERB_HELLO ? check_version(decoder) : ZKT_OK;
    if (err != ZKT_OK) {
        return err;
    }
    size_t offset;
    const struct shape *shape = command_shape(out->verb, &offset);
    zkt_assert(shape != NULL);
    memset((char *)out + offset, 0, shape->size);
    err = shape_read(decoder, shape, (char *)out + offset);
    if (err == ZKT_OK && out->verb == VERB_SUBMIT) {
        err = check_submit(&out->submit, frame, decoder->problem);
    }
    return err;
}

enum zkt_err
command_decode(struct span frame, struct arena *arena, struct command *out, struct problem *problem)
{
    struct decoder decoder = {.reader = reader_of(frame), .arena = arena, .problem = problem};
    out->verb = (enum verb)0;
    out->id = 0;
    if (frame.len > LIMIT_FRAME_BYTES) {
        return problem_set(problem, ZKT_TOO_LARGE, "frame: %zu bytes, limit %d", frame.len,
                           LIMIT_FRAME_BYTES);
    }
    enum zkt_err err = read_head(&decoder, out);
    if (err != ZKT_OK) {
        return err;
    }
    err = read_body(&decoder, frame, out);
    if (err != ZKT_OK) {
        problem_in(problem, "%s", verb_name(out->verb));
        return err;
    }
    if (!reader_is_at_end(&decoder.reader)) {
        return problem_set(problem, ZKT_INVALID, "frame: something follows the message");
    }
    return ZKT_OK;
}

// ---- Encoding

static void
write_deliver(msgpack_packer *packer, const struct deliver *deliver)
{
    msgpack_pack_map(packer, 1);
    pack_string(packer, "items", 5);
    msgpack_pack_array(packer, deliver->items_count);
    for (size_t item_index = 0; item_index < deliver->items_count; item_index++) {
        const struct deliver_item *item = &deliver->items[item_index];
        msgpack_pack_map(packer, 3);
        pack_string(packer, "delivery", 8);
        msgpack_pack_uint64(packer, item->delivery);
        pack_string(packer, "attempt", 7);
        msgpack_pack_uint32(packer, item->attempt);
        pack_string(packer, "task", 4);
        if (item->body.len > 0) {
            pack_delivered_task(packer, &item->task, item->body, item->receiver);
        } else {
            shape_write(packer, &task_shape, &item->task);
        }
    }
}

static void
write_request(msgpack_packer *packer, const struct request *request)
{
    // "what" comes first, whether args names it or not.
    uint32_t others_count = 0;
    for (uint32_t member_index = 0; member_index < request->args.len; member_index++) {
        others_count += !value_is_text(&request->args.members[member_index].key, "what");
    }
    msgpack_pack_map(packer, others_count + 1);
    pack_string(packer, "what", 4);
    pack_string(packer, request->what.data, request->what.len);
    for (uint32_t member_index = 0; member_index < request->args.len; member_index++) {
        const struct member *member = &request->args.members[member_index];
        if (!value_is_text(&member->key, "what")) {
            pack_value(packer, &member->key);
            pack_value(packer, &member->value);
        }
    }
}

void
command_encode(const struct command *command, struct bytes *out)
{
    msgpack_packer packer = packer_on(out);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint32(&packer, command->verb);
    msgpack_pack_uint64(&packer, command->id);
    size_t offset;
    const struct shape *shape = command_shape(command->verb, &offset);
    if (command->verb == VERB_DELIVER) {
        write_deliver(&packer, &command->deliver);
    } else if (command->verb == VERB_QUERY || command->verb == VERB_CONTROL) {
        write_request(&packer, &command->request);
    } else {
        zkt_assert(shape != NULL);
        shape_write(&packer, shape, (const char *)command + offset);
    }
}
