// Checking signatures. Everything that is compared with a secret is compared in constant time, and
// only after all that the sender claims was found to be of the right form.
#include "object/s3_sign_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/assert.h"

enum { SIGNED_NAMES_SIZE = 1024, AUTHORIZATION_SIZE = 2048, SCOPE_PARTS = 5 };

// What the sender claims, wherever it stands.
struct claim {
    char text[AUTHORIZATION_SIZE]; // backs the rest
    const char *access;
    const char *day;
    const char *region;
    const char *service;
    const char *terminator;
    const char *signed_names;
    const char *signature;
    const char *date;
    const char *expires; // of a URL
    const char *payload;
};

static enum s3_code
deny(struct problem *problem, enum s3_code code, const char *why)
{
    problem_set(problem, s3_code_status(code) == 403 ? ZKT_DENIED : ZKT_INVALID, "%s", why);
    return code;
}

static bool
parse_number(const char *text, size_t len, int64_t max, int64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *number = *number * 10 + (text[i] - '0');
        if (*number > max) {
            return false;
        }
    }
    return len > 0;
}

// "20130524T000000Z" as seconds.
static bool
parse_date(const char *text, int64_t *date_s)
{
    static const struct {
        size_t at;
        size_t len;
    } parts[] = {{0, 4}, {4, 2}, {6, 2}, {9, 2}, {11, 2}, {13, 2}};
    int64_t numbers[6];
    if (strlen(text) != S3_DATE_SIZE - 1 || text[8] != 'T' || text[15] != 'Z') {
        return false;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parse_number(text + parts[i].at, parts[i].len, 9999, &numbers[i])) {
            return false;
        }
    }
    if (numbers[0] < 1970 || numbers[1] < 1 || numbers[1] > 12 || numbers[2] < 1 ||
        numbers[2] > 31 || numbers[3] > 23 || numbers[4] > 59 || numbers[5] > 60) {
        return false;
    }
    struct tm utc = {
        .tm_year = (int)numbers[0] - 1900,
        .tm_mon = (int)numbers[1] - 1,
        .tm_mday = (int)numbers[2],
        .tm_hour = (int)numbers[3],
        .tm_min = (int)numbers[4],
        .tm_sec = (int)numbers[5],
    };
    *date_s = timegm(&utc);
    return true;
}

// ---- What is claimed

// "ACCESS/DAY/REGION/s3/aws4_request", from the end: key ids may have slashes.
static bool
split_credential(char *credential, struct claim *claim)
{
    const char **parts[SCOPE_PARTS] = {&claim->access, &claim->day, &claim->region, &claim->service,
                                       &claim->terminator};
    for (size_t i = SCOPE_PARTS - 1; i > 0; i--) {
        char *slash = strrchr(credential, '/');
        if (slash == NULL) {
            return false;
        }
        *slash = '\0';
        *parts[i] = slash + 1;
    }
    claim->access = credential;
    return *credential != '\0';
}

// "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…": the blanks may be missing.
static bool
split_authorization(char *text, struct claim *claim)
{
    char *credential = NULL;
    char *part;
    while ((part = strsep(&text, ", ")) != NULL) {
        if (*part == '\0') {
            continue; // between a comma and its blank
        }
        if (strncmp(part, "Credential=", 11) == 0) {
            credential = part + 11;
        } else if (strncmp(part, "SignedHeaders=", 14) == 0) {
            claim->signed_names = part + 14;
        } else if (strncmp(part, "Signature=", 10) == 0) {
            claim->signature = part + 10;
        } else {
            return false;
        }
    }
    return credential != NULL && claim->signed_names != NULL && claim->signature != NULL &&
           split_credential(credential, claim);
}

