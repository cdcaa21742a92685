// object_file.h: one file of the directory store: the content, and behind it what is known of it,
// so that both come and go with one rename.
//
//     content | "sha256 HEX\n" "etag TEXT\n" "h NAME: VALUE\n"… | 32 bytes
//
// The last 32 bytes: "ZKTOBJ1\n", the size of the content (64 bits), the size of the notes (32
// bits), zero (32 bits), and the first 8 bytes of the SHA-256 of notes and sizes. A file that does
// not end so is all content, with nothing known of it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/problem.h"

enum {
    OBJECT_ETAG_SIZE = 72,
    OBJECT_NOTES_MAX = 16 << 10,
};

struct object_meta {
    int64_t size;
    int64_t modified_ms; // wall clock
    bool has_sha256;     // false: the file has no notes
    uint8_t sha256[32];
    char etag[OBJECT_ETAG_SIZE]; // without quotes
    struct bytes headers;        // "name: value\n" each, as the client sent them
};

void
object_meta_fini(struct object_meta *meta);
// object_file_seal appends what is known to a file whose content (meta->size bytes) is written.
// IO, DISK_FULL; INVALID: the headers have more than OBJECT_NOTES_MAX bytes.
ZKT_MUST enum zkt_err
object_file_seal(int fd, const char *path, const struct object_meta *meta, struct problem *problem);
// object_file_read reads what is known. Zero-initialise meta; object_meta_fini afterwards.
ZKT_MUST enum zkt_err
object_file_read(int fd, const char *path, struct object_meta *meta, struct problem *problem);
// object_file_hash hashes the content: len bytes from the beginning.
ZKT_MUST enum zkt_err
object_file_hash(int fd, const char *path, int64_t len, uint8_t sha256[32],
                 struct problem *problem);
// Problems of the file system: DISK_FULL or IO with the path and errno.
enum zkt_err
object_io_problem(struct problem *problem, const char *path);
