// The format on disk must not change unnoticed: each kind of record, byte for byte by its checksum,
// and every single flipped bit of it is found (docs/storage.md says how to change it).
#include "unit/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/local/format.h"

static uint64_t
fnv(struct span key, struct span value)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t index = 0; index < key.len + value.len; index++) {
        hash ^= index < key.len ? key.data[index] : value.data[index - key.len];
        hash *= 0x100000001b3;
    }
    return hash;
}

static struct uid
uid_from(uint8_t first)
{
    struct uid uid;
    for (uint8_t index = 0; index < 16; index++) {
        uid.bytes[index] = (uint8_t)(first + index);
    }
    return uid;
}

struct sample {
    struct key key;
    struct bytes value;
};

static void
make_task(struct sample *sample, struct key key)
{
    struct uid object = uid_from(200);
    const struct task_record task = {.sequence = 7,
                                     .consumer = 3,
                                     .priority = PRIORITY_LOW,
                                     .attempt = 2,
                                     .root = uid_from(1),
                                     .parent = uid_from(20),
                                     .orig = uid_from(40),
                                     .retry_of = uid_from(60),
                                     .changed_ms = 1700000000001,
                                     .created_ms = 1700000000000,
                                     .started_ms = 5,
                                     .generation = 9,
                                     .body_number = 11,
                                     .objects = span_of(&object, sizeof object),
                                     .error = span_of_text("error"),
                                     .body = span_of_text("body")};
    sample->key = key;
    format_task(&key, &task, &sample->value);
}

static void
make_rest(struct sample *samples)
{
    const struct consumer_value consumer = {.generation = 4,
                                            .is_persistent = true,
                                            .is_dropping = true,
                                            .last_seen_ms = 8,
                                            .marks = {1, 2, 3},
                                            .bind = span_of_text("bind")};
    uint8_t refusal[16] = {1};
    const struct instance_value instance = {
        .last_number = 5, .consumer = 6, .seen_ms = 7, .errors = span_of(refusal, 16)};
    const struct upload_value upload = {
        .instance = uid_from(3), .size = 10, .at_ms = 11, .sha256 = {9}};
    const struct intent_value intent = {.what = 1, .consumer = 2, .delivery = 3};
    struct uid uid = uid_from(90);
    samples[0].key = key_consumer(3);
    format_consumer(&samples[0].key, &consumer, &samples[0].value);
    samples[1].key = key_uid(RECORD_INSTANCE, &uid);
    format_instance(&samples[1].key, &instance, &samples[1].value);
    samples[2].key = key_uid(RECORD_UPLOAD, &uid);
    format_upload(&samples[2].key, &upload, &samples[2].value);
    samples[3].key = key_number(RECORD_INTENT, 12);
    format_intent(&samples[3].key, &intent, &samples[3].value);
    samples[4].key = key_meta("sequence");
    format_number(&samples[4].key, 13, &samples[4].value);
    samples[5].key = key_uid(RECORD_DELETION, &uid);
    format_number(&samples[5].key, 14, &samples[5].value);
    samples[6].key = key_body(15);
    format_blob(&samples[6].key, span_of_text("shared body"), &samples[6].value);
}

static void
format_is_as_written_down(void **state)
{
    static const uint64_t expected[] = {0x79d6d3d318e0b107, 0xc7e2e5dc94edc4a4, 0x9c1e4363dcbe01f7,
                                        0x50dbb2ab2e357df3, 0xdb6c74953cce594b, 0xb2b4e1b572af0068,
                                        0x6d1b59845b1b6dda, 0x382321e5dfd56868, 0x410a5868d23e769d,
                                        0xa2aa5bb4fc1ae6cb, 0xf1552a789c04e9d3};
    enum { SAMPLES_COUNT = 11 };
    struct sample samples[SAMPLES_COUNT] = {0};
    struct uid root = uid_from(1);
    (void)state;
    make_task(&samples[0], key_task(3, PRIORITY_LOW, 7));
    make_task(&samples[1], key_crashed(3, 7));
    make_task(&samples[2], key_held(99, 7));
    make_task(&samples[3], key_finished(&root, 7));
    make_rest(samples + 4);
    for (size_t index = 0; index < SAMPLES_COUNT; index++) {
        struct sample *sample = &samples[index];
        const char *reason = "";
        assert_true(parse_any(key_span(&sample->key), bytes_span(&sample->value), &reason));
        uint64_t hash = fnv(key_span(&sample->key), bytes_span(&sample->value));
        if (hash != expected[index]) {
            fail_msg("record %zu (%c): 0x%016llx", index, sample->key.bytes[0],
                     (unsigned long long)hash);
        }
        for (size_t bit = 0; bit < sample->value.len * 8; bit++) {
            sample->value.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_false(parse_any(key_span(&sample->key), bytes_span(&sample->value), &reason));
            sample->value.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        for (size_t len = 0; len < sample->value.len; len++) { // and every cut
            uint8_t *cut = malloc(len + 1);
            memcpy(cut, sample->value.data, len);
            assert_false(parse_any(key_span(&sample->key), span_of(cut, len), &reason));
            free(cut);
        }
        bytes_fini(&sample->value);
    }
}

// Checksums of short and long records are made in two ways: on disk nobody must see which.
static void
checksums_do_not_depend_on_the_way_they_are_made(void **state)
{
    static const uint64_t expected[] = {0x8b16a7f73f0951e9, 0x39bfcdf38ca8aebb, 0xcaed6598ee7b91cf,
                                        0x702a7991d91fbbea};
    static const size_t lens[] = {200, 600, 1010, 3000};
    uint8_t body[3000];
    (void)state;
    for (size_t index = 0; index < sizeof body; index++) {
        body[index] = (uint8_t)(index * 7);
    }
    for (size_t index = 0; index < sizeof lens / sizeof *lens; index++) {
        struct key key = key_task(3, PRIORITY_LOW, 7);
        struct task_record task = {.sequence = 7, .body = span_of(body, lens[index])};
        struct bytes value = {0};
        const char *reason = "";
        format_task(&key, &task, &value);
        assert_true(parse_any(key_span(&key), bytes_span(&value), &reason));
        uint64_t hash = fnv(key_span(&key), bytes_span(&value));
        if (hash != expected[index]) {
            fail_msg("body of %zu: 0x%016llx", lens[index], (unsigned long long)hash);
        }
        bytes_fini(&value);
    }
}

static void
sequences_that_no_store_gives_are_refused(void **state)
{
    struct sample sample = {0};
    const char *reason = "";
    (void)state;
    make_task(&sample, key_task(3, PRIORITY_LOW, SEQUENCE_MAX));
    assert_true(parse_any(key_span(&sample.key), bytes_span(&sample.value), &reason));
    bytes_fini(&sample.value);
    make_task(&sample, key_task(3, PRIORITY_LOW, SEQUENCE_MAX + 1));
    assert_false(parse_any(key_span(&sample.key), bytes_span(&sample.value), &reason));
    assert_string_equal(reason, "no such sequence is ever given");
    bytes_fini(&sample.value);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_is_as_written_down),
        cmocka_unit_test(checksums_do_not_depend_on_the_way_they_are_made),
        cmocka_unit_test(sequences_that_no_store_gives_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
