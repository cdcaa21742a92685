#include "wire/command_shapes.h"

#include "base/limits.h"

#define AT(type, member) .offset = offsetof(type, member), .has_offset = NO_OFFSET
#define PAIRED(type, member, other)                                                                \
    .offset = offsetof(type, member), .has_offset = offsetof(type, other)
#define SHAPE(fields_of, type)                                                                     \
    {                                                                                              \
        .fields = fields_of, .fields_count = sizeof fields_of / sizeof *fields_of,                 \
        .size = sizeof(type)                                                                       \
    }

enum { REQUIRED = FIELD_REQUIRED, OMIT = FIELD_OMIT_ZERO, ANY = -1 };

static const char *const roles[] = {"producer", "worker", "operator", NULL};
static const char *const report_states[] = {"Started", "Finished", "Crashed", "Returned", NULL};

static const struct field held_fields[] = {
    {NAMED("delivery"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct held, delivery)},
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct held, uid)},
    {NAMED("started"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct held, started)},
};
static const struct shape held_shape = SHAPE(held_fields, struct held);

static const struct field bind_fields[] = {
    {NAMED("filters"), .kind = FIELD_VALUE, .flags = REQUIRED, AT(struct bind, filters),
     .value_type = ANY, .max = LIMIT_FILTERS_BYTES},
    {NAMED("persistent"), .kind = FIELD_BOOL, .flags = REQUIRED, AT(struct bind, persistent)},
    {NAMED("info"), .kind = FIELD_VALUE, .flags = OMIT, AT(struct bind, info), .value_type = ANY,
     .max = LIMIT_INFO_BYTES},
    {NAMED("version"), .kind = FIELD_VALUE, .flags = OMIT, AT(struct bind, version),
     .value_type = ANY, .max = LIMIT_VERSION_BYTES},
    {NAMED("service_version"), .kind = FIELD_VALUE, .flags = OMIT, AT(struct bind, service_version),
     .value_type = ANY, .max = LIMIT_VERSION_BYTES},
    {NAMED("is_async"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct bind, is_async)},
};
static const struct shape bind_shape = SHAPE(bind_fields, struct bind);

// The version is read first of all: its absence or another number ends the reading (command.c).
static const struct field hello_fields[] = {
    {NAMED("v"), .kind = FIELD_U32, .flags = REQUIRED, AT(struct hello, version)},
    {NAMED("instance"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct hello, instance)},
    {NAMED("identity"), .kind = FIELD_STRING, .flags = REQUIRED, AT(struct hello, identity)},
    {NAMED("role"), .kind = FIELD_NAME, .flags = REQUIRED, AT(struct hello, role), .names = roles},
    {NAMED("host"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct hello, host),
     .max = LIMIT_IDENTITY_BYTES},
    {NAMED("pid"), .kind = FIELD_I64, .flags = OMIT, AT(struct hello, pid)},
    {NAMED("lang"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct hello, language),
     .max = LIMIT_VERSION_BYTES},
    {NAMED("bind"), .kind = FIELD_STRUCT, PAIRED(struct hello, bind, has_bind),
     .shape = &bind_shape},
    {NAMED("join"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct hello, join)},
    {NAMED("concurrency"), .kind = FIELD_U32, .flags = OMIT, AT(struct hello, concurrency),
     .max = LIMIT_CONCURRENCY},
    {NAMED("transactional"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct hello, transactional)},
    {NAMED("expiry_ms"), .kind = FIELD_U64, .flags = OMIT, AT(struct hello, expiry_ms)},
    {NAMED("generation"), .kind = FIELD_U64, .flags = OMIT, AT(struct hello, bind_generation)},
    {NAMED("held"), .kind = FIELD_LIST, .flags = OMIT, PAIRED(struct hello, held, held_count),
     .max = LIMIT_HELD, .shape = &held_shape},
};
static const struct shape hello_shape = SHAPE(hello_fields, struct hello);

