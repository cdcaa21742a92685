// A damaged store: check names a record or a page, or the dump is byte for byte what it was,
// whichever bit it is; and nothing of this ends the process.
#include "seams/store_bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/local/store_check.h"
#include "wire/json.h"
#include "wire/task_body.h"

#if defined(__SANITIZE_THREAD__)
enum { FLIPS_COUNT = 200, HAS_ROOM_FOR_TWO = 0 }; // maps of 1 TiB: its address space takes one
#else
enum { FLIPS_COUNT = 2000, HAS_ROOM_FOR_TWO = 1 };
#endif

static struct bytes
read_file(const char *path)
{
    struct bytes content = {0};
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t got;
    while ((got = fread(bytes_reserve(&content, 65536), 1, 65536, file)) > 0) {
        content.len += got;
    }
    fclose(file);
    return content;
}

static void
write_file(const char *path, const struct bytes *content)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content->data, 1, content->len, file), content->len);
    assert_int_equal(fclose(file), 0);
}

static void
add_row(void *arg, const struct value *record)
{
    struct bytes *dump = arg;
    json_write(record, dump, JSON_COMPACT);
    bytes_append_byte(dump, '\n');
}

static struct bytes
dump_of(const char *path)
{
    struct bytes dump = {0};
    struct problem problem = {.code = ZKT_OK};
    uint64_t damages_count;
    assert_int_equal(store_dump(path, &wire_task_codec, add_row, &dump, &damages_count, &problem),
                     ZKT_OK);
    return dump;
}

static uint64_t
damages_of(const char *path)
{
    FILE *nowhere = fopen("/dev/null", "w");
    uint64_t damages_count = 0;
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(store_check(path, nowhere, &damages_count, &problem), ZKT_OK);
    fclose(nowhere);
    return damages_count;
}

// A store with every kind of record, several pages deep.
static void
fill(struct bench *bench)
{
    uint32_t consumers[2] = {bench_consumer(bench, "a"), bench_consumer(bench, "b")};
    struct uid uid;
    uint8_t sha256[32] = {1};
    bench_uid(&uid, 9);
    store_upload(bench->store, &uid, &uid, 1, sha256, bench->now_ms);
    store_note_error(bench->store, &uid, 1, 1, ZKT_TOO_LARGE);
    store_note_number(bench->store, &uid, 1, bench->now_ms);
    for (int64_t n = 0; n < 400; n++) {
        struct task task = bench_task(bench, n, n % 50 == 0 ? 9000 : 100);
        store_submit(bench->store, &task, consumers, n % 7 == 0 ? 2 : 1, bench->now_ms);
    }
    store_want(bench->store, consumers[0], 40);
    bench_run(bench);
    for (int count = 0; count < 20; count++) {
        store_settle(bench->store, bench_take(bench),
                     count % 2 == 0 ? OUTCOME_FINISHED : OUTCOME_CRASHED, span_of_text("e"),
                     bench->now_ms);
    }
    struct hold *parent = bench_take(bench);
    for (int64_t n = 0; n < 30; n++) {
        struct task child = bench_task(bench, 1000 + n, 10);
        assert_int_equal(store_hold_child(bench->store, parent, &child, bench->now_ms), ZKT_OK);
    }
    bench_run(bench);
}

static uint64_t
next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void
every_flip_is_named_or_harmless(void **state)
{
    (void)state;
    struct bench *bench = bench_new(BENCH_LMDB);
    bench->options.finished_ttl_ms = 1000000;
    bench_reopen(bench);
    fill(bench);
    bench_close(bench);
    char file_path[128];
    snprintf(file_path, sizeof file_path, "%s/data.mdb", bench->path);
    struct bytes content = read_file(file_path);
    struct bytes whole = dump_of(bench->path);
    assert_int_equal(damages_of(bench->path), 0);
    assert_true(whole.len > 100000);
    uint64_t seed = 20240607;
    size_t named_count = 0;
    for (int flip = 0; flip < FLIPS_COUNT; flip++) {
        size_t bit = next_random(&seed) % (content.len * 8);
        // A tenth of them where they hurt most: the meta pages.
        bit = flip % 10 == 0 ? bit % (8192 * 8) : bit;
        content.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        write_file(file_path, &content);
        if (damages_of(bench->path) > 0) {
            named_count++;
        } else {
            struct bytes dump = dump_of(bench->path);
            if (!span_equal(bytes_span(&dump), bytes_span(&whole))) {
                fail_msg("the flip of bit %zu of byte %zu changed the dump and was not named",
                         bit % 8, bit / 8);
            }
            bytes_fini(&dump);
        }
        content.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_true(named_count > FLIPS_COUNT / 20);
    write_file(file_path, &content);
    bytes_fini(&whole);
    bytes_fini(&content);
    bench_destroy(&bench);
}

static void
a_copy_is_a_store(void **state)
{
    (void)state;
    if (!HAS_ROOM_FOR_TWO) {
        print_message("not under the thread sanitizer: a store and its copy do not fit\n");
        return;
    }
    struct bench *bench = bench_new(BENCH_LMDB);
    fill(bench);
    char copy_path[80];
    snprintf(copy_path, sizeof copy_path, "%s-copy", bench->path);
    struct problem problem = {.code = ZKT_OK};
    assert_int_equal(store_copy(bench->path, copy_path, &problem), ZKT_OK); // while it is open
    assert_int_equal(store_copy(bench->path, copy_path, &problem), ZKT_IN_USE);
    uint64_t damages_count;
    assert_int_equal(store_check(bench->path, stderr, &damages_count, &problem), ZKT_STORE_LOCKED);
    bench_close(bench);
    struct bytes original = dump_of(bench->path);
    struct bytes copy = dump_of(copy_path);
    assert_true(span_equal(bytes_span(&original), bytes_span(&copy)));
    bytes_fini(&original);
    bytes_fini(&copy);
    struct store *store = NULL;
    struct store_options options = bench->options;
    options.path = copy_path;
    assert_int_equal(store_open(&options, &store, &problem), ZKT_OK);
    store_close(&store);
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
    for (size_t index = 0; index < 3; index++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", copy_path, names[index]);
        unlink(name);
    }
    rmdir(copy_path);
    bench_destroy(&bench);
}

static void
no_store_is_said(void **state)
{
    (void)state;
    struct problem problem = {.code = ZKT_OK};
    uint64_t damages_count;
    assert_int_equal(store_check("/nowhere", stderr, &damages_count, &problem), ZKT_NOT_FOUND);
    assert_non_null(strstr(problem.text, "/nowhere/store/data.mdb"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_flip_is_named_or_harmless),
                                       cmocka_unit_test(a_copy_is_a_store),
                                       cmocka_unit_test(no_store_is_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
