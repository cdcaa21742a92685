// limits.h: every maximum, in one place, and the relations between them.
#pragma once
#include <stdint.h>

enum {
    PROTOCOL_VERSION = 1,

    // Frames and tasks (bytes unless the name says otherwise).
    LIMIT_TASK_BYTES = 4 << 20,      // one task on the wire: headers, payload bags, resources
    LIMIT_SUBMIT_TASKS = 256,        // tasks in one SUBMIT
    LIMIT_SUBMIT_BYTES = 1 << 20,    // all tasks of a SUBMIT of more than one task
    LIMIT_FRAME_BYTES = 6 << 20,     // any message of a peer
    LIMIT_LIST_ITEMS = 4096,         // items of any other list of a command
    LIMIT_HEADERS_BYTES = 256 << 10, // the header map of a task
    LIMIT_HEADERS_COUNT = 1024,      // headers of a task
    LIMIT_HEADER_NAME_BYTES = 1024,
    LIMIT_RESOURCES_COUNT = 4096, // resources of a task
    LIMIT_RESOURCE_NAME_BYTES = 64 << 10,
    LIMIT_PARTS = 10000,    // of one upload, as S3 has it
    LIMIT_PART_URLS = 256,  // in one PART_URLS
    LIMIT_ETAG_BYTES = 127, // of a part
    LIMIT_UPLOAD_ID_BYTES = 1024,
    LIMIT_ERROR_BYTES = 64 << 10, // error text of a crashed task
    LIMIT_SUBMITS_OPEN = 1024,    // SUBMITs of a session that are not answered yet

    // Values.
    LIMIT_VALUE_DEPTH = 64,     // nesting of lists and maps
    LIMIT_VALUE_COUNT = 262144, // nodes of one document
    LIMIT_BIGINT_DIGITS = 16384,
    LIMIT_JSON_BYTES = 16 << 20,

    // Consumers.
    LIMIT_IDENTITY_BYTES = 255,
    LIMIT_FILTERS_BYTES = 64 << 10, // a bind's filters, encoded
    LIMIT_FILTER_RULES = 256,
    LIMIT_FILTER_CLAUSES = 4096,
    LIMIT_INFO_BYTES = 16 << 10,
    LIMIT_VERSION_BYTES = 128,
    LIMIT_CONSUMERS = 65536,
    LIMIT_REGEX_BYTES = 8192,
    LIMIT_REGEX_MATCH = 100000, // PCRE2 match limit
    LIMIT_REGEX_DEPTH = 10000,
    LIMIT_REGEX_HEAP_KIB = 4096,
    LIMIT_REGEX_STEPS = 200000,   // items of patterns tried by one evaluation of a filter
    LIMIT_FILTER_STEPS = 1 << 19, // values looked at by one evaluation of a filter
    LIMIT_REGEX_HITS_PER_TURN =
        16, // after so many limit hits a bind's regexes are off until the next turn

    // Sessions.
    LIMIT_SESSIONS = 65536,
    LIMIT_CREDIT = 4096, // largest window
    LIMIT_CONCURRENCY = 1024,
    LIMIT_HELD = 8192,             // deliveries named in HELLO
    LIMIT_OUTBOX_BYTES = 32 << 20, // waiting for one peer
    LIMIT_OUTBOX_MESSAGES = 65536,
    LIMIT_HELD_CHILDREN = 8192, // of one transactional delivery
    LIMIT_HELD_CHILDREN_BYTES = 64 << 20,
    LIMIT_WAITS = 4096,      // open WAITs of a session
    LIMIT_PAGE_ROWS = 1000,  // rows of one ANSWER
    LIMIT_LOG_RECORDS = 256, // in one LOG
    LIMIT_LOG_RECORD_BYTES = 256 << 10,
    LIMIT_LOG_RATE = 20000, // log records a second of one session

    // Store.
    LIMIT_BATCH_OPS = 16384,
    LIMIT_BATCH_BYTES = 16 << 20,
    LIMIT_INTENT_SLICE = 256,    // records that an intent touches in a turn
    LIMIT_INSTANCE_ERRORS = 64,  // remembered permanent refusals of an instance
    LIMIT_FINISHED_RING = 65536, // analyses remembered after they finished; a power of two
    LIMIT_SKELETON_BYTES = 4096,
    LIMIT_GONE_OBJECTS = 4096, // deleted ones that are remembered, to say why
};

_Static_assert(LIMIT_TASK_BYTES < LIMIT_FRAME_BYTES, "one task of the largest size fits a frame");
_Static_assert(LIMIT_SUBMIT_BYTES <= LIMIT_FRAME_BYTES, "a full SUBMIT fits a frame");
_Static_assert(LIMIT_HEADERS_BYTES < LIMIT_TASK_BYTES, "headers fit a task");
_Static_assert(LIMIT_FRAME_BYTES <= LIMIT_BATCH_BYTES, "one frame fits a batch");
