// Path of a task, step 2 of 10: decode. From io/front_recv.c, to core/session.c.
#include "wire/command.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/msgpack_value.h"
#include "wire/protocol_table.h"
#include "wire/task_body.h"

const char *
verb_name(uint32_t verb)
{
    return verb < VERBS_END ? verb_table[verb].name : NULL;
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
check_headers(const struct task *task, struct problem *problem)
{
    if (task->headers.len > LIMIT_HEADERS_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE, ".headers: %u headers, limit %d",
                           task->headers.len, LIMIT_HEADERS_COUNT);
    }
    for (uint32_t header_index = 0; header_index < task->headers.len; header_index++) {
        uint32_t len = task->headers.members[header_index].key.len;
        if (len > LIMIT_HEADER_NAME_BYTES) {
            return problem_set(problem, ZKT_TOO_LARGE, ".headers: a name of %u bytes, limit %d",
                               len, LIMIT_HEADER_NAME_BYTES);
        }
    }
    if (task->header_keys.type == VALUE_LIST && task->header_keys.len > LIMIT_HEADERS_COUNT) {
        return problem_set(problem, ZKT_TOO_LARGE, ".hp: %u names, limit %d", task->header_keys.len,
                           LIMIT_HEADERS_COUNT);
    }
    for (uint32_t key_index = 0; key_index < task->header_keys.len; key_index++) {
        if (task->header_keys.items[key_index].type != VALUE_STRING) {
            return problem_set(problem, ZKT_INVALID, ".hp[%u]: must be a text", key_index);
        }
    }
    return ZKT_OK;
}

// Bags stay packed: only that they can be maps is looked at. Who opens one checks the rest.
static bool
may_be_map(struct span bag)
{
    return bag.len == 0 || (bag.data[0] & 0xf0) == 0x80 || (bag.data[0] & 0xfe) == 0xde;
}

static enum zkt_err
check_task(const struct task *task, struct problem *problem)
{
    if (!may_be_map(task->payload)) {
        return problem_set(problem, ZKT_INVALID, ".payload: must hold a msgpack map");
    }
    if (!may_be_map(task->payload_persistent)) {
        return problem_set(problem, ZKT_INVALID, ".pp: must hold a msgpack map");
    }
    return check_headers(task, problem);
}

static enum zkt_err
check_submit(const struct submit *submit, struct problem *problem)
{
    for (size_t task_index = 0; task_index < submit->tasks_count; task_index++) {
        enum zkt_err err = check_task(&submit->tasks[task_index], problem);
        if (err != ZKT_OK) {
            problem_in(problem, ".tasks[%zu]", task_index);
            return err;
        }
    }
    return ZKT_OK;
}

static enum zkt_err
check_log_records(struct reader *reader, uint32_t records_count, struct problem *problem)
{
    for (uint32_t record_index = 0; record_index < records_count; record_index++) {
        const uint8_t *start = reader->at;
        struct token head;
        struct reader peek = *reader;
        if (!reader_next(&peek, &head) || head.type != TOKEN_MAP) {
            return problem_set(problem, ZKT_INVALID, ".records[%u]: must be a map", record_index);
        }
        if (!reader_skip(reader)) {
            return ZKT_OK; // cut short: shape_read says so
        }
        if (reader->at - start > LIMIT_LOG_RECORD_BYTES) {
            return problem_set(problem, ZKT_TOO_LARGE, ".records[%u]: %td bytes, limit %d",
                               record_index, reader->at - start, LIMIT_LOG_RECORD_BYTES);
        }
    }
    return ZKT_OK;
}

// LOG is measured record by record before anything of it is kept.
static enum zkt_err
check_log(const struct decoder *decoder)
{
    struct reader reader = decoder->reader;
    struct token map;
    bool is_fine = reader_next(&reader, &map) && map.type == TOKEN_MAP;
    for (uint32_t pair_index = 0; is_fine && pair_index < map.len; pair_index++) {
        struct token key;
        struct token list;
        is_fine = reader_next(&reader, &key);
        if (!is_fine || key.type != TOKEN_STRING || key.len != 7 ||
            memcmp(key.data, "records", 7) != 0) {
            is_fine = is_fine && reader_skip(&reader);
            continue;
        }
        if (!reader_next(&reader, &list) || list.type != TOKEN_LIST) {
            break;
        }
        if (list.len > LIMIT_LOG_RECORDS) {
            return problem_set(decoder->problem, ZKT_TOO_LARGE, ".records: %u records, limit %d",
                               list.len, LIMIT_LOG_RECORDS);
        }
        return check_log_records(&reader, list.len, decoder->problem);
    }
    return ZKT_OK; // shape_read says what is wrong
}

static enum zkt_err
read_body(struct decoder *decoder, struct command *out)
{
    if (out->verb == VERB_QUERY || out->verb == VERB_CONTROL) {
        return read_request(decoder, out);
    }
    enum zkt_err err = ZKT_OK;
    if (out->verb == VERB_HELLO) {
        err = check_version(decoder);
    } else if (out->verb == VERB_LOG) {
        err = check_log(decoder);
    }
    if (err != ZKT_OK) {
        return err;
    }
    const struct verb_row *row = &verb_table[out->verb];
    decoder->is_delivery = out->verb == VERB_DELIVER;
    memset((char *)out + row->offset, 0, row->shape->size);
    err = shape_read(decoder, row->shape, (char *)out + row->offset);
    if (err == ZKT_OK && out->verb == VERB_SUBMIT) {
        err = check_submit(&out->submit, decoder->problem);
    }
    return err;
}

enum zkt_err
command_decode(struct span frame, struct arena *arena, struct command *out, struct problem *problem)
{
    struct decoder decoder = {
        .reader = reader_of(frame), .arena = arena, .problem = problem, .frame_len = frame.len};
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
    err = read_body(&decoder, out);
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

// "retryable" is said beside the code, for a peer that does not know the code yet.
static void
write_error(msgpack_packer *packer, const struct shape *shape, const struct error_body *error)
{
    size_t head = map_begin(packer);
    map_end(packer, head, shape_write_fields(packer, shape, error) + 1);
    pack_string(packer, "retryable", 9);
    if (zkt_err_is_retryable(error->code)) {
        msgpack_pack_true(packer);
    } else {
        msgpack_pack_false(packer);
    }
}

void
command_encode(const struct command *command, struct bytes *out)
{
    msgpack_packer packer = packer_on(out);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint32(&packer, command->verb);
    msgpack_pack_uint64(&packer, command->id);
    zkt_assert(command->verb < VERBS_END);
    const struct verb_row *row = &verb_table[command->verb];
    if (command->verb == VERB_DELIVER) {
        write_deliver(&packer, &command->deliver);
    } else if (command->verb == VERB_QUERY || command->verb == VERB_CONTROL) {
        write_request(&packer, &command->request);
    } else if (command->verb == VERB_ERROR) {
        write_error(&packer, row->shape, &command->error);
    } else {
        zkt_assert(row->shape != NULL);
        shape_write(&packer, row->shape, (const char *)command + row->offset);
    }
}
