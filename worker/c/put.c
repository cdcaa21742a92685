// Tokens: an object that was put beforehand, for one send to take. It is held in the name of a
// secret that the token carries, so it outlives the process that put it (until upload_grace), and
// nobody else can take it, read it or find it out. A token is
//     object:UID:HOLDER:SIZE:SHA256:FLAGS:NAME
// with both uids and the hash in hex, and every odd byte of NAME as %XX.
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "handles.h"
#include "objects.h"

static const char PREFIX[] = "object:";

// ---- Text

static void
append_hex(struct bytes *out, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        bytes_printf(out, "%02x", data[at]);
    }
}

static char *
token_text(const struct zkt_resource *resource, const struct uid *holder)
{
    struct bytes text = {0};
    char holder_text[UID_TEXT_SIZE];
    uid_format(holder, holder_text);
    bytes_printf(&text, "%s%s:%s:%" PRId64 ":", PREFIX, resource->uid_text, holder_text,
                 resource->model.size);
    append_hex(&text, resource->model.sha256, sizeof resource->model.sha256);
    bytes_printf(&text, ":%u:", resource->model.flags);
    for (size_t at = 0; at < resource->model.name.len; at++) {
        uint8_t byte = resource->model.name.data[at];
        if (isalnum(byte) || (byte != '\0' && strchr("._-+@,=~", byte) != NULL)) {
            bytes_append_byte(&text, byte);
        } else {
            bytes_printf(&text, "%%%02X", byte);
        }
    }
    char *copy = xstrdup(bytes_text(&text));
    bytes_fini(&text);
    return copy;
}

static int
hex_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit == '\0' ? NULL : strchr(digits, tolower((unsigned char)digit));
    return at == NULL ? -1 : (int)(at - digits);
}

static bool
parse_hex(const char *text, size_t text_len, uint8_t *out, size_t out_size)
{
    if (text_len != 2 * out_size) {
        return false;
    }
    for (size_t at = 0; at < out_size; at++) {
        int high = hex_digit(text[2 * at]);
        int low = hex_digit(text[2 * at + 1]);
        if (high == -1 || low == -1) {
            return false;
        }
        out[at] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool
parse_name(const char *text, struct bytes *out)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            bytes_append_byte(out, (uint8_t)*at);
            continue;
        }
        uint8_t byte;
        if (at[1] == '\0' || !parse_hex(at + 1, 2, &byte, 1)) {
            return false;
        }
        bytes_append_byte(out, byte);
        at += 2;
    }
    return true;
}

static bool
parse_number(const char *text, size_t len, int64_t max, int64_t *out)
{
    *out = 0;
    for (size_t at = 0; at < len; at++) {
        if (!isdigit((unsigned char)text[at]) || *out > (max - 9) / 10) {
            return false;
        }
        *out = *out * 10 + (text[at] - '0');
    }
    return len > 0;
}

// The next field, up to a colon.
static size_t
field_len(const char *at)
{
    return strcspn(at, ":");
}

static bool
parse_fields(const char *token, struct resource *model, struct uid *holder, struct bytes *name)
{
    const char *fields[5];
    size_t lens[5];
    if (strncmp(token, PREFIX, sizeof PREFIX - 1) != 0) {
        return false;
    }
    const char *at = token + sizeof PREFIX - 1;
    for (size_t field = 0; field < 5; field++) {
        fields[field] = at;
        lens[field] = field_len(at);
        if (at[lens[field]] != ':') {
            return false;
        }
        at += lens[field] + 1;
    }
    int64_t flags = 0;
    bool is_right =
        uid_parse(fields[0], lens[0], &model->uid) && uid_parse(fields[1], lens[1], holder) &&
        parse_number(fields[2], lens[2], INT64_MAX, &model->size) &&
        parse_hex(fields[3], lens[3], model->sha256, sizeof model->sha256) &&
        parse_number(fields[4], lens[4], RESOURCE_DIRECTORY, &flags) && parse_name(at, name);
    model->flags = (uint32_t)flags & RESOURCE_DIRECTORY;
    model->has_sha256 = true;
    return is_right && !uid_is_none(holder) && name->len <= LIMIT_RESOURCE_NAME_BYTES &&
           text_is_wtf8((const char *)name->data, name->len);
}

struct zkt_resource *
resource_from_token(const char *token, struct problem *problem)
{
    struct resource model = {.bucket = span_of_text("karton")};
    struct uid holder;
    struct bytes name = {0};
    struct zkt_resource *resource = NULL;
    if (token != NULL && parse_fields(token, &model, &holder, &name)) {
        model.name = bytes_span(&name);
        resource = resource_new(&model);
        resource->source = SOURCE_HELD;
        resource->holder = holder;
    } else {
        problem_set(problem, ZKT_INVALID, "not a token of zkarton put");
    }
    bytes_fini(&name);
    return resource;
}

// ---- Putting

// The object in the name of the holder, for upload_grace from now on.
static enum zkt_err
hand_over(struct zkt_client *client, const struct zkt_resource *resource, const struct uid *holder)
{
    struct question request;
    request_begin(&request, VERB_UPLOAD);
    struct object_item item = {
        .uid = resource->model.uid, .size = resource->model.size, .holder = *holder};
    memcpy(item.sha256, resource->model.sha256, sizeof item.sha256);
    request.command.objects = (struct objects){.items = &item, .items_count = 1};
    enum zkt_err err = objects_ask(client, &request);
    if (err == ZKT_OK &&
        objects_url(client, &request.arena, &request.answer.objects, resource, NULL) == NULL) {
        err = client->problem.code;
    }
    request_end(&request);
    return err;
}

static struct zkt_resource *
resource_of_path(const char *name, const char *path, struct problem *problem)
{
    struct stat status;
    const char *slash = strrchr(path, '/');
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return resource_from_directory(path, temp_path(), problem);
    }
    return resource_from_file(name != NULL    ? name
                              : slash != NULL ? slash + 1
                                              : path,
                              path, problem);
}

enum zkt_err
zkt_client_put(zkt_client_t *client, const char *path, const char *name, char **token)
{
    *token = NULL;
    client->problem = (struct problem){0};
    if (path == NULL) {
        return client_problem(client, ZKT_INVALID, "no path");
    }
    struct zkt_resource *resource = resource_of_path(name, path, &client->problem);
    if (resource == NULL) {
        return client->problem.code;
    }
    struct uid holder;
    uid_random(&holder);
    enum zkt_err err = client_upload_resources(client, &resource, 1);
    if (err == ZKT_OK) {
        err = hand_over(client, resource, &holder);
    }
    if (err == ZKT_OK) {
        *token = token_text(resource, &holder);
    }
    resource_unref(&resource);
    return err;
}

enum zkt_err
zkt_client_give_back(zkt_client_t *client, const char *token)
{
    client->problem = (struct problem){0};
    struct zkt_resource *resource = resource_from_token(token, &client->problem);
    if (resource == NULL) {
        return client->problem.code;
    }
    enum zkt_err err = hand_over(client, resource, &resource->holder);
    resource_unref(&resource);
    return err;
}
