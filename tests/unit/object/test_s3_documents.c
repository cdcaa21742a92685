// The documents of S3 clients: keys to delete and parts of an upload, and what is refused.
#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include "object/s3_documents.h"

#define DELETE "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"

static void
keys_come_out(void **state)
{
    (void)state;
    struct s3_deletion deletion = {.keys_count = 0};
    struct problem problem;
    assert_int_equal(
        s3_deletion_read(span_of_text(DELETE "<Object><Key>a/b &amp; c</Key><VersionId>null"
                                             "</VersionId></Object><Quiet>true</Quiet><Object>"
                                             "<Key>x</Key></Object></Delete>"),
                         &deletion, &problem),
        ZKT_OK);
    assert_int_equal(deletion.keys_count, 2);
    assert_string_equal(deletion.keys[0], "a/b & c");
    assert_string_equal(deletion.keys[1], "x");
    assert_true(deletion.is_quiet);
    s3_deletion_fini(&deletion);
}

static void
refuse_deletion(const char *document)
{
    struct s3_deletion deletion = {.keys_count = 0};
    struct problem problem = {.text = ""};
    if (s3_deletion_read(span_of_text(document), &deletion, &problem) != ZKT_INVALID) {
        fail_msg("taken: %.200s", document);
    }
    assert_true(problem.text[0] != '\0');
    s3_deletion_fini(&deletion);
}

static void
wrong_deletions_are_refused(void **state)
{
    (void)state;
    struct bytes many = {0};
    bytes_append_text(&many, DELETE);
    for (size_t i = 0; i < S3_KEYS_MAX + 1; i++) {
        bytes_append_text(&many, "<Object><Key>k</Key></Object>");
    }
    bytes_append_text(&many, "</Delete>");
    refuse_deletion(bytes_text(&many));
    bytes_fini(&many);
    refuse_deletion(DELETE "</Delete>");
    refuse_deletion(DELETE "<Object></Object></Delete>");
    refuse_deletion(DELETE "<Object><Key>a</Key></Object><Object/></Delete>");
    refuse_deletion("<DeleteX><Object><Key>a</Key></Object></DeleteX>");
    refuse_deletion(DELETE "<Object><Key>a</Key></Object>");
}

static void
parts_come_out(void **state)
{
    (void)state;
    struct s3_completion completion = {.parts_count = 0};
    struct problem problem;
    assert_int_equal(
        s3_completion_read(span_of_text("<CompleteMultipartUpload><Part><ETag>\"aa\"</ETag>"
                                        "<PartNumber>10000</PartNumber></Part><Part><PartNumber>1"
                                        "</PartNumber><ETag>bb</ETag></Part>"
                                        "</CompleteMultipartUpload>"),
                           &completion, &problem),
        ZKT_OK);
    assert_int_equal(completion.parts_count, 2);
    assert_int_equal(completion.parts[0].number, 10000);
    assert_string_equal(completion.parts[0].etag, "\"aa\"");
    assert_int_equal(completion.parts[1].number, 1);
    assert_string_equal(completion.parts[1].etag, "bb");
    s3_completion_fini(&completion);
}

static void
wrong_completions_are_refused(void **state)
{
    (void)state;
    // 2^32 + 1 is not part 1.
    static const char *const numbers[] = {"0", "10001", "4294967297", "-1", "1x",     "+1",
                                          "",  "1.0",   "0x1",        " 1", "000001", "<b/>"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct s3_completion completion = {.parts_count = 0};
        struct problem problem = {.text = ""};
        struct bytes document = {0};
        bytes_printf(&document,
                     "<CompleteMultipartUpload><Part><PartNumber>%s</PartNumber><ETag>aa</ETag>"
                     "</Part></CompleteMultipartUpload>",
                     numbers[i]);
        if (s3_completion_read(bytes_span(&document), &completion, &problem) != ZKT_INVALID) {
            fail_msg("taken: part number \"%s\"", numbers[i]);
        }
        s3_completion_fini(&completion);
        bytes_fini(&document);
    }
    struct s3_completion completion = {.parts_count = 0};
    struct problem problem = {.text = ""};
    assert_int_equal(
        s3_completion_read(span_of_text("<CompleteMultipartUpload/>"), &completion, &problem),
        ZKT_INVALID);
    s3_completion_fini(&completion);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_out),
        cmocka_unit_test(wrong_deletions_are_refused),
        cmocka_unit_test(parts_come_out),
        cmocka_unit_test(wrong_completions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
