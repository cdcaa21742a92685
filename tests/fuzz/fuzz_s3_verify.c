// The signatures of S3 requests. An input is a request in lines (METHOD, HOST, PATH, QUERY, then
// NAME:VALUE each), which nobody can sign; or, behind 'h' (headers) or 'u' (URL), changes to a
// signed one: whatever is still allowed has to ask the very same.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "object/s3_sign_internal.h"

enum { NOW_S = 1700000000, URL_TTL_S = 60, STEP_BYTES = 4 };

static const struct s3_key KEY = {.access = "AK/1",
                                  .secret = "not known to the input",
                                  .region = "eu-1",
                                  .token = "of a session"};

// A request whose texts can be changed.
struct draft {
    char *method;
    char *host;
    char *path;
    char *params[2 * S3_PARAMS_MAX]; // names and values in turns
    size_t params_count;
    char *headers[2 * S3_HEADERS_MAX];
    size_t headers_count;
    int64_t now_s;
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
secret_of(void *arg, const char *access)
{
    (void)arg;
    return strcmp(access, KEY.access) == 0 ? KEY.secret : NULL;
}

static bool
has_header(const struct draft *draft, const char *name)
{
    for (size_t i = 0; i < draft->headers_count; i++) {
        if (strcasecmp(draft->headers[2 * i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void
add_param(struct draft *draft, const char *name, const char *value)
{
    if (draft->params_count < S3_PARAMS_MAX) {
        draft->params[2 * draft->params_count] = xstrdup(name);
        draft->params[2 * draft->params_count++ + 1] = xstrdup(value);
    }
}

static void
add_header(struct draft *draft, const char *name, const char *value)
{
    if (draft->headers_count < S3_HEADERS_MAX && !has_header(draft, name)) {
        draft->headers[2 * draft->headers_count] = xstrdup(name);
        draft->headers[2 * draft->headers_count++ + 1] = xstrdup(value);
    }
}

static void
add_line(void *arg, const char *line)
{
    char *name = xstrdup(line);
    char *value = strchr(name, ':');
    if (value != NULL) {
        *value++ = '\0';
        add_header(arg, name, value + strspn(value, " "));
    }
    free(name);
}

static void
draft_fini(struct draft *draft)
{
    free(draft->method);
    free(draft->host);
    free(draft->path);
    for (size_t i = 0; i < 2 * draft->params_count; i++) {
        free(draft->params[i]);
    }
    for (size_t i = 0; i < 2 * draft->headers_count; i++) {
        free(draft->headers[i]);
    }
}

static enum s3_code
verify(const struct draft *draft, struct s3_verified *verified)
{
    const struct s3_keys keys = {.secret_of = secret_of};
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_param headers[S3_HEADERS_MAX];
    struct problem problem = {.text = ""};
    for (size_t i = 0; i < draft->params_count; i++) {
        params[i] = (struct s3_param){draft->params[2 * i], draft->params[2 * i + 1]};
    }
    for (size_t i = 0; i < draft->headers_count; i++) {
        headers[i] = (struct s3_param){draft->headers[2 * i], draft->headers[2 * i + 1]};
    }
    const struct s3_request request = {.method = draft->method,
                                       .host = draft->host,
                                       .path = draft->path,
                                       .params = params,
                                       .params_count = draft->params_count,
                                       .headers = headers,
                                       .headers_count = draft->headers_count};
    enum s3_code code = s3_verify(&keys, &request, draft->now_s, verified, &problem);
    zkt_assert((code == S3_OK) == (problem.text[0] == '\0'));
    return code;
}

// ---- A signed request

static void
draft_signed(struct draft *draft, bool is_url)
{
    static const struct s3_param params[] = {{"partNumber", "7"}, {"uploadId", "a b/c+d"}};
    static const struct s3_param headers[] = {{"Range", "bytes=0-9"}, {"x-amz-meta-a", "1  2"}};
    const struct s3_request request = {.method = "PUT",
                                       .host = "h:1",
                                       .path = "/bucket/a key/\xc3\xa4",
                                       .params = params,
                                       .params_count = 2,
                                       .headers = headers,
                                       .headers_count = 2};
    *draft = (struct draft){.method = xstrdup(request.method),
                            .host = xstrdup(request.host),
                            .path = xstrdup(request.path),
                            .now_s = NOW_S};
    for (size_t i = 0; i < request.headers_count; i++) {
        add_header(draft, headers[i].name, headers[i].value);
    }
    if (!is_url) {
        for (size_t i = 0; i < request.params_count; i++) {
            add_param(draft, params[i].name, params[i].value);
        }
        s3_sign_headers(&KEY, &request, S3_EMPTY_SHA256, NOW_S, add_line, draft);
        return;
    }
    struct bytes url = {0};
    struct s3_param all[S3_PARAMS_MAX];
    size_t all_count = 0;
    s3_presign(&KEY, &request, NOW_S, URL_TTL_S, &url);
    bool is_read = s3_query_parse(strchr(bytes_text(&url), '?') + 1, all, &all_count);
    zkt_assert(is_read);
    for (size_t i = 0; i < all_count; i++) {
        add_param(draft, all[i].name, all[i].value);
    }
    bytes_fini(&url);
}

// ---- Changes

static char **
text_at(struct draft *draft, size_t which)
{
    char **first[] = {&draft->method, &draft->host, &draft->path};
    which %= 3 + 2 * draft->params_count + 2 * draft->headers_count;
    if (which < 3) {
        return first[which];
    }
    which -= 3;
    return which < 2 * draft->params_count ? &draft->params[which]
                                           : &draft->headers[which - 2 * draft->params_count];
}

static void
change_text(char **text_p, size_t at, size_t cut, const char *insert)
{
    size_t len = strlen(*text_p);
    at %= len + 1;
    cut = at + cut > len ? len - at : cut;
    char *changed = xasprintf("%.*s%s%s", (int)at, *text_p, insert, *text_p + at + cut);
    free(*text_p);
    *text_p = changed;
}

static void
drop_pair(char **pairs, size_t *count, size_t which)
{
    if (*count > 0) {
        which %= *count;
        free(pairs[2 * which]);
        free(pairs[2 * which + 1]);
        (*count)--;
        memmove(&pairs[2 * which], &pairs[2 * which + 2], 2 * (*count - which) * sizeof *pairs);
    }
}

static void
change(struct draft *draft, const uint8_t step[STEP_BYTES])
{
    static const char *const names[] = {"X-Amz-Signature", "X-Amz-Expires", "x-amz-content-sha256",
                                        "X-Amz-Date",      "uploadId",      "x-amz-acl",
                                        "Range",           "Host",          "Authorization"};
    const char *name = names[step[1] % (sizeof names / sizeof names[0])];
    const char letter[] = {(char)step[3], '\0'};
    switch (step[0] % 8) {
    case 0:
        change_text(text_at(draft, step[1]), step[2], 1, letter);
        break;
    case 1:
        change_text(text_at(draft, step[1]), step[2], 0, letter);
        break;
    case 2:
        change_text(text_at(draft, step[1]), step[2], step[3], "");
        break;
    case 3:
        drop_pair(draft->params, &draft->params_count, step[1]);
        break;
    case 4:
        drop_pair(draft->headers, &draft->headers_count, step[1]);
        break;
    case 5:
        add_param(draft, name, *text_at(draft, step[2]));
        break;
    case 6:
        add_header(draft, name, *text_at(draft, step[2]));
        break;
    default:
        draft->now_s += ((int64_t)(int8_t)step[1] * 256 + step[2]) * (step[3] % 4 == 0 ? 1000 : 1);
        break;
    }
}

// ---- The same

static bool
same_texts(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

// As it is signed: blanks around and between do not matter.
static bool
same_values(const char *a, const char *b)
{
    struct bytes left = {0};
    struct bytes right = {0};
    s3_header_line(&left, "n", a);
    s3_header_line(&right, "n", b);
    bool is_same = span_equal(bytes_span(&left), bytes_span(&right));
    bytes_fini(&left);
    bytes_fini(&right);
    return is_same;
}

static size_t
count_param(const struct draft *draft, const char *name, const char *value)
{
    size_t count = 0;
    for (size_t i = 0; i < draft->params_count; i++) {
        count +=
            same_texts(draft->params[2 * i], name) && same_texts(draft->params[2 * i + 1], value);
    }
    return count;
}

static void
assert_params(const struct draft *got, const struct draft *want)
{
    for (size_t i = 0; i < got->params_count; i++) {
        const char *name = got->params[2 * i];
        const char *value = got->params[2 * i + 1];
        if (!same_texts(name, "X-Amz-Signature")) {
            zkt_assert(count_param(got, name, value) == count_param(want, name, value));
        }
    }
    for (size_t i = 0; i < want->params_count; i++) {
        zkt_assert(same_texts(want->params[2 * i], "X-Amz-Signature") ||
                   count_param(got, want->params[2 * i], want->params[2 * i + 1]) > 0);
    }
}

static void
assert_headers(const struct draft *got, const struct draft *want)
{
    size_t found_count = 0;
    for (size_t i = 0; i < got->headers_count; i++) {
        const char *name = got->headers[2 * i];
        bool is_found = false;
        for (size_t j = 0; j < want->headers_count && !is_found; j++) {
            is_found = strcasecmp(name, want->headers[2 * j]) == 0;
            if (is_found && strcasecmp(name, "Authorization") != 0) {
                zkt_assert(same_values(got->headers[2 * i + 1], want->headers[2 * j + 1]));
            }
        }
        found_count += is_found;
        // The hash of the body may be added: it is signed either way.
        zkt_assert(is_found || strncasecmp(name, "x-amz-", 6) != 0 ||
                   strcasecmp(name, "x-amz-content-sha256") == 0);
    }
    zkt_assert(found_count == want->headers_count);
}

static void
check_changed(bool is_url, const uint8_t *data, size_t size)
{
    struct draft want;
    struct draft got;
    struct s3_verified verified;
    draft_signed(&want, is_url);
    draft_signed(&got, is_url);
    enum s3_code code = verify(&want, &verified);
    zkt_assert(code == S3_OK);
    for (size_t at = 0; at + STEP_BYTES <= size; at += STEP_BYTES) {
        change(&got, data + at);
    }
    if (verify(&got, &verified) == S3_OK) {
        int64_t late_s = is_url ? URL_TTL_S : S3_SKEW_S;
        zkt_assert(same_texts(got.method, want.method));
        zkt_assert(same_values(got.host, want.host));
        zkt_assert(same_texts(got.path, want.path));
        zkt_assert(got.now_s >= NOW_S - S3_SKEW_S && got.now_s <= NOW_S + late_s);
        zkt_assert(same_texts(verified.access, KEY.access));
        zkt_assert(same_texts(verified.payload, is_url ? S3_UNSIGNED : S3_EMPTY_SHA256));
        assert_params(&got, &want);
        assert_headers(&got, &want);
    }
    draft_fini(&want);
    draft_fini(&got);
}

// ---- A request of nobody

// What is escaped and read again is the same.
static void
check_escapes(const char *text)
{
    struct bytes escaped = {0};
    s3_escape(&escaped, text, true);
    bool is_read = s3_path_unescape(bytes_text(&escaped));
    zkt_assert(is_read);
    zkt_assert(strcmp((const char *)escaped.data, text) == 0);
    bytes_fini(&escaped);
}

static void
check_lines(const uint8_t *data, size_t size)
{
    char *text = xmemdup(data, size);
    char *rest = text;
    char *parts[4] = {NULL};
    char *line;
    for (size_t i = 0; i < 4 && rest != NULL; i++) {
        parts[i] = strsep(&rest, "\n");
    }
    struct s3_param params[S3_PARAMS_MAX];
    size_t params_count = 0;
    if (parts[3] != NULL && s3_path_unescape(parts[2]) &&
        s3_query_parse(parts[3], params, &params_count)) {
        struct draft draft = {.method = xstrdup(parts[0]),
                              .host = xstrdup(parts[1]),
                              .path = xstrdup(parts[2]),
                              .now_s = NOW_S};
        struct s3_verified verified;
        for (size_t i = 0; i < params_count; i++) {
            add_param(&draft, params[i].name, params[i].value);
        }
        while ((line = strsep(&rest, "\n")) != NULL) {
            add_line(&draft, line);
        }
        enum s3_code code = verify(&draft, &verified);
        zkt_assert(code != S3_OK);
        check_escapes(draft.path);
        draft_fini(&draft);
    }
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && (data[0] == 'h' || data[0] == 'u')) {
        check_changed(data[0] == 'u', data + 1, size - 1);
    } else {
        check_lines(data, size);
    }
    return 0;
}
