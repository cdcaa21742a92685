#include "object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/assert.h"

enum { TAIL_BYTES = 32, MAGIC_BYTES = 8, CHECK_BYTES = 8, HASH_STEP = 256 << 10 };

static const char MAGIC[] = "ZKTOBJ1\n";
_Static_assert(sizeof(MAGIC) - 1 == MAGIC_BYTES, "the length of the magic");

enum zkt_err
object_io_problem(struct problem *problem, const char *path)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    return problem_set(problem, is_full ? ZKT_DISK_FULL : ZKT_IO, "%s: %s", path, strerror(errno));
}

void
object_meta_fini(struct object_meta *meta)
{
    bytes_fini(&meta->headers);
}

// The last 32 bytes of a file with these notes.
static void
make_tail(const uint8_t *notes, size_t notes_len, int64_t size, uint8_t tail[TAIL_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    zkt_assert(context != NULL);
    memcpy(tail, MAGIC, MAGIC_BYTES);
    put_u64(tail + MAGIC_BYTES, (uint64_t)size);
    put_u32(tail + 16, (uint32_t)notes_len);
    put_u32(tail + 20, 0);
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    EVP_DigestUpdate(context, notes, notes_len);
    EVP_DigestUpdate(context, tail, TAIL_BYTES - CHECK_BYTES);
    EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    memcpy(tail + TAIL_BYTES - CHECK_BYTES, digest, CHECK_BYTES);
}

static enum zkt_err
write_at(int fd, const char *path, struct span data, int64_t at, struct problem *problem)
{
    while (data.len > 0) {
        ssize_t written = pwrite(fd, data.data, data.len, at);
        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            return object_io_problem(problem, path);
        }
        data.data += written;
        data.len -= (size_t)written;
        at += written;
    }
    return ZKT_OK;
}

static void
append_notes(const struct object_meta *meta, struct bytes *notes)
{
    bytes_append_text(notes, "sha256 ");
    for (size_t i = 0; i < sizeof(meta->sha256); i++) {
        bytes_printf(notes, "%02x", meta->sha256[i]);
    }
    bytes_printf(notes, "\netag %s\n", meta->etag);
    const char *at = (const char *)meta->headers.data;
    const char *end = at != NULL ? at + meta->headers.len : NULL;
    while (at != end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        zkt_assert(line_end != NULL);
        bytes_append_text(notes, "h ");
        bytes_append(notes, at, (size_t)(line_end + 1 - at));
        at = line_end + 1;
    }
}

enum zkt_err
object_file_seal(int fd, const char *path, const struct object_meta *meta, struct problem *problem)
{
    struct bytes notes = {0};
    uint8_t tail[TAIL_BYTES];
    enum zkt_err err = ZKT_OK;
    append_notes(meta, &notes);
    if (notes.len > OBJECT_NOTES_MAX) {
        err = problem_set(problem, ZKT_INVALID, "the headers have more than %d bytes",
                          OBJECT_NOTES_MAX);
    } else {
        make_tail(notes.data, notes.len, meta->size, tail);
        bytes_append(&notes, tail, sizeof(tail));
        err = write_at(fd, path, bytes_span(&notes), meta->size, problem);
    }
    bytes_fini(&notes);
    return err;
}

static bool
parse_hex(const char *text, size_t len, uint8_t sha256[32])
{
    if (len != 64 || strspn(text, "0123456789abcdef") < 64) {
        return false;
    }
    for (size_t i = 0; i < 64; i++) {
        unsigned digit = (unsigned)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        sha256[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : sha256[i / 2] | digit);
    }
    return true;
}

// Lines that are not known are left out: a later version may write more.
static void
take_line(struct object_meta *meta, const char *line, size_t len)
{
    if (len > 7 && memcmp(line, "sha256 ", 7) == 0) {
        meta->has_sha256 = parse_hex(line + 7, len - 7, meta->sha256);
    } else if (len > 5 && memcmp(line, "etag ", 5) == 0 && len - 5 < sizeof(meta->etag)) {
        snprintf(meta->etag, sizeof(meta->etag), "%.*s", (int)(len - 5), line + 5);
    } else if (len > 2 && memcmp(line, "h ", 2) == 0) {
        bytes_append(&meta->headers, line + 2, len - 2);
        bytes_append_byte(&meta->headers, '\n');
    }
}

static void
take_notes(struct object_meta *meta, const char *notes, size_t notes_len)
{
    const char *end = notes + notes_len;
    while (notes != end) {
        const char *line_end = memchr(notes, '\n', (size_t)(end - notes));
        if (line_end == NULL) {
            return;
        }
        take_line(meta, notes, (size_t)(line_end - notes));
        notes = line_end + 1;
    }
}

static bool
read_whole(int fd, void *data, size_t len, int64_t at)
{
    ssize_t got;
    do {
        got = pread(fd, data, len, at);
    } while (got == -1 && errno == EINTR);
    return got == (ssize_t)len;
}

// False: the file does not end as it should.
static bool
read_notes(int fd, int64_t file_size, struct object_meta *meta)
{
    uint8_t tail[TAIL_BYTES];
    uint8_t want[TAIL_BYTES];
    uint8_t notes[OBJECT_NOTES_MAX];
    if (file_size < TAIL_BYTES || !read_whole(fd, tail, sizeof(tail), file_size - TAIL_BYTES) ||
        memcmp(tail, MAGIC, MAGIC_BYTES) != 0) {
        return false;
    }
    uint64_t size = get_u64(tail + MAGIC_BYTES);
    uint32_t notes_len = get_u32(tail + 16);
    if (notes_len > sizeof(notes) || size > INT64_MAX - sizeof(notes) - TAIL_BYTES ||
        (int64_t)size + notes_len + TAIL_BYTES != file_size ||
        !read_whole(fd, notes, notes_len, (int64_t)size)) {
        return false;
    }
    make_tail(notes, notes_len, (int64_t)size, want);
    if (memcmp(tail, want, sizeof(tail)) != 0) {
        return false;
    }
    meta->size = (int64_t)size;
    take_notes(meta, (const char *)notes, notes_len);
    return true;
}

enum zkt_err
object_file_read(int fd, const char *path, struct object_meta *meta, struct problem *problem)
{
    struct stat status;
    if (fstat(fd, &status) == -1) {
        return object_io_problem(problem, path);
    }
    if (!S_ISREG(status.st_mode)) {
        return problem_set(problem, ZKT_IO, "%s: no file", path);
    }
    meta->modified_ms = status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
    if (!read_notes(fd, status.st_size, meta)) {
        meta->size = status.st_size;
    }
    return ZKT_OK;
}

enum zkt_err
object_file_hash(int fd, const char *path, int64_t len, uint8_t sha256[32], struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    struct bytes part = {0};
    int64_t at = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    zkt_assert(context != NULL);
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    bytes_reserve(&part, HASH_STEP);
    while (err == ZKT_OK && at < len) {
        size_t step = len - at < HASH_STEP ? (size_t)(len - at) : HASH_STEP;
        ssize_t got = pread(fd, part.data, step, at);
        if (got > 0) {
            EVP_DigestUpdate(context, part.data, (size_t)got);
            at += got;
        } else if (got == 0) {
            err = problem_set(problem, ZKT_IO, "%s: cut at %" PRId64 " of %" PRId64 " bytes", path,
                              at, len);
        } else if (errno != EINTR) {
            err = object_io_problem(problem, path);
        }
    }
    EVP_DigestFinal_ex(context, sha256, NULL);
    EVP_MD_CTX_free(context);
    bytes_fini(&part);
    return err;
}
