// Tasks, values and words by the public API (A1-A5, S20, T1-T5).
#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zkarton.h>

#include "handles.h"

static void
assert_json(const zkt_value_t *value, const char *expected)
{
    char *json = zkt_value_json(value);
    assert_string_equal(json, expected);
    free(json);
}

static void
test_words(void **state)
{
    (void)state;
    zkt_task_t *task = zkt_task_new("type=sample n:=3 k:=\"a b\" l:=[1, {\"x y\": \"] \"}] "
                                    "empty= url=http://h/?a=b a:b=c\tz=!raw");
    assert_null(zkt_task_error(task));
    assert_json(zkt_task_headers(task),
                "{\"type\": \"sample\", \"n\": 3, \"k\": \"a b\", \"l\": [1, {\"x y\": \"] \"}], "
                "\"empty\": \"\", \"url\": \"http://h/?a=b\", \"a:b\": \"c\", \"z\": \"!raw\"}");
    assert_string_equal(zkt_task_header(task, "type"), "sample");
    assert_null(zkt_task_header(task, "n"));
    assert_int_equal(zkt_value_int(zkt_task_header_value(task, "n"), 0), 3);
    zkt_task_destroy(&task);
    assert_null(task);

    static const char *const wrong[] = {"type:sample", "=x",        ":=1", "n:={",
                                        "type",        "{\"a\": }", "[1]"};
    for (size_t word_index = 0; word_index < sizeof wrong / sizeof *wrong; word_index++) {
        task = zkt_task_new(wrong[word_index]);
        assert_non_null(zkt_task_error(task));
        zkt_task_destroy(&task);
    }
    task = zkt_task_new("type:sample");
    assert_string_equal(zkt_task_error(task), "\"type:sample\" is not KEY=VALUE. Write "
                                              "type:sample=VALUE, or KEY:=JSON.");
    zkt_task_destroy(&task);
    task = zkt_task_new(" {\"type\": \"sample\"} ");
    assert_string_equal(zkt_task_header(task, "type"), "sample");
    zkt_task_destroy(&task);
}

static void
assert_filters(const char *const *filters, const char *expected)
{
    struct arena arena;
    struct value value;
    struct problem problem;
    arena_init(&arena);
    assert_int_equal(filters_parse(filters, ZKT_FILTERS_MAX, &arena, &value, &problem), ZKT_OK);
    assert_json(value_public(&value), expected);
    arena_fini(&arena);
}

static void
test_filter_words(void **state)
{
    (void)state;
    static const char *const two[ZKT_FILTERS_MAX] = {"type=sample kind=!raw",
                                                     "{\"a\": {\"$not\": 1}}"};
    static const char *const nothing[ZKT_FILTERS_MAX] = {"[]"};
    static const char *const nothing_either[ZKT_FILTERS_MAX] = {"{}"};
    static const char *const everything[ZKT_FILTERS_MAX] = {"[{}]"};
    assert_filters(two, "[{\"type\": \"sample\", \"kind\": \"!raw\"}, {\"a\": {\"$not\": 1}}]");
    assert_filters(nothing, "[]"); // S18
    assert_filters(nothing_either, "[]");
    assert_filters(everything, "[{}]"); // F1
    struct arena arena;
    struct value value;
    struct problem problem;
    arena_init(&arena);
    static const char *const none[ZKT_FILTERS_MAX] = {NULL};
    assert_int_equal(filters_parse(none, ZKT_FILTERS_MAX, &arena, &value, &problem),
                     ZKT_FILTER_INVALID);
    static const char *const bad[ZKT_FILTERS_MAX] = {"a=b", "kind"};
    assert_int_equal(filters_parse(bad, ZKT_FILTERS_MAX, &arena, &value, &problem),
                     ZKT_FILTER_INVALID);
    assert_non_null(strstr(problem.text, "filters[1]: \"kind\" is not KEY=VALUE"));
    arena_fini(&arena);
}

