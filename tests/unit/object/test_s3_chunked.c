// Bodies in aws-chunked: AWS's published examples in pieces of every size, and what is refused.
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "object/s3_checksum.h"
#include "object/s3_chunked.h"

static const char secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

static const char *
secret_of(void *arg, const char *access)
{
    (void)arg;
    return strcmp(access, "AKIAIOSFODNN7EXAMPLE") == 0 ? secret : NULL;
}

// The seed of the published request, found by checking its headers.
static void
seed_of(const struct s3_param *headers, size_t count, struct s3_verified *seed)
{
    const struct s3_request put = {.method = "PUT",
                                   .host = "s3.amazonaws.com",
                                   .path = "/examplebucket/chunkObject.txt",
                                   .headers = headers,
                                   .headers_count = count};
    const struct s3_keys keys = {.secret_of = secret_of};
    struct problem problem = {.text = ""};
    assert_int_equal(s3_verify(&keys, &put, 1369353600, seed, &problem), S3_OK);
}

static void
plain_seed(struct s3_verified *seed)
{
    const struct s3_param headers[] = {
        {"content-encoding", "aws-chunked"},
        {"content-length", "66824"},
        {"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-decoded-content-length", "66560"},
        {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
        {"Authorization",
         "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
         "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
         "x-amz-decoded-content-length;x-amz-storage-class,"
         "Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"}};
    seed_of(headers, 7, seed);
}

static void
trailer_seed(struct s3_verified *seed)
{
    const struct s3_param headers[] = {
        {"content-encoding", "aws-chunked"},
        {"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-decoded-content-length", "66560"},
        {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
        {"x-amz-trailer", "x-amz-checksum-crc32c"},
        {"Authorization",
         "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
         "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;"
         "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer, "
         "Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"}};
    seed_of(headers, 7, seed);
}

static void
append_chunk(struct bytes *body, size_t len, const char *signature)
{
    bytes_printf(body, "%zx", len);
    if (signature != NULL) {
        bytes_printf(body, ";chunk-signature=%s", signature);
    }
    bytes_append_text(body, "\r\n");
    for (size_t i = 0; i < len; i++) {
        bytes_append_byte(body, 'a');
    }
    if (len > 0) {
        bytes_append_text(body, "\r\n");
    }
}

static void
plain_body(struct bytes *body)
{
    append_chunk(body, 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    append_chunk(body, 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    append_chunk(body, 0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    bytes_append_text(body, "\r\n");
}

static void
trailer_body(struct bytes *body)
{
    append_chunk(body, 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2");
    append_chunk(body, 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7");
    append_chunk(body, 0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992");
    bytes_append_text(body, "x-amz-checksum-crc32c:sOO8/Q==\r\n");
    bytes_append_text(body, "x-amz-trailer-signature:"
                            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n");
    bytes_append_text(body, "\r\n");
}

static enum s3_code
take(void *arg, const void *data, size_t len, struct problem *problem)
{
    (void)problem;
    bytes_append(arg, data, len);
    return S3_OK;
}

// Feeds the body in steps; the decoded bytes are in out.
static enum s3_code
decode(struct s3_chunked *chunked, const struct bytes *body, size_t step, struct bytes *out)
{
    struct problem problem = {.text = ""};
    enum s3_code code = S3_OK;
    bytes_clear(out);
    for (size_t at = 0; code == S3_OK && at < body->len; at += step) {
        size_t len = body->len - at < step ? body->len - at : step;
        code = s3_chunked_feed(chunked, body->data + at, len, take, out, &problem);
    }
    return code == S3_OK ? s3_chunked_end(chunked, &problem) : code;
}

static void
the_published_bodies_are_decoded(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 7, 1000, 65536, 1000000};
    struct s3_verified seeds[2];
    struct bytes bodies[2] = {{0}, {0}};
    struct bytes out = {0};
    plain_seed(&seeds[0]);
    trailer_seed(&seeds[1]);
    plain_body(&bodies[0]);
    trailer_body(&bodies[1]);
    assert_int_equal(bodies[0].len, 66824);
    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 0; n < sizeof(steps) / sizeof(steps[0]); n++) {
            struct s3_chunked *chunked = s3_chunked_new(&seeds[i], 66560);
            assert_int_equal(decode(chunked, &bodies[i], steps[n], &out), S3_OK);
            assert_int_equal(out.len, 66560);
            assert_true(out.data[0] == 'a' && out.data[66559] == 'a');
            if (i == 1) {
                struct s3_checksum *crc = s3_checksum_new("x-amz-checksum-crc32c");
                char text[S3_CHECKSUM_TEXT_SIZE];
                s3_checksum_update(crc, out.data, out.len);
                s3_checksum_text(crc, text);
                assert_string_equal(text, s3_chunked_trailer(chunked, "x-amz-checksum-crc32c"));
                s3_checksum_destroy(&crc);
            }
            s3_chunked_destroy(&chunked);
        }
    }
    bytes_fini(&bodies[0]);
    bytes_fini(&bodies[1]);
    bytes_fini(&out);
}

// One byte changed anywhere is found, and so is every cut.
static void
every_change_is_found(void **state)
{
    (void)state;
    struct s3_verified seed;
    struct bytes body = {0};
    struct bytes out = {0};
    trailer_seed(&seed);
    trailer_body(&body);
    for (size_t at = 0; at<body.len; at += at> 200 && at < body.len - 700 ? 997 : 1) {
        uint8_t was = body.data[at];
        if (was == '\r') {
            continue; // may be missing before a line's end
        }
        struct s3_chunked *chunked = s3_chunked_new(&seed, 66560);
        body.data[at] = was == 'Z' ? 'Y' : 'Z';
        assert_int_not_equal(decode(chunked, &body, 4096, &out), S3_OK);
        body.data[at] = was;
        s3_chunked_destroy(&chunked);
        chunked = s3_chunked_new(&seed, 66560);
        struct bytes cut = {.data = body.data, .len = at};
        assert_int_not_equal(decode(chunked, &cut, 4096, &out), S3_OK);
        s3_chunked_destroy(&chunked);
    }
    bytes_fini(&body);
    bytes_fini(&out);
}

// Their signature is the last of the trailing headers: what comes behind it nobody has signed.
static void
nothing_comes_behind_the_signature(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "x-amz-checksum-crc32:AAAAAA==\r\n",
        "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e87"
        "30629a2e4a59689829ca17fe2e435\r\n"};
    struct s3_verified seed;
    struct bytes out = {0};
    trailer_seed(&seed);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct s3_chunked *chunked = s3_chunked_new(&seed, 66560);
        struct bytes body = {0};
        trailer_body(&body);
        body.len -= 2;
        bytes_append_text(&body, lines[i]);
        bytes_append_text(&body, "\r\n");
        assert_int_equal(decode(chunked, &body, 4096, &out), S3_INVALID_REQUEST);
        s3_chunked_destroy(&chunked);
        bytes_fini(&body);
    }
    bytes_fini(&out);
}

static enum s3_code
decode_unsigned(const char *text, int64_t size)
{
    struct s3_verified seed = {.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"};
    struct s3_chunked *chunked = s3_chunked_new(&seed, size);
    struct bytes body = {0};
    struct bytes out = {0};
    bytes_append_text(&body, text);
    enum s3_code code = decode(chunked, &body, 3, &out);
    s3_chunked_destroy(&chunked);
    bytes_fini(&body);
    bytes_fini(&out);
    return code;
}

static void
unsigned_chunks_are_decoded(void **state)
{
    (void)state;
    assert_int_equal(decode_unsigned("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", 5),
                     S3_OK);
    assert_int_equal(decode_unsigned("0\r\n\r\n", 0), S3_OK);
    assert_int_equal(decode_unsigned("5\r\nhello\r\n0\r\n\r\n", 6), S3_INCOMPLETE_BODY);
    assert_int_equal(decode_unsigned("6\r\nhello!\r\n0\r\n\r\n", 5), S3_INCOMPLETE_BODY);
    assert_int_equal(decode_unsigned("5\r\nhello!\r\n0\r\n\r\n", 5), S3_INVALID_REQUEST);
    assert_int_equal(decode_unsigned("x\r\n", 5), S3_INVALID_REQUEST);
    assert_int_equal(decode_unsigned("-1\r\n", 5), S3_INVALID_REQUEST);
    assert_int_equal(decode_unsigned("ffffffffffffffffff\r\n", 5), S3_INVALID_REQUEST);
    assert_int_equal(decode_unsigned("0\r\n\r\nmore\r\n", 0), S3_INVALID_REQUEST);
    assert_int_equal(decode_unsigned("0\r\nno colon\r\n\r\n", 0), S3_INVALID_REQUEST);
}

static void
checksums_have_their_published_values(void **state)
{
    (void)state;
    static const char *const wanted[][2] = {{"x-amz-checksum-crc32", "y/Q5Jg=="},
                                            {"X-Amz-Checksum-Crc32c", "4waSgw=="},
                                            {"x-amz-checksum-crc64nvme", "rosUhgp5mIg="}};
    for (size_t i = 0; i < 3; i++) {
        struct s3_checksum *checksum = s3_checksum_new(wanted[i][0]);
        char text[S3_CHECKSUM_TEXT_SIZE];
        s3_checksum_update(checksum, "1234", 4);
        s3_checksum_update(checksum, "56789", 5);
        s3_checksum_text(checksum, text);
        assert_string_equal(text, wanted[i][1]);
        s3_checksum_destroy(&checksum);
    }
    assert_null(s3_checksum_new("x-amz-checksum-other"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_bodies_are_decoded),
        cmocka_unit_test(every_change_is_found),
        cmocka_unit_test(nothing_comes_behind_the_signature),
        cmocka_unit_test(unsigned_chunks_are_decoded),
        cmocka_unit_test(checksums_have_their_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
