// Uploads in parts on the assembler's thread, over the store in memory.
#include "unit/testing.h"

#include <openssl/evp.h>
#include <semaphore.h>
#include <string.h>
#include <zmq.h>

#include "io/assembler.h"
#include "object/object_mem.h"

struct bench {
    void *context;
    struct object_store *store;
    struct assembler *assembler;
    struct object_item item;
};

static void
open_bench(struct bench *bench)
{
    struct problem problem;
    *bench = (struct bench){.context = zmq_ctx_new(), .store = object_mem_new()};
    bench->item = (struct object_item){.uid = {{7}}, .size = 6};
    EVP_Digest("abcabc", 6, bench->item.sha256, NULL, EVP_sha256(), NULL);
    assert_int_equal(assembler_start(bench->context, bench->store, &bench->assembler, &problem),
                     ZKT_OK);
}

static void
close_bench(struct bench *bench)
{
    assembler_stop(&bench->assembler);
    object_store_destroy(&bench->store);
    zmq_ctx_term(bench->context);
}

static enum assembly
await(struct bench *bench, uint64_t *request, struct bytes *upload, struct problem *problem)
{
    enum assembly what;
    while ((what = assembler_receive(bench->assembler, request, upload, problem)) ==
           ASSEMBLY_NONE) {
        zmq_pollitem_t items[ASSEMBLY_LANES];
        for (size_t lane = 0; lane < ASSEMBLY_LANES; lane++) {
            items[lane] = (zmq_pollitem_t){.socket = assembler_socket(bench->assembler, lane),
                                           .events = ZMQ_POLLIN};
        }
        assert_int_not_equal(zmq_poll(items, ASSEMBLY_LANES, 20000), 0);
    }
    return what;
}

static void
an_object_is_made_of_its_parts(void **state)
{
    (void)state;
    struct bench bench;
    struct bytes upload = {0};
    struct bytes etags[2] = {{0}, {0}};
    uint64_t request;
    struct problem problem;
    open_bench(&bench);
    assembler_begin(bench.assembler, 11, &bench.item);
    assert_int_equal(await(&bench, &request, &upload, &problem), ASSEMBLY_BEGUN);
    assert_int_equal(request, 11);
    assert_int_equal(problem.code, ZKT_OK);
    assert_true(upload.len > 0);
    struct upload_part tags[2];
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(object_mem_put_part(bench.store, &bench.item.uid, bytes_span(&upload),
                                             i + 1, span_of_text("abc"), &etags[i]),
                         ZKT_OK);
        tags[i].etag = bytes_span(&etags[i]);
    }
    struct upload_parts parts = {.upload = bytes_span(&upload), .items = tags, .items_count = 2};
    assembler_complete(bench.assembler, 12, &bench.item, &parts);
    bytes_fini(&etags[0]); // they were copied
    bytes_fini(&etags[1]);
    struct bytes none = {0};
    assert_int_equal(await(&bench, &request, &none, &problem), ASSEMBLY_COMPLETED);
    assert_int_equal(request, 12);
    assert_int_equal(none.len, 0);
    struct object_info info;
    assert_int_equal(object_store_head(bench.store, &bench.item.uid, &info, &problem), ZKT_OK);
    assert_int_equal(info.size, 6);
    bytes_fini(&upload);
    close_bench(&bench);
}

static void
failures_come_back_without_the_systems_words(void **state)
{
    (void)state;
    struct bench bench;
    struct bytes upload = {0};
    uint64_t request;
    struct problem problem;
    open_bench(&bench);
    object_mem_fail(bench.store, 1);
    assembler_begin(bench.assembler, 11, &bench.item);
    assert_int_equal(await(&bench, &request, &upload, &problem), ASSEMBLY_BEGUN);
    assert_int_equal(problem.code, ZKT_IO);
    assert_string_equal(problem.text, "the object store failed; the broker's log says why");
    struct upload_part tag = {.etag = span_of_text("\"t\"")};
    struct upload_parts parts = {
        .upload = span_of_text("nonsense"), .items = &tag, .items_count = 1};
    assembler_complete(bench.assembler, 12, &bench.item, &parts);
    assert_int_equal(await(&bench, &request, &upload, &problem), ASSEMBLY_COMPLETED);
    assert_int_equal(problem.code, ZKT_NOT_FOUND);
    bytes_fini(&upload);
    close_bench(&bench);
}

// A store whose completions wait until the test lets them go.
struct slow_store {
    struct object_store store; // first
    sem_t is_let_go;
};

static enum zkt_err
slow_begin(struct object_store *store, const struct object_info *object, const uint8_t sha256[32],
           struct bytes *upload, struct problem *problem)
{
    (void)store;
    (void)object;
    (void)sha256;
    (void)problem;
    bytes_append_text(upload, "new");
    return ZKT_OK;
}

static enum zkt_err
slow_complete(struct object_store *store, const struct object_info *object,
              const uint8_t sha256[32], struct span upload, const struct span *etags,
              size_t etags_count, struct problem *problem)
{
    (void)object;
    (void)sha256;
    (void)upload;
    (void)etags;
    (void)etags_count;
    (void)problem;
    sem_wait(&((struct slow_store *)store)->is_let_go);
    return ZKT_OK;
}

static void
a_slow_completion_holds_up_no_begin(void **state)
{
    (void)state;
    static const struct object_store_ops ops = {.multipart_begin = slow_begin,
                                                .multipart_complete = slow_complete};
    struct slow_store slow = {.store = {.ops = &ops, .kind = "slow"}};
    struct bench bench = {.context = zmq_ctx_new(), .item = {.uid = {{7}}, .size = 6}};
    struct upload_part tag = {.etag = span_of_text("\"t\"")};
    struct upload_parts parts = {.upload = span_of_text("old"), .items = &tag, .items_count = 1};
    struct bytes upload = {0};
    uint64_t request;
    struct problem problem;
    sem_init(&slow.is_let_go, 0, 0);
    assert_int_equal(assembler_start(bench.context, &slow.store, &bench.assembler, &problem),
                     ZKT_OK);
    assembler_complete(bench.assembler, 1, &bench.item, &parts);
    assembler_begin(bench.assembler, 2, &bench.item);
    assert_int_equal(await(&bench, &request, &upload, &problem), ASSEMBLY_BEGUN);
    assert_int_equal(request, 2);
    assert_true(span_equal(bytes_span(&upload), span_of_text("new")));
    sem_post(&slow.is_let_go);
    assert_int_equal(await(&bench, &request, &upload, &problem), ASSEMBLY_COMPLETED);
    assert_int_equal(request, 1);
    assembler_stop(&bench.assembler);
    zmq_ctx_term(bench.context);
    sem_destroy(&slow.is_let_go);
    bytes_fini(&upload);
}

// What was asked and not received back is freed (the leak sanitizer looks).
static void
it_can_be_stopped_at_any_time(void **state)
{
    (void)state;
    for (uint64_t count = 0; count < 20; count++) {
        struct bench bench;
        open_bench(&bench);
        for (uint64_t request = 0; request < count; request++) {
            assembler_begin(bench.assembler, request, &bench.item);
        }
        close_bench(&bench);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_made_of_its_parts),
        cmocka_unit_test(failures_come_back_without_the_systems_words),
        cmocka_unit_test(a_slow_completion_holds_up_no_begin),
        cmocka_unit_test(it_can_be_stopped_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