static void
test_payload(void **state)
{
    (void)state;
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_task_set_string(task, "s", "text");
    zkt_task_set_int(task, "i", -5);
    zkt_task_set_double(task, "d", 0.5);
    zkt_task_set_bool(task, "b", true);
    zkt_task_set_json(task, "j", "{\"list\": [1, {\"x\": NaN}]}");
    zkt_value_t *list = zkt_value_list();
    zkt_value_t *item = zkt_value_from_json("\"one\"");
    zkt_value_append(list, &item);
    assert_null(item);
    zkt_value_t *map = zkt_value_map();
    zkt_value_put(map, "inner", &list);
    zkt_task_set_value(task, "v", &map);
    assert_null(map);
    assert_null(zkt_task_error(task));
    assert_string_equal(zkt_value_string(zkt_task_payload(task, "v.inner.0"), ""), "one");
    assert_true(isnan(zkt_value_double(zkt_task_payload(task, "j.list.1.x"), 0)));
    assert_int_equal(zkt_value_int(zkt_task_payload(task, "s"), 7), 7); // wrong type: the fallback
    assert_null(zkt_task_payload(task, "nothing.there"));
    zkt_task_persist(task, "i");
    assert_int_equal(zkt_value_int(zkt_task_payload(task, "i"), 0), -5);
    assert_json(zkt_task_persistent_map(task), "{\"i\": -5}");
    zkt_task_set_int(task, "i", 6); // stays where it is
    assert_json(zkt_task_persistent_map(task), "{\"i\": 6}");
    assert_null(zkt_task_error(task));
    zkt_task_persist(task, "missing");
    assert_non_null(strstr(zkt_task_error(task), "missing"));
    zkt_task_set_json(task, "j", "{"); // the first mistake sticks
    assert_non_null(strstr(zkt_task_error(task), "missing"));
    zkt_task_destroy(&task);
}

static void
test_values_accept_nothing(void **state)
{
    (void)state;
    assert_int_equal(zkt_value_type(NULL), ZKT_NULL);
    assert_int_equal(zkt_value_int(NULL, 4), 4);
    assert_string_equal(zkt_value_string(NULL, "f"), "f");
    assert_int_equal(zkt_value_len(NULL), 0);
    assert_null(zkt_value_at(NULL, 0));
    assert_null(zkt_value_get(NULL, "a"));
    assert_null(zkt_value_key(NULL, 0));
    assert_null(zkt_value_from_json("{"));
    assert_null(zkt_value_from_json(NULL));
    zkt_value_t *none = NULL;
    zkt_value_append(NULL, &none);
    zkt_value_t *item = zkt_value_map();
    zkt_value_append(NULL, &item); // dropped, not leaked
    assert_null(item);
    zkt_value_t *big = zkt_value_from_json("123456789012345678901234567890"); // T3
    assert_int_equal(zkt_value_type(big), ZKT_BIGINT);
    assert_string_equal(zkt_value_string(big, ""), "123456789012345678901234567890");
    zkt_value_destroy(&big);
}

static void
test_derive(void **state)
{
    (void)state;
    zkt_task_t *task = zkt_task_new("type=sample kind=raw quality=high"); // A2
    zkt_task_persist_header(task, "quality");
    zkt_task_set_data(task, "sample", "a.bin", "abc", 3);
    zkt_task_set_int(task, "level", 2);
    zkt_task_persist(task, "level");
    zkt_task_set_priority(task, ZKT_HIGH);
    zkt_task_t *derived = zkt_task_derive(task, "type=sample stage=recognized");
    assert_json(zkt_task_headers(derived),
                "{\"type\": \"sample\", \"stage\": \"recognized\", \"quality\": \"high\"}");
    assert_ptr_equal(zkt_task_resource(derived, "sample"), zkt_task_resource(task, "sample"));
    assert_json(zkt_task_persistent_map(derived), "{\"level\": 2}");
    assert_int_equal(zkt_task_priority(derived), ZKT_NORMAL);
    assert_null(zkt_task_parent_uid(derived));
    assert_string_not_equal(zkt_task_uid(derived), zkt_task_uid(task));
    assert_string_equal(zkt_task_root_uid(derived), zkt_task_uid(derived));
    zkt_task_destroy(&task); // the derived one holds what it needs
    assert_string_equal(zkt_resource_name(zkt_task_resource(derived, "sample")), "a.bin");
    zkt_task_destroy(&derived);
}

