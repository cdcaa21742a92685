// format.h: keys and values of the records, format version 1 (docs/storage.md). Every value begins
// with version and kind and carries a checksum over its key and header; a body has a checksum of
// its own. Nothing is trusted before it verified.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "model/task.h"
#include "store/local/records.h"

enum { STORE_FORMAT_VERSION = 1 };
// Sequences are counted, not drawn: so many last for years at any rate.
#define SEQUENCE_MAX (((uint64_t)1 << 48) - 1)

enum record_kind {
    RECORD_META = 'M',
    RECORD_TASK = 'T',
    RECORD_BODY = 'B',
    RECORD_HELD = 'H',
    RECORD_CRASHED = 'X',
    RECORD_CONSUMER = 'C',
    RECORD_INSTANCE = 'I',
    RECORD_UPLOAD = 'U',
    RECORD_DELETION = 'D',
    RECORD_INTENT = 'J',
    RECORD_FINISHED = 'F',
    RECORD_DAMAGED = 'Q',
};

// T, H, X and F.
struct task_record {
    uint64_t sequence;
    uint32_t consumer;
    enum priority priority;
    uint32_t attempt;
    struct uid root, parent, orig, retry_of;
    int64_t changed_ms;
    int64_t created_ms;
    int64_t started_ms; // F only; 0: not started
    uint64_t generation;
    uint64_t body_number; // 0: the body is inline
    struct span objects;  // uids of the resources, 16 bytes each
    struct span error;    // X and F
    struct span body;     // inline; empty when body_number is set
};

struct consumer_value {
    uint64_t generation;
    bool is_persistent, is_async, is_dropping;
    int64_t last_seen_ms;
    uint64_t marks[PRIORITIES_COUNT];
    struct span bind; // json of identity, filters, info, version, service_version
};
struct instance_value {
    uint64_t last_number;
    uint32_t consumer;
    int64_t seen_ms;
    struct span errors; // of permanent refusals: number 8, index 4, code 4 bytes each
};
struct upload_value {
    struct uid instance;
    int64_t size;
    int64_t at_ms;
    uint8_t sha256[32];
};
struct intent_value {
    uint8_t what;
    uint32_t consumer;
    uint64_t delivery;
};

struct key {
    uint8_t bytes[RECORD_KEY_MAX];
    size_t len;
};
struct span
key_span(const struct key *key);
struct key
key_task(uint32_t consumer, enum priority priority, uint64_t sequence);
struct key
key_crashed(uint32_t consumer, uint64_t sequence);
struct key
key_held(uint64_t delivery, uint64_t sequence);
struct key
key_body(uint64_t number);
struct key
key_consumer(uint32_t consumer);
struct key
key_finished(const struct uid *root, uint64_t sequence);
// I, U, D by uid; J by number; M by name.
struct key
key_uid(enum record_kind kind, const struct uid *uid);
struct key
key_number(enum record_kind kind, uint64_t number);
struct key
key_meta(const char *name);

void
format_task(const struct key *key, const struct task_record *task, struct bytes *out);
void
format_consumer(const struct key *key, const struct consumer_value *consumer, struct bytes *out);
void
format_instance(const struct key *key, const struct instance_value *instance, struct bytes *out);
void
format_upload(const struct key *key, const struct upload_value *upload, struct bytes *out);
void
format_intent(const struct key *key, const struct intent_value *intent, struct bytes *out);
void
format_number(const struct key *key, uint64_t number, struct bytes *out);
void
format_blob(const struct key *key, struct span body, struct bytes *out);

// Parsing answers false for anything that does not verify; *reason says what. parse_task with
// is_whole also verifies error and body; without, only key and header (what recovery reads).
bool
parse_task(struct span key, struct span value, bool is_whole, struct task_record *out,
           const char **reason);
bool
parse_consumer(struct span key, struct span value, uint32_t *number, struct consumer_value *out,
               const char **reason);
bool
parse_instance(struct span key, struct span value, struct uid *instance, struct instance_value *out,
               const char **reason);
bool
parse_upload(struct span key, struct span value, struct uid *object, struct upload_value *out,
             const char **reason);
bool
parse_intent(struct span key, struct span value, uint64_t *number, struct intent_value *out,
             const char **reason);
bool
parse_number(struct span key, struct span value, uint64_t *number, const char **reason);
bool
parse_blob(struct span key, struct span value, uint64_t *number, struct span *body,
           const char **reason);
// parse_any verifies a record of any kind as a whole, for check and dump.
bool
parse_any(struct span key, struct span value, const char **reason);