static enum s3_code
claim_of_headers(const struct s3_request *request, const char *authorization, struct claim *claim,
                 struct problem *problem)
{
    size_t len = strlen(S3_ALGORITHM);
    if (strncmp(authorization, S3_ALGORITHM, len) != 0 || authorization[len] != ' ') {
        return deny(problem, S3_INVALID_REQUEST,
                    "only " S3_ALGORITHM " is understood in Authorization");
    }
    if (snprintf(claim->text, sizeof(claim->text), "%s", authorization + len + 1) >=
            (int)sizeof(claim->text) ||
        !split_authorization(claim->text, claim)) {
        return deny(problem, S3_AUTHORIZATION_HEADER_MALFORMED,
                    "Authorization: Credential=KEY/DAY/REGION/s3/aws4_request, SignedHeaders= and "
                    "Signature= are needed");
    }
    claim->date = s3_header_value(request, "x-amz-date");
    if (claim->date == NULL) {
        return deny(problem, S3_ACCESS_DENIED, "the header x-amz-date is missing");
    }
    claim->payload = s3_header_value(request, "x-amz-content-sha256");
    if (claim->payload == NULL) {
        return deny(problem, S3_INVALID_REQUEST,
                    "the header x-amz-content-sha256 is missing: the SHA-256 of the body or "
                    "UNSIGNED-PAYLOAD");
    }
    return S3_OK;
}

static enum s3_code
claim_of_query(const struct s3_request *request, struct claim *claim, struct problem *problem)
{
    const char *algorithm = s3_param_value(request, "X-Amz-Algorithm");
    const char *credential = s3_param_value(request, "X-Amz-Credential");
    claim->date = s3_param_value(request, "X-Amz-Date");
    claim->expires = s3_param_value(request, "X-Amz-Expires");
    claim->signed_names = s3_param_value(request, "X-Amz-SignedHeaders");
    claim->signature = s3_param_value(request, "X-Amz-Signature");
    claim->payload = s3_header_value(request, "x-amz-content-sha256");
    if (claim->payload == NULL) {
        claim->payload = s3_param_value(request, "X-Amz-Content-Sha256");
    }
    if (claim->payload == NULL) {
        claim->payload = S3_UNSIGNED;
    }
    if (algorithm == NULL || credential == NULL || claim->date == NULL || claim->expires == NULL ||
        claim->signed_names == NULL || claim->signature == NULL) {
        return deny(problem, S3_AUTHORIZATION_QUERY_ERROR,
                    "the URL is not signed as it should: X-Amz-Algorithm, -Credential, -Date, "
                    "-Expires, -SignedHeaders and -Signature are needed");
    }
    if (strcmp(algorithm, S3_ALGORITHM) != 0) {
        return deny(problem, S3_AUTHORIZATION_QUERY_ERROR, "X-Amz-Algorithm is " S3_ALGORITHM);
    }
    if (snprintf(claim->text, sizeof(claim->text), "%s", credential) >= (int)sizeof(claim->text) ||
        !split_credential(claim->text, claim)) {
        return deny(problem, S3_AUTHORIZATION_QUERY_ERROR,
                    "X-Amz-Credential is KEY/DAY/REGION/s3/aws4_request");
    }
    return S3_OK;
}

// A term said twice has no meaning: another reader might take the other one.
static const char *
said_twice(const struct s3_request *request)
{
    for (size_t i = 0; i < request->params_count; i++) {
        const char *name = request->params[i].name;
        for (size_t j = 0; strncmp(name, "X-Amz-", 6) == 0 && j < i; j++) {
            if (strcmp(name, request->params[j].name) == 0) {
                return name;
            }
        }
    }
    return NULL;
}

// ---- Whether it may be so

static enum s3_code
check_form(const struct claim *claim, struct problem *problem)
{
    enum s3_code malformed =
        claim->expires != NULL ? S3_AUTHORIZATION_QUERY_ERROR : S3_AUTHORIZATION_HEADER_MALFORMED;
    if (strcmp(claim->service, "s3") != 0 || strcmp(claim->terminator, "aws4_request") != 0) {
        return deny(problem, malformed, "the scope of the signature ends in /s3/aws4_request");
    }
    if (strlen(claim->date) != S3_DATE_SIZE - 1 || strlen(claim->day) != 8 ||
        strncmp(claim->day, claim->date, 8) != 0) {
        return deny(problem, malformed, "the day of the scope is not that of X-Amz-Date");
    }
    if (strlen(claim->signature) != S3_HEX_SIZE - 1) {
        return deny(problem, S3_SIGNATURE_DOES_NOT_MATCH, "the signature has no 64 digits");
    }
    if (strlen(claim->payload) >= S3_HEX_SIZE) {
        return deny(problem, S3_INVALID_ARGUMENT, "x-amz-content-sha256 is too long");
    }
    if (strlen(claim->access) >= S3_SCOPE_SIZE || strlen(claim->region) >= 64 ||
        strlen(claim->signed_names) >= SIGNED_NAMES_SIZE) {
        return deny(problem, malformed, "key id, region or SignedHeaders are too long");
    }
    return S3_OK;
}

