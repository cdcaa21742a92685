// XML: paths and texts of a document, and what is refused in time.
#include "unit/testing.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "object/xml.h"

static bool
note(void *arg, const char *path, const char *text)
{
    bytes_printf(arg, "%s=%s;", path, text);
    return strcmp(text, "stop") != 0;
}

static enum zkt_err
read_text(const char *document, struct bytes *notes, struct problem *problem)
{
    static const struct xml_events events = {.on_end = note};
    bytes_clear(notes);
    return xml_read(span_of_text(document), &events, notes, problem);
}

static void
paths_and_texts_come_out(void **state)
{
    (void)state;
    struct bytes notes = {0};
    struct problem problem;
    assert_int_equal(
        read_text("<?xml version=\"1.0\"?>\n<Delete xmlns=\"http://x/\"><Object><Key>a&amp;"
                  "&#xe4;</Key></Object><s:Quiet xmlns:s=\"u\"> t </s:Quiet></Delete>",
                  &notes, &problem),
        ZKT_OK);
    assert_string_equal(
        bytes_text(&notes),
        "/Delete/Object/Key=a&\xc3\xa4;/Delete/Object=;/Delete/Quiet= t ;/Delete=;");
    bytes_fini(&notes);
}

static void
assert_refused(const char *document, const char *why)
{
    struct bytes notes = {0};
    struct problem problem = {.text = ""};
    assert_int_equal(read_text(document, &notes, &problem), ZKT_INVALID);
    if (strstr(problem.text, why) == NULL) {
        fail_msg("%s: not for \"%s\"", problem.text, why);
    }
    bytes_fini(&notes);
}

static void
what_is_wrong_is_refused(void **state)
{
    (void)state;
    struct bytes deep = {0};
    struct bytes huge = {0};
    for (size_t i = 0; i < 100000; i++) {
        bytes_append_text(&deep, "<a>");
    }
    bytes_append_text(&huge, "<a>");
    for (size_t i = 0; i < XML_TEXT_MAX + 1; i++) {
        bytes_append_text(&huge, "x");
    }
    bytes_append_text(&huge, "</a>");
    assert_refused("", "no element found");
    assert_refused("<a>", "no element found");
    assert_refused("<a></b>", "mismatched tag");
    assert_refused("<a>stop</a><b/>", "does not belong");
    assert_refused("<a>&x;</a>", "undefined entity");
    assert_refused("<a>\xff</a>", "not well-formed");
    assert_refused("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "document type");
    assert_refused("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "document type");
    assert_refused(bytes_text(&deep), "too deep");
    assert_refused(bytes_text(&huge), "too long");
    bytes_reserve(&huge, XML_DOCUMENT_MAX);
    memset(huge.data, ' ', XML_DOCUMENT_MAX + 1);
    huge.len = XML_DOCUMENT_MAX + 1;
    assert_refused(bytes_text(&huge), "more than");
    bytes_fini(&deep);
    bytes_fini(&huge);
}

static void
texts_are_escaped(void **state)
{
    (void)state;
    struct bytes out = {0};
    struct bytes notes = {0};
    struct problem problem;
    xml_element(&out, "Key", "<a>&\"\r\n\x01\xc3\xa4");
    assert_string_equal(bytes_text(&out), "<Key>&lt;a&gt;&amp;&quot;&#13;&#10;?\xc3\xa4</Key>");
    assert_int_equal(read_text(bytes_text(&out), &notes, &problem), ZKT_OK);
    assert_string_equal(bytes_text(&notes), "/Key=<a>&\"\r\n?\xc3\xa4;");
    // One odd key must not make a whole list unreadable.
    bytes_clear(&out);
    xml_element(&out, "Key", "\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf\xed\xa0\x80\xff\xc3");
    assert_int_equal(read_text(bytes_text(&out), &notes, &problem), ZKT_OK);
    assert_string_equal(bytes_text(&notes), "/Key=\xef\xbf\xbd???????;");
    bytes_fini(&out);
    bytes_fini(&notes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_texts_come_out),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(texts_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
