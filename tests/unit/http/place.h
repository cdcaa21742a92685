// place.h: an HTTP port with a directory store of its own, and requests to it.
#pragma once
#include "base/bytes.h"
#include "base/uid.h"
#include "http/server.h"

struct place {
    char directory[64];
    struct object_store *store;
    struct http_server *server;
};

// Set-up and tear-down; one S3 client: AK, SECRETSECRET.
int
enter(void **state);
int
enter_with(void **state, struct http_patience patience);
int
leave(void **state);
int
dial(const struct place *place);
// Begins an upload of zeroes; its socket, when the server waits for the body.
int
begin_upload(const struct place *place, const struct uid *uid, size_t size);
void
send_all(int fd, const void *data, size_t len);
// Sends head and body, reads to the end, answers the status (0: no answer); the whole answer in
// *answer.
int
exchange(const struct place *place, const char *head, const void *body, size_t body_len,
         struct bytes *answer);
int
get(const struct place *place, const char *method, const char *target, const char *headers,
    struct bytes *answer);
int
put(const struct place *place, const char *target, const void *body, size_t announced, size_t sent,
    struct bytes *answer);
const char *
body_of(struct bytes *answer);
// The path and query of a URL of the store; freed by the caller, as are the next two.
char *
target_of(struct bytes *url);
char *
put_target(const struct place *place, const struct uid *uid, const void *data, size_t len);
char *
get_target(const struct place *place, const struct uid *uid, int64_t age_s);
bool
is_there(const struct place *place, const struct uid *uid);
// Whether the store has no file, be it of an upload.
bool
is_empty(const struct place *place);
