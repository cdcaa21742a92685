#include "unit/testing.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err_table.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/problem.h"
#include "base/uid.h"

static void
test_map_grows_and_shrinks(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static int values[COUNT];
    struct map *map = map_new();
    for (int index = 0; index < COUNT; index++) {
        values[index] = index;
        assert_null(map_put(map, &index, sizeof index, &values[index]));
    }
    assert_int_equal(map_len(map), COUNT);
    for (int index = 0; index < COUNT; index++) {
        assert_ptr_equal(map_get(map, &index, sizeof index), &values[index]);
    }
    static char seen[COUNT];
    struct map_cursor cursor = {0};
    while (map_next(map, &cursor)) {
        int *value = cursor.value;
        assert_int_equal(seen[*value]++, 0);
        if (*value % 2 == 0) {
            assert_ptr_equal(map_remove(map, cursor.key, cursor.key_len), value);
        }
    }
    assert_int_equal(map_len(map), COUNT / 2);
    int missing = 0;
    assert_null(map_get(map, &missing, sizeof missing));
    int there = 1;
    assert_ptr_equal(map_put(map, &there, sizeof there, &values[7]), &values[1]);
    map_destroy(&map);
    assert_null(map);
}

static void
test_heap_orders_and_keeps_fifo(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct heap heap;
    struct heap_node nodes[COUNT] = {{0}};
    heap_init(&heap);
    uint32_t random = 1;
    for (size_t index = 0; index < COUNT; index++) {
        random = random * 1103515245 + 12345;
        heap_push(&heap, &nodes[index], (random >> 16) % 17);
    }
    heap_remove(&heap, &nodes[5]);
    heap_remove(&heap, &nodes[5]);
    heap_update(&heap, &nodes[6], -1);
    assert_ptr_equal(heap_first(&heap), &nodes[6]);
    struct heap_node last = {.key = INT64_MIN};
    size_t taken = 0;
    for (struct heap_node *node; (node = heap_first(&heap)) != NULL; taken++) {
        assert_true(node->key > last.key || (node->key == last.key && node->order > last.order));
        last = *node;
        heap_remove(&heap, node);
    }
    assert_int_equal(taken, COUNT - 1);
    heap_fini(&heap);
}

static void
test_list(void **state)
{
    (void)state;
    struct list list;
    struct list_link links[3] = {{0}};
    list_init(&list);
    list_append(&list, &links[1]);
    list_append(&list, &links[2]);
    list_prepend(&list, &links[0]);
    assert_ptr_equal(list_first(&list), &links[0]);
    list_remove(&links[1]);
    list_remove(&links[1]);
    assert_false(list_is_linked(&links[1]));
    assert_ptr_equal(list_next(&list, &links[0]), &links[2]);
    assert_null(list_next(&list, &links[2]));
}

static void
test_uid_text_and_sequence(void **state)
{
    (void)state;
    struct uid uid;
    struct uid other;
    char text[UID_TEXT_SIZE];
    uid_random(&uid);
    uid_format(&uid, text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(text[14], '4');
    assert_true(uid_parse(text, 36, &other));
    assert_true(uid_equal(&uid, &other));
    char braced[80];
    snprintf(braced, sizeof braced, "{%s}:%s", text, text);
    assert_true(uid_parse(braced, strlen(braced), &other));
    assert_false(uid_parse("not-a-uid", 9, &other));
    text[8] = '0';
    assert_false(uid_parse(text, 36, &other));
    const uint64_t sequences[] = {0, 1, 0xfffffffffffff, 0x10000000000000, UINT64_MAX};
    for (size_t index = 0; index < sizeof sequences / sizeof *sequences; index++) {
        uint64_t sequence;
        uid_routed(0x123456789abc, sequences[index], &uid);
        assert_int_equal(uid.bytes[6] >> 4, 8);
        assert_true(uid_sequence(&uid, 0x123456789abc, &sequence));
        assert_int_equal(sequence, sequences[index]);
        assert_false(uid_sequence(&uid, 0x123456789abd, &sequence));
    }
}

static void
test_arena_adopts(void **state)
{
    (void)state;
    struct arena arena;
    struct arena other;
    arena_init(&arena);
    arena_init(&other);
    char *kept = arena_copy(&other, "kept", 4);
    memset(arena_alloc(&other, 100000), 1, 100000);
    arena_copy(&arena, "mine", 4);
    arena_adopt(&arena, &other);
    assert_null(other.chunks);
    assert_string_equal(kept, "kept");
    arena_fini(&other);
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, kept), "7-kept");
    arena_clear(&arena);
    arena_fini(&arena);
}

static void
test_problem_and_nearest(void **state)
{
    (void)state;
    struct problem problem;
    assert_int_equal(problem_set(&problem, ZKT_INVALID, ": wrong %d", 3), ZKT_INVALID);
    problem_in(&problem, "tasks[%d]", 2);
    assert_string_equal(problem.text, "tasks[2]: wrong 3");
    const char *const words[] = {"$not", "$nor", "address"};
    assert_string_equal(nearest("$nto", words, 3), "$not");
    assert_string_equal(nearest("adress", words, 3), "address");
    assert_null(nearest("unrelated", words, 3));
    assert_string_equal(zkt_err_name(ZKT_UNREACHABLE), "UNREACHABLE");
    assert_true(zkt_err_is_retryable(ZKT_BUSY));
    assert_false(zkt_err_is_retryable(ZKT_INVALID));
    assert_string_equal(zkt_err_name((enum zkt_err)999), "UNKNOWN");
    assert_int_equal(err_http_status(ZKT_NOT_FOUND), 404);
}

static void
test_numbers_are_big_endian(void **state)
{
    (void)state;
    uint8_t at[8];
    put_u64(at, 0x0102030405060708);
    assert_int_equal(at[0], 1);
    assert_int_equal(at[7], 8);
    assert_int_equal(get_u64(at), 0x0102030405060708);
    put_u32(at, 0xfffefdfc);
    assert_int_equal(get_u32(at), 0xfffefdfc);
    put_u16(at, 0x8001);
    assert_int_equal(get_u16(at), 0x8001);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_grows_and_shrinks),
        cmocka_unit_test(test_heap_orders_and_keeps_fifo),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_uid_text_and_sequence),
        cmocka_unit_test(test_arena_adopts),
        cmocka_unit_test(test_problem_and_nearest),
        cmocka_unit_test(test_numbers_are_big_endian),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
