// An upload in parts: a few requests side by side on one multi handle, on the caller's thread. Each
// place holds one part over all its tries: a part that fails is sent again alone, after a pause of
// its own, while the others go on. It ends in vain when no part has got through for the patience.
#include "object/transfer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "object/transfer_internal.h"

// Where one part after the other is sent from.
struct place {
    struct job job;
    struct sending *sending;
    uint32_t part;     // from 1; 0: none
    bool is_active;    // in the multi handle
    bool is_fresh;     // its URL was refused: it needs another
    bool is_renewed;   // it got one, and nothing has moved since
    int lost_count;    // tries that moved something, and failed
    int64_t pause_ms;  // after the next failure
    int64_t resume_ms; // not before
};

struct sending {
    const struct transfer *transfer;
    const struct transfer_parts *parts;
    const struct transfer_watch *watch;
    int fd;
    char (*etags)[TRANSFER_ETAG_SIZE];
    CURLM *multi;
    struct place places[TRANSFER_PARTS_AT_ONCE];
    uint32_t parts_count;
    uint32_t begun_count; // handed to a place
    uint32_t done_count;
    int64_t done_bytes; // of the parts that are done
    int64_t give_up_ms;
    bool is_cancelled;
    bool is_told; // on_wait, since a part got through
    struct problem *problem;
};

static bool
tell_progress(struct sending *sending)
{
    const struct transfer_watch *watch = sending->watch;
    int64_t done_bytes = sending->done_bytes;
    for (size_t i = 0; i < TRANSFER_PARTS_AT_ONCE; i++) {
        const struct place *place = &sending->places[i];
        done_bytes += place->is_active ? place->job.done_bytes : 0;
    }
    if (watch != NULL && !watch->on_progress(watch->arg, done_bytes, sending->parts->size)) {
        sending->is_cancelled = true;
    }
    return !sending->is_cancelled;
}

static bool
on_moved(struct job *job)
{
    struct place *place = job->arg;
    return tell_progress(place->sending);
}

static void
extend(struct sending *sending)
{
    sending->give_up_ms = clock_monotonic_ms() + sending->transfer->patience_ms;
}

// Later again, unless it has been for too long.
static enum zkt_err
postpone(struct place *place, const struct problem *why)
{
    struct sending *sending = place->sending;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms + place->pause_ms > sending->give_up_ms) {
        *sending->problem = *why;
        return why->code;
    }
    if (!sending->is_told && sending->watch != NULL && sending->watch->on_wait != NULL) {
        sending->is_told = true;
        sending->watch->on_wait(sending->watch->arg, why);
    }
    place->resume_ms = now_ms + job_pause_ms(place->pause_ms, place);
    place->pause_ms = place->pause_ms * 2 < PAUSE_MAX_MS ? place->pause_ms * 2 : PAUSE_MAX_MS;
    return ZKT_OK;
}

static enum zkt_err
start(struct place *place)
{
    struct sending *sending = place->sending;
    struct problem why = {0};
    const char *url = sending->parts->url(sending->parts->arg, place->part, place->is_fresh, &why);
    if (url == NULL && zkt_err_is_retryable(why.code)) {
        return postpone(place, &why);
    }
    if (url == NULL) {
        *sending->problem = why;
        return why.code;
    }
    place->is_renewed = place->is_renewed || place->is_fresh;
    place->is_fresh = false;
    job_prepare(&place->job, url);
    place->is_active = curl_multi_add_handle(sending->multi, place->job.curl) == CURLM_OK;
    zkt_assert(place->is_active);
    return ZKT_OK;
}

static void
take_next_part(struct place *place)
{
    struct sending *sending = place->sending;
    const struct transfer_parts *parts = sending->parts;
    CURL *curl = place->job.curl;
    uint32_t part = ++sending->begun_count;
    int64_t from_bytes = (int64_t)(part - 1) * parts->part_size;
    int64_t left_bytes = parts->size - from_bytes;
    *place = (struct place){.sending = sending, .part = part, .pause_ms = PAUSE_MIN_MS};
    place->job.transfer = sending->transfer;
    place->job.curl = curl;
    place->job.fd = sending->fd;
    place->job.is_upload = true;
    place->job.from_bytes = from_bytes;
    place->job.total_bytes = left_bytes < parts->part_size ? left_bytes : parts->part_size;
    place->job.etag = sending->etags[part - 1];
    place->job.on_moved = on_moved;
    place->job.arg = place;
}