static const struct field welcome_fields[] = {
    {NAMED("session"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct welcome, session)},
    {NAMED("generation"), .kind = FIELD_U64, .flags = OMIT, AT(struct welcome, bind_generation)},
    {NAMED("interval_ms"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct welcome, interval_ms)},
    {NAMED("expiry_ms"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct welcome, expiry_ms)},
    {NAMED("time_ms"), .kind = FIELD_I64, .flags = REQUIRED, AT(struct welcome, time_ms)},
    {NAMED("last_number"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct welcome, last_number)},
    {NAMED("submit_tasks"), .kind = FIELD_U32, .flags = REQUIRED,
     AT(struct welcome, submit_tasks_max)},
    {NAMED("submit_bytes"), .kind = FIELD_U32, .flags = REQUIRED,
     AT(struct welcome, submit_bytes_max)},
    {NAMED("task_bytes"), .kind = FIELD_U32, .flags = REQUIRED, AT(struct welcome, task_bytes_max)},
    {NAMED("events"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct welcome, events_address)},
    {NAMED("http"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct welcome, http_address)},
    {NAMED("object"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct welcome, object_kind)},
    {NAMED("retiring"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct welcome, retiring)},
};
static const struct shape welcome_shape = SHAPE(welcome_fields, struct welcome);

static const struct field submit_fields[] = {
    {NAMED("number"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct submit, number)},
    {NAMED("delivery"), .kind = FIELD_U64, .flags = OMIT, AT(struct submit, delivery)},
    {NAMED("tasks"), .kind = FIELD_LIST, .flags = REQUIRED | FIELD_SUBMIT,
     PAIRED(struct submit, tasks, tasks_count), .max = LIMIT_SUBMIT_TASKS, .shape = &task_shape},
};
static const struct shape submit_shape = SHAPE(submit_fields, struct submit);

static const struct field submit_result_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct submit_result, uid)},
    {NAMED("taken"), .kind = FIELD_U32, .flags = OMIT, AT(struct submit_result, taken_count)},
    {NAMED("code"), .kind = FIELD_CODE, .flags = OMIT, AT(struct submit_result, code)},
    {NAMED("message"), .kind = FIELD_STRING, .flags = OMIT, AT(struct submit_result, message)},
};
static const struct shape submit_result_shape = SHAPE(submit_result_fields, struct submit_result);
static const struct field submitted_fields[] = {
    {NAMED("number"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct submitted, number)},
    {NAMED("results"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct submitted, results, results_count), .max = LIMIT_SUBMIT_TASKS,
     .shape = &submit_result_shape},
};
static const struct shape submitted_shape = SHAPE(submitted_fields, struct submitted);

static const struct field credit_fields[] = {
    {NAMED("window"), .kind = FIELD_U32, .flags = REQUIRED, .offset = 0, .has_offset = NO_OFFSET,
     .max = LIMIT_CREDIT},
};
static const struct shape credit_shape = SHAPE(credit_fields, uint32_t);

static const struct field deliver_item_fields[] = {
    {NAMED("delivery"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct deliver_item, delivery)},
    {NAMED("attempt"), .kind = FIELD_U32, .flags = REQUIRED, AT(struct deliver_item, attempt)},
    {NAMED("task"), .kind = FIELD_STRUCT, .flags = REQUIRED, AT(struct deliver_item, task),
     .shape = &task_shape},
};
static const struct shape deliver_item_shape = SHAPE(deliver_item_fields, struct deliver_item);
static const struct field deliver_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct deliver, items, items_count), .max = LIMIT_LIST_ITEMS,
     .shape = &deliver_item_shape},
};
static const struct shape deliver_shape = SHAPE(deliver_fields, struct deliver);

