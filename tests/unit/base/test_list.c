#include "unit/testing.h"

#include "base/list.h"

struct item {
    int number;
    struct list_link link;
};

static void
order_and_removal(void **state)
{
    (void)state;
    struct list list;
    struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_null(list_first(&list));
    list_append(&list, &items[1].link);
    list_append(&list, &items[2].link);
    list_prepend(&list, &items[0].link);
    list_append(&list, &items[3].link);
    list_remove(&items[2].link);
    assert_false(list_is_linked(&items[2].link));
    list_remove(&items[2].link); // in no list: nothing
    int expected[] = {0, 1, 3};
    int seen_count = 0;
    for (struct list_link *link = list_first(&list); link != NULL; link = list_next(&list, link)) {
        assert_int_equal(container_of(link, struct item, link)->number, expected[seen_count++]);
    }
    assert_int_equal(seen_count, 3);
    list_append(&list, &items[2].link);
    assert_true(list_is_linked(&items[2].link));
    while (!list_is_empty(&list)) {
        list_remove(list_first(&list));
    }
    assert_null(list_first(&list));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