// What has come of a part's try.
static enum zkt_err
finish(struct place *place, CURLcode result)
{
    struct sending *sending = place->sending;
    struct problem why = {0};
    bool may_pass = false;
    enum zkt_err err = job_judge(&place->job, result, &may_pass, &why);
    curl_multi_remove_handle(sending->multi, place->job.curl);
    place->is_active = false;
    if (err == ZKT_OK && place->job.etag[0] == '\0') {
        err = problem_set(&why, ZKT_IO, "the object store gave no ETag for a part");
    }
    if (err == ZKT_OK) {
        sending->done_count++;
        sending->done_bytes += place->job.total_bytes;
        place->part = 0;
        sending->is_told = false;
        extend(sending);
        return ZKT_OK;
    }
    if (place->job.has_moved && ++place->lost_count < LOST_UPLOADS_MAX) {
        place->is_renewed = false;
        place->pause_ms = PAUSE_MIN_MS;
        extend(sending);
    }
    if (err == ZKT_DENIED && !place->is_renewed) {
        place->is_fresh = true;
        return ZKT_OK;
    }
    if (may_pass) {
        return postpone(place, &why);
    }
    *sending->problem = why;
    return err;
}

static struct place *
place_of(struct sending *sending, const CURL *curl)
{
    for (size_t i = 0; i < TRANSFER_PARTS_AT_ONCE; i++) {
        if (sending->places[i].job.curl == curl) {
            return &sending->places[i];
        }
    }
    return NULL;
}

static enum zkt_err
take_results(struct sending *sending)
{
    enum zkt_err err = ZKT_OK;
    int left_count = 0;
    CURLMsg *message = NULL;
    while (err == ZKT_OK && (message = curl_multi_info_read(sending->multi, &left_count)) != NULL) {
        struct place *place = place_of(sending, message->easy_handle);
        zkt_assert(place != NULL);
        if (message->msg == CURLMSG_DONE) {
            err = finish(place, message->data.result);
        }
    }
    return err;
}

static enum zkt_err
fill_places(struct sending *sending, int64_t now_ms)
{
    enum zkt_err err = ZKT_OK;
    for (size_t i = 0; err == ZKT_OK && i < TRANSFER_PARTS_AT_ONCE; i++) {
        struct place *place = &sending->places[i];
        if (place->part == 0 && sending->begun_count < sending->parts_count) {
            take_next_part(place);
        }
        if (place->part != 0 && !place->is_active && now_ms >= place->resume_ms) {
            err = start(place);
        }
    }
    return err;
}

static enum zkt_err
send_all(struct sending *sending)
{
    enum zkt_err err = ZKT_OK;
    while (err == ZKT_OK && sending->done_count < sending->parts_count) {
        int running_count = 0;
        err = fill_places(sending, clock_monotonic_ms());
        if (err == ZKT_OK) {
            curl_multi_perform(sending->multi, &running_count);
            err = take_results(sending);
        }
        if (err == ZKT_OK && !tell_progress(sending)) {
            err = problem_set(sending->problem, ZKT_CANCELLED, "cancelled");
        }
        if (err == ZKT_OK && sending->done_count < sending->parts_count) {
            curl_multi_poll(sending->multi, NULL, 0, PAUSE_LOOK_MS, NULL);
        }
    }
    return err;
}

static void
close_all(struct sending *sending)
{
    for (size_t i = 0; i < TRANSFER_PARTS_AT_ONCE; i++) {
        struct job *job = &sending->places[i].job;
        if (sending->places[i].is_active) {
            curl_multi_remove_handle(sending->multi, job->curl);
            curl_slist_free_all(job->headers);
        }
        curl_easy_cleanup(job->curl);
    }
    curl_multi_cleanup(sending->multi);
}

enum zkt_err
transfer_upload_parts(struct transfer *transfer, const struct transfer_parts *parts, int fd,
                      const struct transfer_watch *watch, char (*etags)[TRANSFER_ETAG_SIZE],
                      struct problem *problem)
{
    zkt_assert(parts->size > 0);
    zkt_assert(parts->part_size > 0);
    struct sending sending = {
        .transfer = transfer,
        .parts = parts,
        .watch = watch,
        .fd = fd,
        .etags = etags,
        .multi = curl_multi_init(),
        .parts_count = (uint32_t)((parts->size + parts->part_size - 1) / parts->part_size),
        .problem = problem,
    };
    zkt_assert(sending.multi != NULL);
    for (size_t i = 0; i < TRANSFER_PARTS_AT_ONCE; i++) {
        sending.places[i].sending = &sending;
        sending.places[i].job.curl = curl_easy_init();
        zkt_assert(sending.places[i].job.curl != NULL);
    }
    memset(etags, 0, sending.parts_count * sizeof *etags);
    extend(&sending);
    enum zkt_err err = send_all(&sending);
    close_all(&sending);
    return err;
}
