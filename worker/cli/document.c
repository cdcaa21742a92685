#include "document.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "rows.h"

static void
put_json(struct bytes *out, const char *key, const zkt_value_t *value, const char *fallback)
{
    char *json = value != NULL ? zkt_value_json(value) : NULL;
    bytes_append_text(out, out->len > 1 ? ", " : "");
    json_quote(out, key);
    bytes_append_text(out, ": ");
    bytes_append_text(out, json != NULL ? json : fallback);
    free(json);
}

// Lines of the error as Karton keeps a traceback: a list.
static void
put_error(struct bytes *out, const char *error)
{
    bytes_append_text(out, out->len > 1 ? ", \"error\": " : "\"error\": ");
    if (error == NULL) {
        bytes_append_text(out, "null");
        return;
    }
    bytes_append_text(out, "[");
    bool is_first = true;
    while (*error != '\0') {
        size_t len = strcspn(error, "\n");
        struct bytes line = {0};
        bytes_append(&line, error, len);
        bytes_append_text(out, is_first ? "" : ", ");
        json_quote(out, bytes_text(&line));
        bytes_fini(&line);
        is_first = false;
        error += len + (error[len] == '\n');
    }
    bytes_append_text(out, "]");
}

// Karton's spelling of a uid: "{root}:uid".
static void
put_uid(struct bytes *out, const char *root_uid, const char *uid)
{
    bytes_append_text(out, out->len > 1 ? ", \"uid\": " : "\"uid\": ");
    struct bytes text = {0};
    if (root_uid != NULL && strchr(uid, ':') == NULL) {
        bytes_printf(&text, "{%s}:%s", root_uid, uid);
    } else {
        bytes_append_text(&text, uid);
    }
    json_quote(out, bytes_text(&text));
    bytes_fini(&text);
}

void
document_write(const zkt_value_t *row, struct bytes *out)
{
    struct bytes body = {0};
    int64_t changed_ms = row_int(row, "changed_ms", 0);
    bytes_append_text(&body, "{");
    put_error(&body, row_text(row, "error", NULL));
    put_json(&body, "headers", zkt_value_get(row, "headers"), "{}");
    put_json(&body, "headers_persistent", zkt_value_get(row, "persistent_headers"), "[]");
    bytes_printf(&body, ", \"last_update\": %" PRId64 ".%03d", changed_ms / 1000,
                 (int)(changed_ms % 1000));
    put_json(&body, "orig_uid", zkt_value_get(row, "orig"), "null");
    put_json(&body, "parent_uid", zkt_value_get(row, "parent"), "null");
    put_json(&body, "payload", zkt_value_get(row, "payload"), "{}");
    put_json(&body, "payload_persistent", zkt_value_get(row, "payload_persistent"), "{}");
    put_json(&body, "priority", zkt_value_get(row, "priority"), "\"normal\"");
    put_json(&body, "root_uid", zkt_value_get(row, "root"), "null");
    put_json(&body, "status", zkt_value_get(row, "state"), "null");
    put_uid(&body, row_text(row, "root", NULL), row_text(row, "uid", ""));
    bytes_append_text(&body, "}");
    bytes_append(out, body.data, body.len);
    bytes_fini(&body);
}
