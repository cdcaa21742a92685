// The ring of finished analyses against what it should remember: the newest completion of each of
// the last `capacity`.
#include "unit/testing.h"

#include <string.h>

#include "base/bytes.h"
#include "store/local/done_ring.h"

enum { CAPACITY = 64, ROOTS = 40, PUTS = 5000 };

static struct uid
root_of(uint64_t number)
{
    struct uid root = {0};
    put_u64(root.bytes, number * 0x9e3779b97f4a7c15);
    put_u64(root.bytes + 8, number);
    return root;
}

static void
the_last_ones_are_found(void **state)
{
    (void)state;
    struct done_ring ring;
    done_ring_init(&ring, CAPACITY);
    for (uint64_t number = 1; number <= PUTS; number++) {
        struct uid root = root_of(number);
        assert_null(done_ring_find(&ring, &root));
        done_ring_put(&ring, &root, &(struct analysis_counts){.done_ms = (int64_t)number});
        uint64_t oldest = number > CAPACITY ? number - CAPACITY + 1 : 1;
        for (uint64_t known = oldest; known <= number; known++) {
            root = root_of(known);
            const struct analysis_counts *counts = done_ring_find(&ring, &root);
            assert_non_null(counts);
            assert_int_equal(counts->done_ms, known);
        }
        root = root_of(oldest - 1);
        assert_null(done_ring_find(&ring, &root));
    }
    done_ring_fini(&ring);
}

static void
the_newest_completion_counts(void **state)
{
    (void)state;
    struct done_ring ring;
    int64_t last[ROOTS] = {0};
    done_ring_init(&ring, CAPACITY);
    for (int64_t put = 1; put <= PUTS; put++) {
        uint64_t number = (uint64_t)(put * put % 1009) % ROOTS;
        struct uid root = root_of(number + 1);
        done_ring_put(&ring, &root, &(struct analysis_counts){.done_ms = put});
        last[number] = put;
        for (uint64_t each = 0; each < ROOTS; each++) {
            root = root_of(each + 1);
            const struct analysis_counts *counts = done_ring_find(&ring, &root);
            bool is_known = last[each] != 0 && put - last[each] < CAPACITY;
            assert_int_equal(counts != NULL, is_known);
            assert_true(!is_known || counts->done_ms == last[each]);
        }
    }
    done_ring_fini(&ring);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_ones_are_found),
                                       cmocka_unit_test(the_newest_completion_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
