// s3_credentials.h: the keys that requests to S3 are signed with (parity E5): fixed ones, or those
// that a container or an instance is given by the service of its cloud, which end and are renewed.
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "base/problem.h"
#include "object/s3_sign.h"

// Where to look. Texts are borrowed; NULL: not given. The names are AWS's variables.
struct s3_credential_options {
    const char *access;
    const char *secret;
    const char *token;
    const char *region;
    bool uses_roles; // ask the services first; the fixed keys are for when none answers
    const char *container_relative_uri; // AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    const char *container_full_uri;     // AWS_CONTAINER_CREDENTIALS_FULL_URI
    const char *container_token;        // AWS_CONTAINER_AUTHORIZATION_TOKEN
    const char *container_token_file;   // AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, read each time
    const char *metadata_endpoint;      // AWS_EC2_METADATA_SERVICE_ENDPOINT
};

// One set of keys; constant.
struct s3_credentials {
    struct s3_key key;            // owns its texts
    int64_t expires_ms;           // wall clock; INT64_MAX: never
    const char *source;           // "keys", "container", "instance"
    struct s3_credentials *older; // the one before it
};

// s3_credentials_fetch asks over the network if uses_roles; blocks, a few seconds at most.
// DENIED or UNREACHABLE with the reason of each place that was asked; CONFIG_INVALID: none is
// configured.
ZKT_MUST enum zkt_err
s3_credentials_fetch(const struct s3_credential_options *options, const atomic_bool *is_interrupted,
                     struct s3_credentials **credentials, struct problem *problem);
// s3_credentials_destroy also ends the older ones.
void
s3_credentials_destroy(struct s3_credentials **credentials_p);
