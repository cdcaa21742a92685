// Uploads in parts of the store in memory.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "object/object_mem_internal.h"

static int
compare(const struct object_pending *pending, const struct uid *uid, struct span upload)
{
    int order = uid_compare(&pending->uid, uid);
    return order != 0 ? order : span_compare(span_of_text(pending->upload), upload);
}

// The place of the first upload that is not below.
static size_t
lower_bound(const struct object_mem *mem, const struct uid *uid, struct span upload)
{
    size_t at = 0;
    while (at < mem->uploads_count && compare(&mem->uploads[at].pending, uid, upload) < 0) {
        at++;
    }
    return at;
}

static struct mem_upload *
find(const struct object_mem *mem, const struct uid *uid, struct span upload)
{
    size_t at = lower_bound(mem, uid, upload);
    bool is_found = at < mem->uploads_count && compare(&mem->uploads[at].pending, uid, upload) == 0;
    return is_found ? &mem->uploads[at] : NULL;
}

static void
drop(struct object_mem *mem, struct mem_upload *upload)
{
    for (size_t i = 0; i < upload->parts_count; i++) {
        bytes_fini(&upload->parts[i].data);
    }
    free(upload->parts);
    mem->uploads_count--;
    size_t behind = mem->uploads_count - (size_t)(upload - mem->uploads);
    memmove(upload, upload + 1, behind * sizeof(*upload));
}

void
object_mem_parts_fini(struct object_mem *mem)
{
    while (mem->uploads_count > 0) {
        drop(mem, &mem->uploads[mem->uploads_count - 1]);
    }
    free(mem->uploads);
}

enum zkt_err
object_mem_begin(struct object_store *store, const struct object_info *object,
                 const uint8_t sha256[32], struct bytes *upload, struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    struct object_pending pending = {.uid = object->uid, .started_ms = clock_wall_ms()};
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    (void)sha256;
    if (err != ZKT_OK) {
        return err;
    }
    snprintf(pending.upload, sizeof(pending.upload), "%08" PRIx32, ++mem->versions_count);
    bytes_append_text(upload, pending.upload);
    size_t at = lower_bound(mem, &object->uid, span_of_text(pending.upload));
    mem->uploads = xrealloc(mem->uploads, (mem->uploads_count + 1) * sizeof(*mem->uploads));
    struct mem_upload *place = &mem->uploads[at];
    memmove(place + 1, place, (mem->uploads_count - at) * sizeof(*place));
    mem->uploads_count++;
    *place = (struct mem_upload){.pending = pending};
    return ZKT_OK;
}

enum zkt_err
object_mem_presign_part(struct object_store *store, const struct uid *uid, struct span upload,
                        uint32_t part, int64_t size, int64_t now_s, struct bytes *url)
{
    char text[UID_TEXT_SIZE];
    uid_format(uid, text);
    (void)store;
    bytes_printf(url, "mem://%s?part=%" PRIu32 "&size=%" PRId64 "&now=%" PRId64 "&upload=", text,
                 part, size, now_s);
    bytes_append(url, upload.data, upload.len);
    return ZKT_OK;
}

static void
append_etag(const struct mem_part *part, struct bytes *etag)
{
    bytes_printf(etag, "\"%08" PRIx32 "\"", part->version);
}

enum zkt_err
object_mem_put_part(struct object_store *store, const struct uid *uid, struct span upload,
                    uint32_t part, struct span data, struct bytes *etag)
{
    struct object_mem *mem = object_mem_of(store);
    struct mem_upload *found = find(mem, uid, upload);
    zkt_assert(part >= 1);
    if (found == NULL) {
        return ZKT_NOT_FOUND;
    }
    if (part > found->parts_count) {
        found->parts = xrealloc(found->parts, part * sizeof(*found->parts));
        memset(&found->parts[found->parts_count], 0,
               (part - found->parts_count) * sizeof(*found->parts));
        found->parts_count = part;
    }
    struct mem_part *place = &found->parts[part - 1];
    place->version = ++mem->versions_count;
    bytes_clear(&place->data);
    bytes_append(&place->data, data.data, data.len);
    append_etag(place, etag);
    return ZKT_OK;
}

// Appends the parts; INVALID says what is not as the client says.
static enum zkt_err
join(const struct mem_upload *upload, const struct span *etags, size_t etags_count,
     struct bytes *content, struct problem *problem)
{
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; err == ZKT_OK && i < etags_count; i++) {
        struct bytes etag = {0};
        bool is_there = i < upload->parts_count && upload->parts[i].version != 0;
        if (is_there) {
            append_etag(&upload->parts[i], &etag);
        }
        if (!is_there || !span_equal(bytes_span(&etag), etags[i])) {
            err = problem_set(problem, ZKT_INVALID, "etags[%zu]: part %zu has not this one", i,
                              i + 1);
        } else {
            bytes_append(content, upload->parts[i].data.data, upload->parts[i].data.len);
        }
        bytes_fini(&etag);
    }
    return err;
}

enum zkt_err
object_mem_complete(struct object_store *store, const struct object_info *object,
                    const uint8_t sha256[32], struct span upload, const struct span *etags,
                    size_t etags_count, struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    struct mem_upload *found = find(mem, &object->uid, upload);
    struct bytes content = {0};
    uint8_t digest[32];
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    if (err == ZKT_OK && found == NULL) {
        struct object_info info;
        err = store->ops->head(store, &object->uid, &info, problem);
        return err == ZKT_OK && info.size != object->size
                   ? problem_set(problem, ZKT_NOT_FOUND, "no such upload")
                   : err;
    }
    if (err == ZKT_OK) {
        err = join(found, etags, etags_count, &content, problem);
    }
    if (err == ZKT_OK) {
        int done = EVP_Digest(content.data, content.len, digest, NULL, EVP_sha256(), NULL);
        zkt_assert(done == 1);
        if ((int64_t)content.len != object->size || memcmp(digest, sha256, sizeof(digest)) != 0) {
            err = problem_set(problem, ZKT_INVALID, "the parts are another object");
        } else {
            object_mem_put(store, &object->uid, content.data, content.len, clock_wall_ms());
            drop(mem, found);
        }
    }
    bytes_fini(&content);
    return err;
}

enum zkt_err
object_mem_abort(struct object_store *store, const struct uid *uid, struct span upload,
                 struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    struct mem_upload *found = find(mem, uid, upload);
    if (err == ZKT_OK && found != NULL) {
        drop(mem, found);
    }
    return err;
}

enum zkt_err
object_mem_pending(struct object_store *store, const struct object_pending *after,
                   struct object_pending *pendings, size_t pendings_max, size_t *pendings_count,
                   struct problem *problem)
{
    struct object_mem *mem = object_mem_of(store);
    enum zkt_err err = object_mem_maybe_fail(mem, problem);
    for (size_t at = 0; err == ZKT_OK && at < mem->uploads_count && *pendings_count < pendings_max;
         at++) {
        const struct object_pending *pending = &mem->uploads[at].pending;
        if (after == NULL || compare(pending, &after->uid, span_of_text(after->upload)) > 0) {
            pendings[(*pendings_count)++] = *pending;
        }
    }
    return err;
}