static const struct field report_item_fields[] = {
    {NAMED("delivery"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct report_item, delivery)},
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct report_item, uid)},
    {NAMED("state"), .kind = FIELD_NAME, .flags = REQUIRED, AT(struct report_item, state),
     .names = report_states},
    {NAMED("error"), .kind = FIELD_STRING, .flags = OMIT, AT(struct report_item, error),
     .max = LIMIT_ERROR_BYTES},
    {NAMED("after"), .kind = FIELD_U64, .flags = OMIT, AT(struct report_item, after)},
    {NAMED("delay_ms"), .kind = FIELD_U64, .flags = OMIT, AT(struct report_item, delay_ms)},
};
static const struct shape report_item_shape = SHAPE(report_item_fields, struct report_item);
static const struct field report_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct report, items, items_count), .max = LIMIT_LIST_ITEMS,
     .shape = &report_item_shape},
};
static const struct shape report_shape = SHAPE(report_fields, struct report);

static const struct field reported_item_fields[] = {
    {NAMED("delivery"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct reported_item, delivery)},
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct reported_item, uid)},
    {NAMED("code"), .kind = FIELD_CODE, .flags = OMIT, AT(struct reported_item, code)},
    {NAMED("gone"), .kind = FIELD_BOOL, .flags = OMIT, AT(struct reported_item, gone)},
};
static const struct shape reported_item_shape = SHAPE(reported_item_fields, struct reported_item);
static const struct field reported_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct reported, items, items_count), .max = LIMIT_LIST_ITEMS,
     .shape = &reported_item_shape},
};
static const struct shape reported_shape = SHAPE(reported_fields, struct reported);

static const struct field revoke_fields[] = {
    {NAMED("deliveries"), .kind = FIELD_NUMBERS, .flags = REQUIRED,
     PAIRED(struct revoke, deliveries, deliveries_count), .max = LIMIT_HELD},
    {NAMED("reason"), .kind = FIELD_STRING, .flags = OMIT, AT(struct revoke, reason)},
};
static const struct shape revoke_shape = SHAPE(revoke_fields, struct revoke);

static const struct field log_fields[] = {
    {NAMED("records"), .kind = FIELD_VALUE, .flags = REQUIRED, .offset = 0, .has_offset = NO_OFFSET,
     .value_type = VALUE_LIST},
};
static const struct shape log_shape = SHAPE(log_fields, struct value);

static const struct field upload_item_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct object_item, uid)},
    {NAMED("size"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct object_item, size)},
    {NAMED("sha256"), .kind = FIELD_SHA256, .flags = REQUIRED, AT(struct object_item, sha256)},
};
static const struct shape upload_item_shape = SHAPE(upload_item_fields, struct object_item);
static const struct field upload_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct objects, items, items_count), .max = LIMIT_LIST_ITEMS,
     .shape = &upload_item_shape},
};
static const struct shape upload_shape = SHAPE(upload_fields, struct objects);
static const struct field download_item_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct object_item, uid)},
};
static const struct shape download_item_shape = SHAPE(download_item_fields, struct object_item);
static const struct field download_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct objects, items, items_count), .max = LIMIT_LIST_ITEMS,
     .shape = &download_item_shape},
};
static const struct shape download_shape = SHAPE(download_fields, struct objects);
static const struct field url_item_fields[] = {
    {NAMED("uid"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct object_item, uid)},
    {NAMED("url"), .kind = FIELD_TEXT, .flags = OMIT, AT(struct object_item, url)},
    {NAMED("code"), .kind = FIELD_CODE, .flags = OMIT, AT(struct object_item, code)},
    {NAMED("message"), .kind = FIELD_STRING, .flags = OMIT, AT(struct object_item, message)},
};
static const struct shape url_item_shape = SHAPE(url_item_fields, struct object_item);
static const struct field urls_fields[] = {
    {NAMED("items"), .kind = FIELD_LIST, .flags = REQUIRED,
     PAIRED(struct objects, items, items_count), .max = LIMIT_LIST_ITEMS, .shape = &url_item_shape},
};
static const struct shape urls_shape = SHAPE(urls_fields, struct objects);

