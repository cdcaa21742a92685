// Targets as they come: split and decoded.
#include "object/s3_sign.h"

#include <string.h>
#include <strings.h>

const char *
s3_param_value(const struct s3_request *request, const char *name)
{
    for (size_t i = 0; i < request->params_count; i++) {
        if (strcmp(request->params[i].name, name) == 0) {
            return request->params[i].value;
        }
    }
    return NULL;
}

const char *
s3_header_value(const struct s3_request *request, const char *name)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return NULL;
}

static int
hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Decodes in place. False: a bad escape, or an escaped NUL, behind which a C string would end.
static bool
unescape(char *text, bool is_plus_blank)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '+' && is_plus_blank) {
            *to++ = ' ';
        } else if (*at == '%') {
            int high = hex_digit(at[1]);
            int low = high == -1 ? -1 : hex_digit(at[2]);
            if (low == -1 || (high == 0 && low == 0)) {
                return false;
            }
            *to++ = (char)(high << 4 | low);
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return true;
}

bool
s3_path_unescape(char *path)
{
    return unescape(path, false);
}

bool
s3_query_parse(char *query, struct s3_param params[S3_PARAMS_MAX], size_t *params_count)
{
    *params_count = 0;
    while (query != NULL && *query != '\0') {
        char *next = strchr(query, '&');
        if (next != NULL) {
            *next++ = '\0';
        }
        char *value = strchr(query, '=');
        if (value != NULL) {
            *value++ = '\0';
        } else {
            value = query + strlen(query);
        }
        if (*params_count == S3_PARAMS_MAX || !unescape(query, true) || !unescape(value, true)) {
            return false;
        }
        params[(*params_count)++] = (struct s3_param){query, value};
        query = next;
    }
    return true;
}