static enum s3_code
check_time(const struct claim *claim, int64_t now_s, struct problem *problem)
{
    int64_t date_s = 0;
    int64_t expires_s = 0;
    bool is_url = claim->expires != NULL;
    if (!parse_date(claim->date, &date_s)) {
        return deny(problem, is_url ? S3_AUTHORIZATION_QUERY_ERROR : S3_ACCESS_DENIED,
                    "X-Amz-Date is YYYYMMDD'T'HHMMSS'Z'");
    }
    if (!is_url) {
        bool is_near = date_s <= now_s + S3_SKEW_S && date_s >= now_s - S3_SKEW_S;
        return is_near ? S3_OK
                       : deny(problem, S3_REQUEST_TIME_TOO_SKEWED,
                              s3_code_text(S3_REQUEST_TIME_TOO_SKEWED));
    }
    if (!parse_number(claim->expires, strlen(claim->expires), S3_EXPIRES_MAX_S, &expires_s)) {
        return deny(problem, S3_AUTHORIZATION_QUERY_ERROR,
                    "X-Amz-Expires is a number of seconds up to 604800");
    }
    if (date_s > now_s + S3_SKEW_S) {
        return deny(problem, S3_ACCESS_DENIED, "the URL is not good yet");
    }
    if (now_s > date_s + expires_s) {
        return deny(problem, S3_ACCESS_DENIED, "the URL has expired");
    }
    return S3_OK;
}

