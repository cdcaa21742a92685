#include "unit/testing.h"

#include <string.h>

#include "base/arena.h"

static void
blocks_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    uint8_t *blocks[2000];
    for (size_t block_index = 0; block_index < 2000; block_index++) {
        blocks[block_index] = arena_alloc(&arena, block_index % 97);
        assert_int_equal((uintptr_t)blocks[block_index] % 8, 0);
        memset(blocks[block_index], (int)(block_index % 251), block_index % 97);
    }
    for (size_t block_index = 0; block_index < 2000; block_index++) {
        for (size_t byte_index = 0; byte_index < block_index % 97; byte_index++) {
            assert_int_equal(blocks[block_index][byte_index], block_index % 251);
        }
    }
    arena_fini(&arena);
}

static void
large_blocks_and_reuse(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    memset(arena_alloc(&arena, 5 << 20), 1, 5 << 20);
    assert_int_equal(arena.used_bytes, 5 << 20);
    arena_clear(&arena);
    assert_int_equal(arena.used_bytes, 0);
    char *first = arena_copy(&arena, "abc", 3);
    assert_string_equal(first, "abc");
    arena_clear(&arena);
    assert_ptr_equal(arena_alloc(&arena, 4), first);
    arena_fini(&arena);
}

static void
adopted_content_lives_on(void **state)
{
    (void)state;
    struct arena arena;
    struct arena other;
    arena_init(&arena);
    arena_init(&other);
    char *kept = arena_copy(&arena, "kept", 4);
    char *moved = arena_printf(&other, "moved %d", 7);
    arena_adopt(&arena, &other);
    assert_null(other.chunks);
    arena_fini(&other);
    assert_string_equal(kept, "kept");
    assert_string_equal(moved, "moved 7");
    arena_adopt(&arena, &other); // empty
    arena_fini(&arena);
}

static void
empty_copy(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_apart),
        cmocka_unit_test(large_blocks_and_reuse),
        cmocka_unit_test(adopted_content_lives_on),
        cmocka_unit_test(empty_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
