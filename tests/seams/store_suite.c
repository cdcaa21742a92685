// One suite over every store: the promises of store.h, over records in memory, over the same ones
// delayed and reordered as a remote store's would be, and over LMDB.
#include "seams/store_suite.h"

enum { CASES_MAX = 64 };

static int
setup(void **state)
{
    *state = bench_new(*(enum bench_kind *)*state);
    return 0;
}

static int
teardown(void **state)
{
    bench_destroy((struct bench **)state);
    return 0;
}

int
main(void)
{
    static enum bench_kind kinds[] = {BENCH_MEM, BENCH_MEM_DELAYED, BENCH_LMDB};
    static const char *const names[] = {"store on memory", "store on delayed memory",
                                        "store on LMDB"};
    static const struct store_case *const subjects[] = {store_queues_cases,  store_children_cases,
                                                        store_drops_cases,   store_restart_cases,
                                                        store_objects_cases, store_pages_cases};
    int failed_count = 0;
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        struct CMUnitTest tests[CASES_MAX];
        size_t tests_count = 0;
        for (size_t subject = 0; subject < sizeof subjects / sizeof *subjects; subject++) {
            for (const struct store_case *at = subjects[subject]; at->name != NULL; at++) {
                assert_true(tests_count < CASES_MAX);
                tests[tests_count++] =
                    (struct CMUnitTest){at->name, at->test, setup, teardown, &kinds[index]};
            }
        }
        failed_count += _cmocka_run_group_tests(names[index], tests, tests_count, NULL, NULL);
    }
    return failed_count;
}
