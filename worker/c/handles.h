// handles.h: what stands behind the public handles of values, resources and tasks.
//
// A public `const zkt_value_t *` is a `struct value` somewhere in the arena of its owner. Inside
// the library a VALUE_RESOURCE holds a pointer to its resource in `text` instead of an index, so
// that values move between tasks; task_pack turns pointers into indexes, task_load back.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/problem.h"
#include "mailbox.h"
#include "model/task.h"
#include "model/value.h"
#include "zkarton.h"

// SOURCE_HELD: in the object store, in the name of a holder: to be taken over before it is sent.
enum resource_source { SOURCE_REMOTE, SOURCE_FILE, SOURCE_DATA, SOURCE_FD, SOURCE_HELD };

// Shared between the tasks and values that refer to it; immutable once made.
struct zkt_resource {
    atomic_uint references;
    struct arena arena;    // texts of model
    struct resource model; // values of metadata are borrowed from arena
    enum resource_source source;
    char *path;                // SOURCE_FILE
    void *data;                // SOURCE_DATA
    int fd;                    // SOURCE_FD, ours
    struct uid holder;         // SOURCE_HELD
    int64_t hashed_size;       // of the file, when it was hashed
    struct timespec hashed_at; // its time of change then
    char uid_text[UID_TEXT_SIZE];
    char sha256_text[65];
    char *name_text; // NUL-terminated copies, in arena
    char *bucket_text;
};

struct zkt_resource *
resource_new(const struct resource *model);
struct zkt_resource *
resource_ref(const struct zkt_resource *resource);
void
resource_unref(struct zkt_resource **resource_p);
// The makers hash what they are given (B1). They return NULL and set problem on failure.
struct zkt_resource *
resource_from_file(const char *name, const char *path, struct problem *problem);
struct zkt_resource *
resource_from_data(const char *name, const void *data, size_t size, struct problem *problem);
struct zkt_resource *
resource_from_fd(const char *name, int fd, struct problem *problem);
// The zip is made in an unlinked temporary file under temp_dir.
struct zkt_resource *
resource_from_directory(const char *path, const char *temp_dir, struct problem *problem);
// resource_open returns a descriptor with the bytes of a local resource at position 0 (a fresh one,
// the caller closes it), or -1.
int
resource_open(const struct zkt_resource *resource, struct problem *problem);
// resource_from_token makes one of a token of zkt_client_put (put.c).
struct zkt_resource *
resource_from_token(const char *token, struct problem *problem);
// resource_verify looks whether fd still holds what was hashed: by the time of its change, else by
// hashing it again. IO: it does not.
ZKT_MUST enum zkt_err
resource_verify(const struct zkt_resource *resource, int fd, struct problem *problem);
// temp_path: where temporary files go: $TMPDIR, else /tmp.
const char *
temp_path(void);
// copy_fd copies everything from the positions on.
ZKT_MUST enum zkt_err
copy_fd(int from_fd, int to_fd, struct problem *problem);
const struct zkt_resource *
resource_of_value(const struct value *value); // NULL: no resource

// A list of counted references.
struct resource_list {
    struct zkt_resource **items;
    size_t count;
    size_t capacity;
};
// resource_list_add takes a reference of its own unless it is there already; returns its index.
size_t
resource_list_add(struct resource_list *list, const struct zkt_resource *resource);
void
resource_list_fini(struct resource_list *list);
// resource_list_adopt moves all references of `from` into list.
void
resource_list_adopt(struct resource_list *list, struct resource_list *from);

// A value made by the application: `value` comes first, so that its address is the public handle.
struct owned_value {
    struct value value;
    struct arena arena;
    struct resource_list resources;
};
struct owned_value *
owned_value_new(void);
struct value
value_of_resource(const struct zkt_resource *resource); // pointer form
const struct zkt_value *
value_public(const struct value *value);
const struct value *
value_private(const struct zkt_value *value);

struct frame;

struct zkt_task {
    struct note note;  // while it travels
    struct task model; // identifiers and priority always; headers, header_keys: values below
    struct arena arena;
    struct value payload; // VALUE_MAP in pointer form, once loaded
    struct value payload_persistent;
    bool is_loaded;                 // payload and payload_persistent hold
    bool is_delivered;              // status Started in documents
    struct frame *frame;            // of a delivered task: model borrows from it
    struct resource_list resources; // of payload and payload_persistent
    char *error;                    // the first mistake
    struct bytes packed;            // model.payload and model.payload_persistent after task_pack
    size_t wire_bytes;              // upper bound of the encoded task, after task_pack
    char texts[4][UID_TEXT_SIZE];   // uid, root, parent, orig
    uint64_t delivery;              // of the parent, when it is a child
    struct mailbox *reply;          // where the answer goes
    struct zkt_delivery *parent;    // for the I/O thread alone
    struct problem *refusal;        // NULL: it is durable
    uint32_t taken_count;
    bool is_waited_for; // its sender hears what became of it: nobody else is told
};

void
task_init(struct zkt_task *task);
void
task_fini(struct zkt_task *task);
// Random uids drawn in bulk: a system call for each would cost more than all else about a task.
enum { UID_POOL_COUNT = 128 };
struct uid_pool {
    struct uid uids[UID_POOL_COUNT];
    size_t left_count;
};
void
uid_pool_draw(struct uid_pool *pool, struct uid *uid);
// task_name gives the task its uid, and its own root unless it has one; pool NULL: from the kernel.
void
task_name(const struct zkt_task *task, struct uid_pool *pool);
// task_load decodes the payload of a delivered task; false: damaged (never from our broker).
bool
task_load(const struct zkt_task *task);
// task_pack makes model ready for the wire and checks the limits; INVALID, TOO_LARGE.
ZKT_MUST enum zkt_err
task_pack(struct zkt_task *task, struct problem *problem);
// task_set_mistake keeps the first one.
void
task_set_mistake(struct zkt_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// task_inherit makes child a child of parent as the bus sees it (A3): parent, root, priority, and
// the persistent bags of parent over the child's.
void
task_inherit(struct zkt_task *child, const struct zkt_task *parent);
void
task_refuse(struct zkt_task *task, enum zkt_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// resource_from_document makes a resource of the map that Karton writes for one; NULL: no uid in
// it.
struct zkt_resource *
resource_from_document(const struct value *inner);
// point_resources turns the indexes of value into pointers to the items of list, in place; false:
// an index beyond it.
bool
point_resources(struct value *value, const struct resource_list *list);
// task_document is Karton's document of task, in arena; it borrows from task.
struct value
task_document(struct arena *arena, const struct zkt_task *task);

// headers_parse reads words ("a=b n:=3") or a JSON object into a map; INVALID names the word.
ZKT_MUST enum zkt_err
headers_parse(const char *text, struct arena *arena, struct value *map, struct problem *problem);
// filters_parse reads the filters of worker options into the form of a bind.
ZKT_MUST enum zkt_err
filters_parse(const char *const *filters, size_t filters_count, struct arena *arena,
              struct value *out, struct problem *problem);
