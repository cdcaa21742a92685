// Signature Version 4: AWS's published example, and what a changed URL meets.
#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include "object/s3_sign.h"

// "Example: Authenticating Requests: Using Query Parameters" of the S3 API reference.
static const struct s3_key key = {
    .access = "AKIAIOSFODNN7EXAMPLE",
    .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
};
static const int64_t now_s = 1369353600; // 20130524T000000Z

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
        err = s3_verify(&key, &request, at_s, problem);
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
        cmocka_unit_test(queries_are_split_and_decoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
