#include "unit/testing.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/scratch.h"

static char *
make_temp(void)
{
    const char *base = getenv("TMPDIR");
    char *temp = xasprintf("%s/zkarton-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(temp));
    return temp;
}

static int
entries_count(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

// A killed process leaves nothing behind the next one, whatever its kind; a living one is spared.
static void
the_dead_are_swept(void **state)
{
    (void)state;
    char *temp = make_temp();
    struct problem problem;
    struct scratch living;
    struct scratch dead;
    struct scratch later;
    assert_int_equal(scratch_open(temp, "exec", &living, &problem), ZKT_OK);
    assert_int_equal(scratch_open(temp, "work", &dead, &problem), ZKT_OK);
    char *deep = xasprintf("%s/deep", dead.path);
    assert_int_equal(mkdir(deep, 0), 0); // one that cannot even be read
    close(dead.lock);                    // as the kernel does for a killed process
    char *foreign = xasprintf("%s/zkarton-other", temp);
    assert_int_equal(mkdir(foreign, 0700), 0);
    assert_int_equal(scratch_open(temp, "work", &later, &problem), ZKT_OK);
    assert_int_equal(access(dead.path, F_OK), -1);
    assert_int_equal(access(living.path, F_OK), 0);
    assert_int_equal(access(foreign, F_OK), 0);
    assert_non_null(strstr(later.path, "/zkarton-work-"));
    free(dead.path);
    scratch_close(&living);
    scratch_close(&later);
    assert_int_equal(entries_count(temp), 1);
    assert_true(tree_remove(temp));
    assert_true(tree_remove(temp)); // gone already
    free(foreign);
    free(deep);
    free(temp);
}

static void
a_missing_place_is_said(void **state)
{
    (void)state;
    struct problem problem;
    struct scratch scratch;
    assert_int_equal(scratch_open("/nonexistent", "work", &scratch, &problem), ZKT_IO);
    assert_non_null(strstr(problem.text, "/nonexistent"));
    assert_null(scratch.path);
    scratch_close(&scratch); // nothing to do
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dead_are_swept),
        cmocka_unit_test(a_missing_place_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
