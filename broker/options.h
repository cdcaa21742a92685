// options.h: the broker's command line and configuration, checked before anything is opened.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/problem.h"
#include "config/config.h"

struct broker_options {
    struct config *config; // owned
    char *data_path;       // owned, as the following texts
    char *listen;          // "tcp://127.0.0.1:5570"
    char *events_listen;
    char *http_listen; // "127.0.0.1:5572"
    char *public_address;
    char *log_path; // NULL: stderr
    int64_t heartbeat_ms;
    int64_t expiry_ms;
    int64_t expiry_max_ms;
    int64_t resume_grace_ms;
    uint32_t deliveries_max;
    int64_t finished_ttl_ms;
    int64_t crashed_ttl_ms;
    uint64_t tasks_max;
    uint64_t bytes_max;
    uint64_t free_min_bytes;
    int64_t upload_grace_ms;
    int64_t url_ttl_ms;
    int64_t multipart_threshold; // bytes; larger objects may come in parts
    bool is_temporary;           // --dev: the data directory is removed at the end
    bool makes_bucket;           // --setup-bucket
    bool check_only;             // --check-config
};

enum parsed { PARSED_RUN, PARSED_DONE, PARSED_WRONG };

// options_parse reads flags and configuration. PARSED_DONE: help or version was printed, exit 0.
// PARSED_WRONG: what is wrong and the usage were printed to stderr, exit 2.
enum parsed
options_parse(int argc, char **argv, struct broker_options *options);
void
options_fini(struct broker_options *options);
