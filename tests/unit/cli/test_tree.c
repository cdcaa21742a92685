// The drawing of an analysis.
#include "unit/testing.h"

#include "tree.h"

static void
add(struct tree *tree, const char *json)
{
    zkt_value_t *row = zkt_value_from_json(json);
    assert_non_null(row);
    tree_add(tree, row);
    zkt_value_destroy(&row);
}

static void
tasks_hang_below_their_parents(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct bytes out = {0};
    add(tree, "{\"uid\": \"1\", \"parent\": null, \"identity\": \"k.classifier\", \"state\": "
              "\"Finished\", \"started_ms\": 1000, \"changed_ms\": 1003, \"headers\": {\"type\": "
              "\"sample\", \"origin\": \"x\"}, \"resources\": [{\"uid\": \"r1\", \"name\": "
              "\"pair.zip\", \"size\": 1434}]}");
    add(tree, "{\"uid\": \"3\", \"parent\": \"1\", \"identity\": \"k.extractor\", \"state\": "
              "\"Finished\", \"started_ms\": 1004, \"changed_ms\": 1016, \"headers\": {}, "
              "\"resources\": [{\"uid\": \"r1\", \"name\": \"pair.zip\", \"size\": 1434}]}");
    add(tree, "{\"uid\": \"2\", \"parent\": \"1\", \"identity\": \"k.hash\", \"state\": "
              "\"Crashed\", \"started_ms\": 1004, \"changed_ms\": 1008, \"headers\": {}, "
              "\"error\": \"exit status 9\\nfoo\\nunzip: bad\\n\"}");
    add(tree, "{\"uid\": \"4\", \"parent\": \"3\", \"identity\": \"k.classifier\", \"state\": "
              "\"Started\", \"started_ms\": 1017, \"changed_ms\": 1017, \"headers\": {\"n\": 1}, "
              "\"resources\": [{\"uid\": \"r2\", \"name\": \"dot.png\", \"size\": 120}]}");
    tree_note(tree, "{root}:3", "1 file");
    tree_note(tree, "unknown", "nobody");
    assert_int_equal(tree_len(tree), 4);
    tree_render(tree, "ROOT", false, &out);
    assert_string_equal(bytes_text(&out),
                        "pair.zip  1.4 KiB  analysis ROOT  running  4 tasks  17 ms\n"
                        "└─ k.classifier          Finished     3 ms  type=sample\n"
                        "   ├─ k.hash             Crashed      4 ms  exit status 9: unzip: bad\n"
                        "   └─ k.extractor        Finished    12 ms  1 file\n"
                        "      └─ dot.png  120 B\n"
                        "         └─ k.classifier Started            n:=1\n");
    tree_destroy(&tree);
    bytes_fini(&out);
}

static void
texts_of_tasks_are_made_safe(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct bytes out = {0};
    add(tree, "{\"uid\": \"1\", \"parent\": \"1\", \"identity\": \"k\", \"state\": \"Finished\", "
              "\"headers\": {\"x\": \"\\u001b[2J\"}}");
    tree_render(tree, "R", true, &out);
    assert_string_equal(bytes_text(&out), "analysis R  done  1 task\n"
                                          "└─ k Finished           x=\\x1b[2J\n");
    tree_destroy(&tree);
    bytes_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_hang_below_their_parents),
        cmocka_unit_test(texts_of_tasks_are_made_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
