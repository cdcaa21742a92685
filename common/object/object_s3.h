// object_s3.h: the object store on any S3-compatible server, path style. An object is the key
// PREFIX + uid of one bucket. Clients get presigned URLs and never see a key of the server; the
// server checks neither size nor hash of what they send (whoever reads an object does).
//
// A prefix of its own is what makes a broker's keys known as its own (object_store_list sees only
// those), also beside other users of the bucket.
#pragma once
#include "object/object_store.h"
#include "object/s3_credentials.h"

struct object_s3_options {
    const char *address;        // of the server, "http://host:port"
    const char *public_address; // beginning of URLs for clients; "" or NULL: address
    const char *bucket;
    const char *prefix;  // of keys; may be ""
    const char *ca_file; // NULL or "": the system's
    int64_t url_ttl_s;   // how long a URL is good, at most a week
    bool makes_bucket;   // when it is missing
    // In a bucket with versions all versions and markers of an object are deleted; the one called
    // "null", which is of a time without versions, only if told so (parity G5).
    bool deletes_null_versions;
    struct s3_credential_options credentials; // its region is the bucket's
};

// object_s3_open looks at the bucket. CONFIG_INVALID: an option is missing or malformed. NOT_FOUND:
// there is no such bucket; DENIED: a key is unknown, its secret wrong, or it has no right to the
// bucket: the text says which. A server that does not answer is no failure: it is said in the log,
// and looked at again by object_store_tend.
ZKT_MUST enum zkt_err
object_s3_open(const struct object_s3_options *options, struct object_store **store,
               struct problem *problem);
// object_s3_put stores size bytes of fd from its beginning under uid, in parts when it is large;
// sha256 is the hash of all of them.
ZKT_MUST enum zkt_err
object_s3_put(struct object_store *store, const struct uid *uid, int fd, int64_t size,
              const uint8_t sha256[32], struct problem *problem);
