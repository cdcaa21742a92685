#include "unit/testing.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/uid.h"

static void
text_and_back(void **state)
{
    (void)state;
    const char *text = "47db1ea8-3531-4bea-a3b2-b29dfbd8b100";
    struct uid uid;
    char again[UID_TEXT_SIZE];
    assert_true(uid_parse(text, 36, &uid));
    uid_format(&uid, again);
    assert_string_equal(again, text);
    struct uid upper;
    assert_true(uid_parse("47DB1EA8-3531-4BEA-A3B2-B29DFBD8B100", 36, &upper));
    assert_true(uid_equal(&uid, &upper));
    assert_int_equal(uid_compare(&uid, &upper), 0);
    assert_true(uid_hash(&uid) == uid_hash(&upper));
}

static void
karton_form_has_the_root_in_braces(void **state)
{
    (void)state; // T1
    const char *text =
        "{47db1ea8-3531-4bea-a3b2-b29dfbd8b100}:11111111-1111-4111-8111-111111111111";
    struct uid uid;
    char again[UID_TEXT_SIZE];
    assert_true(uid_parse(text, strlen(text), &uid));
    uid_format(&uid, again);
    assert_string_equal(again, "11111111-1111-4111-8111-111111111111");
}

static void
other_forms_are_refused(void **state)
{
    (void)state;
    struct uid uid;
    const char *const wrong[] = {"",
                                 "47db1ea8-3531-4bea-a3b2-b29dfbd8b10",
                                 "47db1ea8",
                                 "47db1ea8-3531-4bea-a3b2-b29dfbd8b10g",
                                 "47db1ea835314beaa3b2b29dfbd8b100",
                                 "47db1ea8_3531-4bea-a3b2-b29dfbd8b100",
                                 "47db1ea8-3531-4bea-a3b2-b29dfbd8b1000"};
    for (size_t wrong_index = 0; wrong_index < sizeof wrong / sizeof *wrong; wrong_index++) {
        assert_false(uid_parse(wrong[wrong_index], strlen(wrong[wrong_index]), &uid));
    }
}

static void
random_ones_are_version_4(void **state)
{
    (void)state;
    struct uid a;
    struct uid b;
    uid_random(&a);
    uid_random(&b);
    assert_false(uid_equal(&a, &b));
    assert_int_equal(a.bytes[6] >> 4, 4);
    assert_int_equal(a.bytes[8] >> 6, 2);
    struct uid none = {0};
    assert_true(uid_is_none(&none));
    assert_false(uid_is_none(&a));
}

// Draws are buffered: what a child of fork draws must not be what its parent draws.
static void
a_forked_child_draws_others(void **state)
{
    (void)state;
    struct uid theirs;
    struct uid ours;
    int ends[2];
    uid_random(&ours);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        uid_random(&theirs);
        _exit(write(ends[1], &theirs, sizeof theirs) == (ssize_t)sizeof theirs ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    uid_random(&ours);
    assert_false(uid_equal(&ours, &theirs));
    close(ends[0]);
    close(ends[1]);
}

static void
routed_ones_carry_their_sequence_in_order(void **state)
{
    (void)state;
    const uint64_t store_id = 0x123456789abc;
    const uint64_t sequences[] = {0, 1, 2, 0xff, 0x100, 0xfffff, 0x123456789abcdef0, UINT64_MAX};
    struct uid before = {0};
    for (size_t index = 0; index < sizeof sequences / sizeof *sequences; index++) {
        struct uid uid;
        uint64_t sequence;
        uid_routed(store_id, sequences[index], &uid);
        assert_int_equal(uid.bytes[6] >> 4, 8);
        assert_int_equal(uid.bytes[8] >> 6, 2);
        assert_true(uid_sequence(&uid, store_id, &sequence));
        assert_true(sequence == sequences[index]);
        assert_false(uid_sequence(&uid, store_id + 1, &sequence));
        assert_true(index == 0 || uid_compare(&before, &uid) < 0);
        before = uid;
    }
    uid_random(&before);
    uint64_t sequence;
    assert_false(uid_sequence(&before, store_id, &sequence));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(karton_form_has_the_root_in_braces),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(random_ones_are_version_4),
        cmocka_unit_test(a_forked_child_draws_others),
        cmocka_unit_test(routed_ones_carry_their_sequence_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