static bool
is_listed(const char *names, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = names; at != NULL; at = strchr(at, ';')) {
        at += *at == ';' ? 1 : 0;
        if (strncasecmp(at, name, len) == 0 && (at[len] == ';' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

// Nobody on the way may add what changes the meaning.
static enum s3_code
check_signed_names(const struct s3_request *request, const struct claim *claim,
                   struct problem *problem)
{
    if (!is_listed(claim->signed_names, "host")) {
        return deny(problem, S3_ACCESS_DENIED, "the header Host is not signed");
    }
    for (size_t i = 0; i < request->headers_count; i++) {
        const char *name = request->headers[i].name;
        // The hash of the body is part of what is signed by itself.
        if (strncasecmp(name, "x-amz-", 6) == 0 && !is_listed(claim->signed_names, name) &&
            strcasecmp(name, "x-amz-content-sha256") != 0) {
            problem_set(problem, ZKT_DENIED, "the header %.60s is not signed", name);
            return S3_ACCESS_DENIED;
        }
    }
    return S3_OK;
}

// The lines of the headers that are said to be signed. False: one of them did not come.
static bool
signed_lines(const struct s3_request *request, const char *names, struct bytes *lines)
{
    char text[SIGNED_NAMES_SIZE];
    char *rest = text;
    char *name;
    snprintf(text, sizeof(text), "%s", names);
    while ((name = strsep(&rest, ";")) != NULL) {
        const char *value =
            strcmp(name, "host") == 0 ? request->host : s3_header_value(request, name);
        if (value == NULL) {
            return false;
        }
        s3_header_line(lines, name, value);
    }
    return true;
}

static enum s3_code
compare(const struct s3_request *request, const struct claim *claim, const char *secret,
        struct s3_verified *verified, struct problem *problem)
{
    struct s3_param params[S3_PARAMS_MAX];
    size_t params_count = 0;
    struct bytes lines = {0};
    char hex[S3_HEX_SIZE] = "";
    for (size_t i = 0; i < request->params_count; i++) {
        if (!verified->is_presigned || strcmp(request->params[i].name, "X-Amz-Signature") != 0) {
            params[params_count++] = request->params[i];
        }
    }
    bool has_all = signed_lines(request, claim->signed_names, &lines);
    s3_day_key(secret, claim->date, claim->region, verified->day_key);
    const struct s3_terms terms = {.method = request->method,
                                   .path = request->path,
                                   .params = params,
                                   .params_count = params_count,
                                   .lines = &lines,
                                   .signed_names = claim->signed_names,
                                   .payload = verified->payload,
                                   .date = verified->date,
                                   .scope = verified->scope,
                                   .day_key = verified->day_key};
    s3_signature(&terms, hex);
    bytes_fini(&lines);
    if (!has_all || CRYPTO_memcmp(hex, claim->signature, S3_HEX_SIZE - 1) != 0) {
        return deny(problem, S3_SIGNATURE_DOES_NOT_MATCH,
                    "the signature is wrong: another secret, or something was changed");
    }
    return S3_OK;
}

static enum s3_code
check_claim(const struct s3_keys *keys, const struct s3_request *request, const struct claim *claim,
            int64_t now_s, struct s3_verified *verified, struct problem *problem)
{
    enum s3_code code = check_form(claim, problem);
    if (code == S3_OK) {
        code = check_time(claim, now_s, problem);
    }
    if (code == S3_OK) {
        code = check_signed_names(request, claim, problem);
    }
    if (code != S3_OK) {
        return code;
    }
    verified->is_presigned = claim->expires != NULL;
    snprintf(verified->access, sizeof(verified->access), "%s", claim->access);
    snprintf(verified->payload, sizeof(verified->payload), "%s", claim->payload);
    snprintf(verified->signature, sizeof(verified->signature), "%s", claim->signature);
    snprintf(verified->date, sizeof(verified->date), "%s", claim->date);
    snprintf(verified->scope, sizeof(verified->scope), "%.8s/%.63s/s3/aws4_request", claim->date,
             claim->region);
    const char *secret = keys->secret_of(keys->arg, claim->access);
    if (secret == NULL) {
        return deny(problem, S3_INVALID_ACCESS_KEY_ID, s3_code_text(S3_INVALID_ACCESS_KEY_ID));
    }
    return compare(request, claim, secret, verified, problem);
}

enum s3_code
s3_verify(const struct s3_keys *keys, const struct s3_request *request, int64_t now_s,
          struct s3_verified *verified, struct problem *problem)
{
    struct claim claim = {.text = ""};
    const char *authorization = s3_header_value(request, "Authorization");
    bool is_url = s3_param_value(request, "X-Amz-Algorithm") != NULL ||
                  s3_param_value(request, "X-Amz-Signature") != NULL ||
                  s3_param_value(request, "X-Amz-Credential") != NULL;
    *verified = (struct s3_verified){.access = ""};
    zkt_assert(request->params_count <= S3_PARAMS_MAX);
    const char *twice = said_twice(request);
    if (twice != NULL) {
        problem_set(problem, ZKT_DENIED, "%.60s is there twice", twice);
        return S3_AUTHORIZATION_QUERY_ERROR;
    }
    if (authorization == NULL && s3_param_value(request, "AWSAccessKeyId") != NULL) {
        return deny(problem, S3_ACCESS_DENIED,
                    "the URL is signed by version 2; version 4 is needed (boto3: "
                    "signature_version='s3v4')");
    }
    if (authorization == NULL && !is_url) {
        return deny(problem, S3_ACCESS_DENIED, "the request is not signed");
    }
    if (authorization != NULL && is_url) {
        return deny(problem, S3_INVALID_ARGUMENT, "only one way of signing is allowed at once");
    }
    enum s3_code code = authorization != NULL
                            ? claim_of_headers(request, authorization, &claim, problem)
                            : claim_of_query(request, &claim, problem);
    return code == S3_OK ? check_claim(keys, request, &claim, now_s, verified, problem) : code;
}
