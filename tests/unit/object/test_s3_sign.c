// Signature Version 4: AWS's published examples, what a changed request meets, and that whatever is
// signed is found right by the other side.
#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "object/s3_sign.h"

// "Example: Authenticating Requests: Using Query Parameters" of the S3 API reference.
static const struct s3_key key = {
    .access = "AKIAIOSFODNN7EXAMPLE",
    .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
};
static const int64_t now_s = 1369353600; // 20130524T000000Z

static const char *
secret_of(void *arg, const char *access)
{
    (void)arg;
    return strcmp(access, key.access) == 0 ? key.secret : NULL;
}

static const struct s3_keys keys = {.secret_of = secret_of};

static char *
presigned(void)
{
    const struct s3_request request = {
        .method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = "/test.txt"};
    struct bytes url = {0};
    s3_presign(&key, &request, now_s, 86400, &url);
    char *text = strdup(bytes_text(&url));
    bytes_fini(&url);
    return text;
}

static void
the_published_example_comes_out(void **state)
{
    (void)state;
    char *url = presigned();
    assert_string_equal(
        url, "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
             "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires="
             "86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
             "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    free(url);
}

// Checks the URL after replacing a part of it; NULL: as it is.
static enum zkt_err
verify(const char *from, const char *to, int64_t at_s, struct problem *problem)
{
    char *url = presigned();
    struct bytes changed = {0};
    const char *found = from != NULL ? strstr(url, from) : NULL;
    if (found != NULL) {
        bytes_append(&changed, url, (size_t)(found - url));
        bytes_append_text(&changed, to);
        bytes_append_text(&changed, found + strlen(from));
    } else {
        assert_null(from);
        bytes_append_text(&changed, url);
    }
    char *path = bytes_text(&changed);
    char *query = strchr(path, '?');
    *query++ = '\0';
    struct s3_param params[S3_PARAMS_MAX];
    struct s3_request request = {
        .method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = path, .params = params};
    enum zkt_err err = ZKT_INVALID;
    if (s3_query_parse(query, params, &request.params_count)) {
        struct s3_verified verified;
        enum s3_code code = s3_verify(&keys, &request, at_s, &verified, problem);
        err = code == S3_OK ? ZKT_OK : ZKT_DENIED;
    }
    bytes_fini(&changed);
    free(url);
    return err;
}

static void
its_own_url_is_good_until_it_expires(void **state)
{
    (void)state;
    struct problem problem;
    assert_int_equal(verify(NULL, NULL, now_s, &problem), ZKT_OK);
    assert_int_equal(verify(NULL, NULL, now_s + 86400, &problem), ZKT_OK);
    assert_int_equal(verify(NULL, NULL, now_s + 86401, &problem), ZKT_DENIED);
    assert_non_null(strstr(problem.text, "expired"));
    assert_int_equal(verify(NULL, NULL, now_s - S3_SKEW_S, &problem), ZKT_OK);
    assert_int_equal(verify(NULL, NULL, now_s - S3_SKEW_S - 1, &problem), ZKT_DENIED);
}

static void
every_change_is_denied(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"/test.txt", "/test2.txt"},
        {"86400", "86401"},
        {"20130524T000000Z", "20130524T000001Z"},
        {"AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF"},
        {"us-east-1", "us-east-2"},
        {"aeee", "aeef"},
        {"d404", "d40"},
        {"&X-Amz-Signature=", "&x=1&X-Amz-Signature="},
        {"SignedHeaders=host", "SignedHeaders=host%3Bdate"},
        {"HMAC-SHA256", "HMAC-SHA1"},
        {"&X-Amz-Expires=86400", ""},
        {"X-Amz-Expires=86400", "X-Amz-Expires=-1"},
        {"X-Amz-Expires=86400", "X-Amz-Expires=604801"},
        {"X-Amz-Expires=86400", "X-Amz-Expires="},
        {"20130524T000000Z", "20131324T000000Z"},
        {"20130524T000000Z", "2013"},
        {"X-Amz-Signature", "x-amz-signature"},
        {"404", "404&X-Amz-Signature=00"},
        {"X-Amz-Algorithm=", "X-Amz-Expires=86400&X-Amz-Algorithm="},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct problem problem = {0};
        enum zkt_err err = verify(changes[i][0], changes[i][1], now_s, &problem);
        if (err != ZKT_DENIED) {
            print_error("%s -> %s\n", changes[i][0], changes[i][1]);
        }
        assert_int_equal(err, ZKT_DENIED);
    }
}