// A3: the parent's persistent bags win over the child's, and remove a plain key of that name.
static void
test_inherit(void **state)
{
    (void)state;
    zkt_task_t *parent = zkt_task_new("quality=high origin=x");
    zkt_task_persist_header(parent, "quality");
    zkt_task_set_string(parent, "uploader", "ps");
    zkt_task_persist(parent, "uploader");
    zkt_task_set_priority(parent, ZKT_HIGH);
    zkt_task_t *child = zkt_task_new("quality=low own=1");
    zkt_task_persist_header(child, "own");
    zkt_task_set_string(child, "uploader", "child");
    zkt_task_set_string(child, "plain", "p");
    zkt_task_set_int(child, "mine", 1);
    zkt_task_persist(child, "mine");
    zkt_task_set_priority(child, ZKT_LOW);
    task_inherit(child, parent);
    assert_json(zkt_task_headers(child), "{\"quality\": \"high\", \"own\": \"1\"}");
    assert_json(zkt_task_payload_map(child), "{\"plain\": \"p\"}");
    assert_json(zkt_task_persistent_map(child), "{\"mine\": 1, \"uploader\": \"ps\"}");
    assert_string_equal(zkt_task_parent_uid(child), zkt_task_uid(parent));
    assert_string_equal(zkt_task_root_uid(child), zkt_task_root_uid(parent));
    assert_int_equal(zkt_task_priority(child), ZKT_HIGH); // S21
    assert_int_equal(child->model.header_keys.len, 2);
    zkt_task_destroy(&parent);
    zkt_task_destroy(&child);
}

static const char DOCUMENT[] =
    "{\"error\": null, \"headers\": {\"kind\": \"raw\", \"quality\": \"high\"},"
    " \"headers_persistent\": {\"quality\": \"high\"}, \"priority\": \"high\","
    " \"uid\": \"{47db1ea8-3531-4bea-a3b2-b29dfbd8b100}:47db1ea8-3531-4bea-a3b2-b29dfbd8b100\","
    " \"payload\": {\"n\": 3, \"list\": [{\"__karton_resource__\": {\"bucket\": \"karton\","
    " \"flags\": [\"Directory\"], \"metadata\": {\"a\": 1, \"sha256\":"
    " \"9b8db510ef42b8ed54a3712636fda55a4f8cfcd5493e20b74ab00cd4f3979f2d\"}, \"name\": \"s.exe\","
    " \"size\": 2, \"uid\": \"11111111-1111-4111-8111-111111111111\"}}],"
    " \"sample\": {\"x\": 1, \"__karton_resource__\": {\"uid\":"
    " \"11111111-1111-4111-8111-111111111111\"}}},"
    " \"payload_persistent\": {\"__headers_persistent\": {\"quality\": \"high\"},"
    " \"uploader\": \"ps\"}, \"unknown\": 1}";

static void
test_documents(void **state)
{
    (void)state;
    zkt_task_t *task = zkt_task_from_json(DOCUMENT);
    assert_null(zkt_task_error(task));
    assert_int_equal(zkt_task_priority(task), ZKT_HIGH);
    assert_int_equal(zkt_task_resources_count(task), 1); // twice the same (C4)
    const zkt_resource_t *resource = zkt_task_resource(task, "list.0");
    assert_ptr_equal(zkt_task_resource(task, "sample"), resource); // T2: beside other keys
    assert_true(zkt_resource_is_directory(resource));
    assert_int_equal(zkt_resource_size(resource), 2);
    assert_string_equal(zkt_resource_sha256(resource),
                        "9b8db510ef42b8ed54a3712636fda55a4f8cfcd5493e20b74ab00cd4f3979f2d");
    assert_json(zkt_resource_metadata(resource), "{\"a\": 1}");
    assert_json(zkt_task_persistent_map(task), "{\"uploader\": \"ps\"}"); // T4
    char *json = zkt_task_json(task, 0);
    zkt_value_t *document = zkt_value_from_json(json);
    free(json);
    assert_json(zkt_value_get(document, "headers_persistent"), "{\"quality\": \"high\"}");
    assert_json(zkt_value_get(document, "payload_persistent.__headers_persistent"),
                "{\"quality\": \"high\"}");
    assert_string_equal(
        zkt_value_string(zkt_value_get(document, "payload.sample.__karton_resource__.name"), ""),
        "s.exe");
    assert_string_equal(zkt_value_string(zkt_value_get(document, "status"), ""), "Declared");
    assert_int_equal(zkt_value_len(zkt_value_get(document, "uid")), 36 + 2 + 1 + 36);
    zkt_value_destroy(&document);
    zkt_task_destroy(&task);
    static const char *const wrong[] = {"", "[]", "{\"headers\": 1}", "{\"priority\": \"urgent\"}",
                                        "{\"payload\": {\"r\": {\"__karton_resource__\": {}}}}"};
    for (size_t json_index = 0; json_index < sizeof wrong / sizeof *wrong; json_index++) {
        task = zkt_task_from_json(wrong[json_index]);
        assert_non_null(zkt_task_error(task));
        zkt_task_destroy(&task);
    }
}

