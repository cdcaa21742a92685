#include "unit/testing.h"

#include <string.h>

#include "base/limits.h"
#include "model/task.h"

static void
names_and_back(void **state)
{
    (void)state; // S9, S20
    for (int number = 0; number < PRIORITIES_COUNT; number++) {
        enum priority priority;
        const char *name = priority_name((enum priority)number);
        assert_true(priority_parse(span_of_text(name), &priority));
        assert_int_equal(priority, number);
    }
    for (int number = 0; number < TASK_STATES_COUNT; number++) {
        enum task_state task_state;
        const char *name = task_state_name((enum task_state)number);
        assert_true(task_state_parse(span_of_text(name), &task_state));
        assert_int_equal(task_state, number);
    }
    enum priority priority;
    enum task_state task_state;
    assert_false(priority_parse(span_of_text("urgent"), &priority));
    assert_false(priority_parse(span_of_text("High"), &priority));
    assert_false(task_state_parse(span_of_text("finished"), &task_state));
    assert_false(task_state_parse(span_of_text(""), &task_state));
}

static void
check(const char *identity, bool empty_allowed, const char *expected)
{
    struct problem problem = {.code = ZKT_OK};
    enum zkt_err err = identity_check(span_of_text(identity), empty_allowed, &problem);
    assert_int_equal(err, expected == NULL ? ZKT_OK : ZKT_IDENTITY_INVALID);
    if (expected != NULL) {
        assert_string_equal(problem.text, expected);
    }
}

static void
identities(void **state)
{
    (void)state; // P13
    check("karton.classifier", false, NULL);
    check("żółw-7/x:y", false, NULL);
    check("", true, NULL);
    check("", false, "identity is empty. Write a name like my.service");
    check("my service", false,
          "identity \"my service\": space and \"?\" are not allowed. Write my.service");
    check("a?", true, "identity \"a?\": space and \"?\" are not allowed. Write my.service");
    check("a\tb", false, "identity has the control character 0x09 at byte 1");
    check("a\x7f", false, "identity has the control character 0x7f at byte 1");
    check("\xff", false, "identity is not valid UTF-8");
    check("\xed\xa0\x80", false, "identity is not valid UTF-8");
    char name[LIMIT_IDENTITY_BYTES + 2];
    memset(name, 'x', sizeof name);
    name[LIMIT_IDENTITY_BYTES] = '\0';
    check(name, false, NULL);
    name[LIMIT_IDENTITY_BYTES] = 'x';
    name[LIMIT_IDENTITY_BYTES + 1] = '\0';
    check(name, false, "identity has 256 bytes, limit 255");
    assert_int_equal(identity_check(span_of("a\0b", 3), false, NULL), ZKT_IDENTITY_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_back),
        cmocka_unit_test(identities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