// ---- Headers

// The lines that a signature adds, as headers of the request that is checked.
struct sent {
    struct s3_param headers[S3_HEADERS_MAX];
    size_t headers_count;
    char *lines[8];
    size_t lines_count;
};

static void
take_line(void *arg, const char *line)
{
    struct sent *sent = arg;
    char *copy = strdup(line);
    char *value = strstr(copy, ": ");
    assert_non_null(value);
    *value = '\0';
    sent->lines[sent->lines_count++] = copy;
    sent->headers[sent->headers_count++] = (struct s3_param){copy, value + 2};
}

static void
forget(struct sent *sent)
{
    for (size_t i = 0; i < sent->lines_count; i++) {
        free(sent->lines[i]);
    }
    *sent = (struct sent){.headers_count = 0};
}

// Signs with these headers, and answers what is sent: they and the new ones.
static void
sign(const struct s3_key *by, const struct s3_request *request, const char *payload, int64_t at_s,
     struct sent *sent)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        sent->headers[sent->headers_count++] = request->headers[i];
    }
    s3_sign_headers(by, request, payload, at_s, take_line, sent);
}

static const char *
sent_value(const struct sent *sent, const char *name)
{
    const struct s3_request request = {.headers = sent->headers,
                                       .headers_count = sent->headers_count};
    return s3_header_value(&request, name);
}

static void
assert_signed(const struct s3_request *request, const char *payload, const char *want)
{
    struct sent sent = {.headers_count = 0};
    struct s3_verified verified;
    struct problem problem;
    sign(&key, request, payload, now_s, &sent);
    const char *authorization = sent_value(&sent, "authorization");
    assert_non_null(strstr(authorization, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                                          "aws4_request,SignedHeaders="));
    assert_string_equal(strstr(authorization, "Signature=") + 10, want);
    struct s3_request got = *request;
    got.headers = sent.headers;
    got.headers_count = sent.headers_count;
    assert_int_equal(s3_verify(&keys, &got, now_s, &verified, &problem), S3_OK);
    assert_string_equal(verified.payload, payload);
    assert_string_equal(verified.signature, want);
    assert_false(verified.is_presigned);
    forget(&sent);
}