// What is packed comes back, resources as references, each once, only those in use.
static void
test_pack_and_load(void **state)
{
    (void)state;
    struct problem problem;
    zkt_task_t *task = zkt_task_new("type=sample");
    zkt_task_set_data(task, "unused", "u", "x", 1);
    zkt_task_set_int(task, "unused", 1);
    zkt_task_set_data(task, "sample", "s", "abc", 3);
    zkt_task_set_resource(task, "again", zkt_task_resource(task, "sample"));
    assert_int_equal(task_pack(task, &problem), ZKT_OK);
    assert_int_equal(task->model.resources_count, 1);
    struct zkt_task loaded;
    task_init(&loaded);
    loaded.model = task->model;
    assert_int_equal(zkt_task_resources_count(&loaded), 1);
    const zkt_resource_t *resource = zkt_task_resource(&loaded, "sample");
    assert_non_null(resource);
    assert_ptr_equal(zkt_task_resource(&loaded, "again"), resource);
    assert_string_equal(zkt_resource_uid(resource),
                        zkt_resource_uid(zkt_task_resource(task, "sample")));
    assert_int_equal(zkt_value_int(zkt_task_payload(&loaded, "unused"), 0), 1);
    task_fini(&loaded);
    zkt_task_destroy(&task);
}

static void
test_limits(void **state)
{
    (void)state;
    struct problem problem;
    zkt_task_t *task = zkt_task_new("type=sample");
    char *text = malloc(300 << 10);
    memset(text, 'h', 300 << 10);
    text[(300 << 10) - 1] = '\0';
    zkt_task_set_header(task, "big", text);
    free(text);
    assert_int_equal(task_pack(task, &problem), ZKT_TOO_LARGE);
    assert_non_null(strstr(problem.text, "headers are 300 KiB, limit 256 KiB"));
    zkt_task_destroy(&task);
    task = zkt_task_new("type=sample");
    zkt_value_t *deep = zkt_value_list();
    for (int depth = 0; depth < 100; depth++) {
        zkt_value_t *outer = zkt_value_list();
        zkt_value_append(outer, &deep);
        deep = outer;
    }
    zkt_task_set_value(task, "deep", &deep);
    assert_int_equal(task_pack(task, &problem), ZKT_TOO_LARGE);
    assert_non_null(strstr(problem.text, "nested deeper than"));
    zkt_task_destroy(&task);
    // Of a document, whose resources nobody has looked at yet.
    static const char *const members[] = {"name", "bucket", "metadata"};
    char *document = malloc(400 << 10);
    for (size_t index = 0; index < 3; index++) {
        bool is_map = index == 2;
        snprintf(document, 400 << 10,
                 "{\"headers\": {}, \"payload\": {\"r\": {\"__karton_resource__\": {\"uid\":"
                 " \"11111111-1111-4111-8111-111111111111\", \"%s\": %s\"%0*d\"%s}}}}",
                 members[index], is_map ? "{\"m\": " : "", is_map ? 300 << 10 : 70000, 0,
                 is_map ? "}" : "");
        task = zkt_task_from_json(document);
        assert_null(zkt_task_error(task));
        assert_int_equal(task_pack(task, &problem), ZKT_TOO_LARGE);
        assert_non_null(strstr(problem.text, members[index]));
        zkt_task_destroy(&task);
    }
    free(document);
    task = zkt_task_new("type=sample");
    zkt_task_set_string(task, "bytes", "\xff\xfe");
    assert_non_null(strstr(zkt_task_error(task), "not UTF-8"));
    zkt_task_destroy(&task);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),     cmocka_unit_test(test_filter_words),
        cmocka_unit_test(test_payload),   cmocka_unit_test(test_values_accept_nothing),
        cmocka_unit_test(test_derive),    cmocka_unit_test(test_inherit),
        cmocka_unit_test(test_documents), cmocka_unit_test(test_pack_and_load),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