static const struct field wait_fields[] = {
    {NAMED("root"), .kind = FIELD_UID, .flags = REQUIRED, .offset = 0, .has_offset = NO_OFFSET},
};
static const struct shape wait_shape = SHAPE(wait_fields, struct uid);

static const struct field done_fields[] = {
    {NAMED("root"), .kind = FIELD_UID, .flags = REQUIRED, AT(struct done, root)},
    {NAMED("finished"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct done, finished_count)},
    {NAMED("crashed"), .kind = FIELD_U64, .flags = REQUIRED, AT(struct done, crashed_count)},
    {NAMED("elapsed_ms"), .kind = FIELD_I64, .flags = REQUIRED, AT(struct done, elapsed_ms)},
};
static const struct shape done_shape = SHAPE(done_fields, struct done);

static const struct field answer_fields[] = {
    {NAMED("rows"), .kind = FIELD_VALUE, .flags = REQUIRED | FIELD_BYTES, AT(struct answer, rows),
     .value_type = VALUE_LIST},
    {NAMED("next"), .kind = FIELD_STRING, .flags = OMIT, AT(struct answer, next)},
};
static const struct shape answer_shape = SHAPE(answer_fields, struct answer);

static const struct field retire_fields[] = {
    {NAMED("reason"), .kind = FIELD_STRING, .flags = OMIT, .offset = 0, .has_offset = NO_OFFSET},
};
static const struct shape retire_shape = SHAPE(retire_fields, struct span);

static const struct field error_fields[] = {
    {NAMED("code"), .kind = FIELD_CODE, .flags = REQUIRED, AT(struct error_body, code)},
    {NAMED("message"), .kind = FIELD_STRING, .flags = OMIT, AT(struct error_body, message)},
    {NAMED("verb"), .kind = FIELD_U32, .flags = OMIT, AT(struct error_body, verb)},
};
static const struct shape error_shape = SHAPE(error_fields, struct error_body);
static const struct shape empty_shape = {.fields = error_fields, .fields_count = 0, .size = 0};

static const struct {
    const struct shape *shape;
    size_t offset;
} bodies[VERBS_END] = {
    [VERB_HELLO] = {&hello_shape, offsetof(struct command, hello)},
    [VERB_WELCOME] = {&welcome_shape, offsetof(struct command, welcome)},
    [VERB_HEARTBEAT] = {&empty_shape, 0},
    [VERB_SUBMIT] = {&submit_shape, offsetof(struct command, submit)},
    [VERB_SUBMITTED] = {&submitted_shape, offsetof(struct command, submitted)},
    [VERB_CREDIT] = {&credit_shape, offsetof(struct command, credit_window)},
    [VERB_DELIVER] = {&deliver_shape, offsetof(struct command, deliver)},
    [VERB_REPORT] = {&report_shape, offsetof(struct command, report)},
    [VERB_REPORTED] = {&reported_shape, offsetof(struct command, reported)},
    [VERB_REVOKE] = {&revoke_shape, offsetof(struct command, revoke)},
    [VERB_LOG] = {&log_shape, offsetof(struct command, log_records)},
    [VERB_UPLOAD] = {&upload_shape, offsetof(struct command, objects)},
    [VERB_DOWNLOAD] = {&download_shape, offsetof(struct command, objects)},
    [VERB_URLS] = {&urls_shape, offsetof(struct command, objects)},
    [VERB_WAIT] = {&wait_shape, offsetof(struct command, wait_root)},
    [VERB_DONE] = {&done_shape, offsetof(struct command, done)},
    [VERB_ANSWER] = {&answer_shape, offsetof(struct command, answer)},
    [VERB_RETIRE] = {&retire_shape, offsetof(struct command, retire_reason)},
    [VERB_BYE] = {&empty_shape, 0},
    [VERB_ERROR] = {&error_shape, offsetof(struct command, error)},
};

const struct shape *
command_shape(enum verb verb, size_t *offset)
{
    *offset = bodies[verb].offset;
    return bodies[verb].shape;
}