// "Authenticating Requests: Using the Authorization Header", the four examples.
static void
the_published_headers_come_out(void **state)
{
    (void)state;
    static const char host[] = "examplebucket.s3.amazonaws.com";
    const struct s3_param range[] = {{"Range", "bytes=0-9"}};
    const struct s3_request get = {
        .method = "GET", .host = host, .path = "/test.txt", .headers = range, .headers_count = 1};
    assert_signed(&get, S3_EMPTY_SHA256,
                  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    const struct s3_param put_headers[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                           {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    const struct s3_request put = {.method = "PUT",
                                   .host = host,
                                   .path = "/test$file.text",
                                   .headers = put_headers,
                                   .headers_count = 2};
    assert_signed(&put, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    const struct s3_param lifecycle[] = {{"lifecycle", ""}};
    const struct s3_request rules = {
        .method = "GET", .host = host, .path = "/", .params = lifecycle, .params_count = 1};
    assert_signed(&rules, S3_EMPTY_SHA256,
                  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const struct s3_param page[] = {{"prefix", "J"}, {"max-keys", "2"}};
    const struct s3_request list = {
        .method = "GET", .host = host, .path = "/", .params = page, .params_count = 2};
    assert_signed(&list, S3_EMPTY_SHA256,
                  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// ---- Streamed bodies

static void
seed_of(const struct s3_param *headers, size_t headers_count, const char *payload,
        struct s3_verified *seed)
{
    const struct s3_request put = {.method = "PUT",
                                   .host = "s3.amazonaws.com",
                                   .path = "/examplebucket/chunkObject.txt",
                                   .headers = headers,
                                   .headers_count = headers_count};
    struct sent sent = {.headers_count = 0};
    struct problem problem;
    sign(&key, &put, payload, now_s, &sent);
    struct s3_request got = put;
    got.headers = sent.headers;
    got.headers_count = sent.headers_count;
    assert_int_equal(s3_verify(&keys, &got, now_s, seed, &problem), S3_OK);
    forget(&sent);
}

static void
assert_chunk(const struct s3_verified *seed, char *signature, const char *data, size_t len,
             const char *want)
{
    uint8_t sha256[32];
    SHA256((const unsigned char *)data, len, sha256);
    s3_chunk_signature(seed, signature, sha256, signature);
    assert_string_equal(signature, want);
}

// "Transferring Payload in Multiple Chunks": 65536 and 1024 times 'a', and the end.
static void
the_published_chunks_come_out(void **state)
{
    (void)state;
    static char data[65536];
    char signature[S3_HEX_SIZE];
    struct s3_verified seed;
    memset(data, 'a', sizeof(data));
    const struct s3_param headers[] = {{"content-encoding", "aws-chunked"},
                                       {"content-length", "66824"},
                                       {"x-amz-decoded-content-length", "66560"},
                                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    seed_of(headers, 4, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", &seed);
    assert_string_equal(seed.signature,
                        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    memcpy(signature, seed.signature, sizeof(signature));
    assert_chunk(&seed, signature, data, 65536,
                 "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    assert_chunk(&seed, signature, data, 1024,
                 "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    assert_chunk(&seed, signature, data, 0,
                 "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
}

// The same with trailing headers.
static void
the_published_trailer_comes_out(void **state)
{
    (void)state;
    static char data[65536];
    char signature[S3_HEX_SIZE];
    struct s3_verified seed;
    memset(data, 'a', sizeof(data));
    const struct s3_param headers[] = {{"content-encoding", "aws-chunked"},
                                       {"x-amz-decoded-content-length", "66560"},
                                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                       {"x-amz-trailer", "x-amz-checksum-crc32c"}};
    seed_of(headers, 4, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", &seed);
    assert_string_equal(seed.signature,
                        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
    memcpy(signature, seed.signature, sizeof(signature));
    assert_chunk(&seed, signature, data, 65536,
                 "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
    assert_chunk(&seed, signature, data, 1024,
                 "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
    assert_chunk(&seed, signature, data, 0,
                 "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    s3_trailer_signature(&seed, signature, span_of_text("x-amz-checksum-crc32c:sOO8/Q==\n"),
                         signature);
    assert_string_equal(signature,
                        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435");
}

// ---- Signer against verifier

static uint64_t seed_number = 1;

static uint64_t
draw(uint64_t below)
{
    seed_number = seed_number * 6364136223846793005u + 1442695040888963407u;
    return (seed_number >> 33) % below;
}

// Any bytes but NUL; of headers only what a header may have, without blanks at the ends.
static char *
any_text(size_t len_max, bool is_header)
{
    size_t len = 1 + draw(len_max);
    char *text = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(is_header ? '!' + draw(94) : 1 + draw(255));
    }
    if (is_header && len > 4) {
        text[2] = ' ';
    }
    text[len] = '\0';
    return text;
}

static void
change_one(char *text)
{
    char *at = text + draw(strlen(text));
    char was = *at;
    do {
        *at = (char)(1 + draw(255));
    } while (*at == was);
}

struct drawn {
    struct s3_request request;
    struct s3_param params[6];
    struct s3_param headers[6];
    char *texts[32];
    size_t texts_count;
};

static char *
keep(struct drawn *drawn, char *text)
{
    drawn->texts[drawn->texts_count++] = text;
    return text;
}

static void
draw_request(struct drawn *drawn)
{
    static const char *const methods[] = {"GET", "PUT", "HEAD", "DELETE", "POST"};
    static const char *const names[] = {"Range",       "x-amz-meta-a", "If-Match",
                                        "Content-MD5", "x-amz-b",      "X-Z"};
    char *path = keep(drawn, any_text(40, false));
    path[0] = '/';
    drawn->request = (struct s3_request){.method = methods[draw(5)],
                                         .host = keep(drawn, any_text(20, true)),
                                         .path = path,
                                         .params = drawn->params,
                                         .params_count = draw(6),
                                         .headers = drawn->headers,
                                         .headers_count = draw(6)};
    for (size_t i = 0; i < drawn->request.params_count; i++) {
        char *name = keep(drawn, any_text(10, false));
        drawn->params[i] = (struct s3_param){name, keep(drawn, any_text(20, false))};
    }
    for (size_t i = 0; i < drawn->request.headers_count; i++) {
        drawn->headers[i] = (struct s3_param){names[i], keep(drawn, any_text(20, true))};
    }
}

static enum s3_code
check(const struct s3_request *request)
{
    struct s3_verified verified;
    struct problem problem;
    return s3_verify(&keys, request, now_s, &verified, &problem);
}

// By headers: right as it is, wrong with any one text changed.
static void
check_headers(struct drawn *drawn, const struct s3_key *by)
{
    struct sent sent = {.headers_count = 0};
    sign(by, &drawn->request, draw(2) == 0 ? S3_UNSIGNED : S3_EMPTY_SHA256, now_s, &sent);
    struct s3_request got = drawn->request;
    got.headers = sent.headers;
    got.headers_count = sent.headers_count;
    assert_int_equal(check(&got), S3_OK);
    char *changed = drawn->texts[draw(drawn->texts_count)];
    char *was = strdup(changed);
    change_one(changed);
    bool is_same = strlen(changed) == strlen(was); // blanks at the ends of headers are not signed
    for (size_t i = 0; is_same && was[i] != '\0'; i++) {
        is_same = was[i] == changed[i] || changed[i] == ' ' || changed[i] == '\t' || was[i] == ' ';
    }
    if (!is_same) {
        assert_int_not_equal(check(&got), S3_OK);
    }
    strcpy(changed, was);
    free(was);
    forget(&sent);
}

// As a URL: through the text and back.
static void
check_url(struct drawn *drawn, const struct s3_key *by)
{
    struct bytes url = {0};
    struct s3_param params[S3_PARAMS_MAX];
    s3_presign(by, &drawn->request, now_s, 60, &url);
    struct bytes changed = {0};
    bytes_append(&changed, url.data, url.len);
    struct s3_request got = drawn->request;
    char *path = bytes_text(&url);
    char *query = strchr(path, '?');
    *query++ = '\0';
    got.path = path;
    got.params = params;
    assert_true(s3_path_unescape(path));
    assert_true(s3_query_parse(query, params, &got.params_count));
    assert_int_equal(check(&got), S3_OK);
    // One character of the text changed: refused, or the same once it is decoded (a2 and A2).
    path = bytes_text(&changed);
    size_t at = draw(changed.len);
    char was = path[at];
    path[at] = (char)('!' + draw(94));
    char now = path[at];
    query = strchr(path, '?');
    if (query != NULL && was != now && (was | 0x20) != (now | 0x20) && was != '?') {
        *query++ = '\0';
        got.path = path;
        if (s3_path_unescape(path) && s3_query_parse(query, params, &got.params_count)) {
            assert_int_not_equal(check(&got), S3_OK);
        }
    }
    bytes_fini(&url);
    bytes_fini(&changed);
}

static void
what_is_signed_is_found_right_and_nothing_else(void **state)
{
    (void)state;
    const struct s3_key session = {.access = key.access,
                                   .secret = key.secret,
                                   .region = "eu-central-1",
                                   .token = "FwoGZXIvYXdzEJr//token=="};
    for (size_t round = 0; round < 5000; round++) {
        struct drawn drawn = {.texts_count = 0};
        draw_request(&drawn);
        check_headers(&drawn, draw(2) == 0 ? &key : &session);
        check_url(&drawn, draw(2) == 0 ? &key : &session);
        for (size_t i = 0; i < drawn.texts_count; i++) {
            free(drawn.texts[i]);
        }
    }
}

// What a server has to refuse, by the name that S3 gives it.
static void
refusals_have_the_names_of_s3(void **state)
{
    (void)state;
    static const struct s3_request get = {.method = "GET", .host = "h", .path = "/b/k"};
    static const struct {
        const char *header;
        const char *value; // NULL: without it
        enum s3_code code;
    } cases[] = {
        {"Authorization", "Basic eDp5", S3_INVALID_REQUEST},
        {"Authorization", "AWS4-HMAC-SHA256 Credential=a", S3_AUTHORIZATION_HEADER_MALFORMED},
        {"Authorization",
         "AWS4-HMAC-SHA256 Credential=a/20130524/r/ec2/aws4_request,SignedHeaders=host,Signature=1",
         S3_AUTHORIZATION_HEADER_MALFORMED},
        {"Authorization", NULL, S3_ACCESS_DENIED},
        {"x-amz-date", NULL, S3_ACCESS_DENIED},
        {"x-amz-date", "20130525T000000Z", S3_AUTHORIZATION_HEADER_MALFORMED},
        {"x-amz-date", "20130524T001501Z", S3_REQUEST_TIME_TOO_SKEWED},
        {"x-amz-date", "20130524T000001Z", S3_SIGNATURE_DOES_NOT_MATCH},
        {"x-amz-content-sha256", NULL, S3_INVALID_REQUEST},
        {"x-amz-content-sha256", "UNSIGNED-PAYLOAD", S3_SIGNATURE_DOES_NOT_MATCH},
        {"x-amz-acl", "public-read", S3_ACCESS_DENIED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sent sent = {.headers_count = 0};
        sign(&key, &get, S3_EMPTY_SHA256, now_s, &sent);
        size_t at = 0;
        while (at < sent.headers_count && strcmp(sent.headers[at].name, cases[i].header) != 0) {
            at++;
        }
        sent.headers_count += at == sent.headers_count ? 1 : 0;
        sent.headers[at] = (struct s3_param){cases[i].header, cases[i].value};
        if (cases[i].value == NULL) {
            sent.headers[at] = sent.headers[--sent.headers_count];
        }
        struct s3_request got = get;
        got.headers = sent.headers;
        got.headers_count = sent.headers_count;
        assert_int_equal(check(&got), cases[i].code);
        forget(&sent);
    }
    const struct s3_key other = {.access = "other", .secret = "x", .region = "r"};
    const struct s3_key wrong = {.access = key.access, .secret = "x", .region = "r"};
    struct sent sent = {.headers_count = 0};
    struct s3_request got = get;
    got.headers = sent.headers;
    sign(&other, &get, S3_EMPTY_SHA256, now_s, &sent);
    got.headers_count = sent.headers_count;
    assert_int_equal(check(&got), S3_INVALID_ACCESS_KEY_ID);
    forget(&sent);
    sign(&wrong, &get, S3_EMPTY_SHA256, now_s, &sent);
    assert_int_equal(check(&got), S3_SIGNATURE_DOES_NOT_MATCH);
    forget(&sent);
}

static void
queries_are_split_and_decoded(void **state)
{
    (void)state;
    struct s3_param params[S3_PARAMS_MAX];
    size_t count = 0;
    char good[] = "a=1&b=%2f%41+&c&=";
    assert_true(s3_query_parse(good, params, &count));
    assert_int_equal(count, 4);
    assert_string_equal(params[1].value, "/A ");
    assert_string_equal(params[2].value, "");
    char nul[] = "a=%00b";
    assert_false(s3_query_parse(nul, params, &count));
    char cut[] = "a=%4";
    assert_false(s3_query_parse(cut, params, &count));
    char many[2 * S3_PARAMS_MAX + 3];
    memset(many, '&', sizeof(many));
    many[sizeof(many) - 1] = '\0';
    assert_false(s3_query_parse(many, params, &count));
    assert_true(s3_query_parse(NULL, params, &count));
    assert_int_equal(count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_example_comes_out),
        cmocka_unit_test(its_own_url_is_good_until_it_expires),
        cmocka_unit_test(every_change_is_denied),
        cmocka_unit_test(the_published_headers_come_out),
        cmocka_unit_test(the_published_chunks_come_out),
        cmocka_unit_test(the_published_trailer_comes_out),
        cmocka_unit_test(what_is_signed_is_found_right_and_nothing_else),
        cmocka_unit_test(refusals_have_the_names_of_s3),
        cmocka_unit_test(queries_are_split_and_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
