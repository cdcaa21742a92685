// send_spec.h: what a command line of `zkarton send` says about the task to send.
#pragma once
#include "command_line.h"
#include "words.h"

struct send_file {
    char *key;        // owned
    const char *path; // "-": stdin
    const char *name; // --as; NULL: the last part of path
};

struct send_spec {
    struct word *headers; // owned array
    size_t headers_count;
    struct word *payload; // owned array
    size_t payload_count;
    struct send_file *files; // owned array
    size_t files_count;
    struct send_file *objects; // owned array; path: the token, owned
    size_t objects_count;
    const char **persistent; // owned array of borrowed names
    size_t persistent_count;
    const char *each_key; // --each0
    enum zkt_priority priority;
    bool has_priority;
    bool is_derived;
    bool is_jsonl;
    bool is_new_analysis;
    bool is_waiting;
};

// send_spec_parse reads the command line. EXIT_YES with *is_done false: spec is ready; otherwise
// leave with the code. send_spec_fini in any case.
int
send_spec_parse(struct cli *cli, int argc, char **argv, struct send_spec *spec, bool *is_done);
void
send_spec_fini(struct send_spec *spec);
// persist_named marks the header or payload entry of this name as persistent; false: there is none.
bool
persist_named(zkt_task_t *task, const char *name);

// send_into_folder writes the tasks of spec as documents into folder/out, where `zkarton exec`
// finds them when its command ends with 0.
int
send_into_folder(const struct send_spec *spec, const char *folder);
