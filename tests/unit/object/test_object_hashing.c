// Hashes behind a writer, who is faster or slower than they are, stops in the middle, or cannot
// read what it wrote. A gate in front of pread holds the threads.
#include "unit/testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/memory.h"
#include "object/object_hashing.h"

enum { MIB = 1 << 20, STEP = 65064, BEHIND_MAX = 8 * MIB };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t has_changed;
    int64_t opens_at; // that much was written
    int64_t written;
    int64_t behind_max;
    size_t held_count;
    bool is_broken;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .has_changed = PTHREAD_COND_INITIALIZER};

// In place of libc's: the whole program goes through it.
ssize_t
pread(int fd, void *data, size_t size, off_t at)
{
    pthread_mutex_lock(&gate.mutex);
    gate.held_count++;
    pthread_cond_broadcast(&gate.has_changed);
    while (gate.written < gate.opens_at) {
        pthread_cond_wait(&gate.has_changed, &gate.mutex);
    }
    gate.held_count--;
    int64_t behind = gate.written - at;
    gate.behind_max = behind > gate.behind_max ? behind : gate.behind_max;
    bool is_broken = gate.is_broken;
    pthread_mutex_unlock(&gate.mutex);
    if (is_broken) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, size, at);
}

static void
gate_set(int64_t opens_at, bool is_broken)
{
    pthread_mutex_lock(&gate.mutex);
    gate.opens_at = opens_at;
    gate.is_broken = is_broken;
    gate.written = 0;
    gate.behind_max = 0;
    pthread_cond_broadcast(&gate.has_changed);
    pthread_mutex_unlock(&gate.mutex);
}

// ---- Files

struct file {
    struct object_hashers *hashers;
    pthread_t thread;
    FILE *stream;
    char *content;
    size_t size;
    bool has_md5;
    struct object_hashing *hashing;
};

static void
file_begin(struct file *file)
{
    file->content = xmalloc(file->size + 1);
    for (size_t i = 0; i < file->size; i++) {
        file->content[i] = (char)(i * 31 >> 7 ^ i);
    }
    file->stream = tmpfile();
    assert_non_null(file->stream);
    file->hashing =
        object_hashing_new(file->hashers, fileno(file->stream), (int64_t)file->size, file->has_md5);
}

static void
file_write(struct file *file, size_t from, size_t until)
{
    while (from < until) {
        size_t len = until - from < STEP ? until - from : STEP;
        assert_int_equal(write(fileno(file->stream), file->content + from, len), len);
        pthread_mutex_lock(&gate.mutex);
        gate.written += (int64_t)len;
        pthread_cond_broadcast(&gate.has_changed);
        pthread_mutex_unlock(&gate.mutex);
        object_hashing_add(file->hashing, file->content + from, len);
        from += len;
    }
}

static void
file_end(struct file *file)
{
    object_hashing_destroy(&file->hashing);
    assert_null(file->hashing);
    fclose(file->stream);
    free(file->content);
}

static void *
write_and_check(void *arg)
{
    struct file *file = arg;
    struct problem problem;
    uint8_t sha256[32];
    uint8_t want_sha256[32];
    uint8_t md5[16];
    uint8_t want_md5[16];
    file_begin(file);
    file_write(file, 0, file->size);
    assert_int_equal(
        object_hashing_finish(file->hashing, sha256, file->has_md5 ? md5 : NULL, &problem), ZKT_OK);
    SHA256((const uint8_t *)file->content, file->size, want_sha256);
    assert_memory_equal(sha256, want_sha256, sizeof sha256);
    if (file->has_md5) {
        EVP_Digest(file->content, file->size, want_md5, NULL, EVP_md5(), NULL);
        assert_memory_equal(md5, want_md5, sizeof md5);
    }
    file_end(file);
    return NULL;
}

// ---- Tests

static void
hashes_are_of_what_was_written(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 9 * MIB + 7, 20 * MIB};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    gate_set(0, false);
    for (size_t threads_count = 0; threads_count < 4; threads_count += 3) {
        struct object_hashers *hashers = object_hashers_new(threads_count);
        struct file files[COUNT] = {{.size = 0}};
        for (size_t i = 0; i < COUNT; i++) {
            files[i] = (struct file){.hashers = hashers, .size = sizes[i], .has_md5 = i % 2 == 0};
            assert_int_equal(pthread_create(&files[i].thread, NULL, write_and_check, &files[i]), 0);
        }
        for (size_t i = 0; i < COUNT; i++) {
            pthread_join(files[i].thread, NULL);
        }
        object_hashers_destroy(&hashers);
        assert_null(hashers);
    }
}

// The threads begin when the writer is as far ahead as it may be.
static void
a_writer_does_not_get_far_ahead(void **state)
{
    (void)state;
    struct file file = {.hashers = object_hashers_new(2), .size = 40 * MIB};
    gate_set(BEHIND_MAX, false);
    write_and_check(&file);
    assert_in_range(gate.behind_max, BEHIND_MAX, BEHIND_MAX + STEP);
    object_hashers_destroy(&file.hashers);
}

static void
what_cannot_be_read_is_told(void **state)
{
    (void)state;
    struct file file = {.hashers = object_hashers_new(1), .size = 20 * MIB};
    struct problem problem;
    uint8_t sha256[32];
    gate_set(0, true);
    file_begin(&file);
    file_write(&file, 0, file.size); // does not wait for ever
    assert_int_equal(object_hashing_finish(file.hashing, sha256, NULL, &problem), ZKT_IO);
    file_end(&file);
    gate_set(0, false);
    write_and_check(&file); // others are well
    file.size = 2 * MIB;
    file_begin(&file);
    file_write(&file, 0, MIB / 8);
    assert_int_equal(ftruncate(fileno(file.stream), 0), 0);
    assert_int_equal(object_hashing_finish(file.hashing, sha256, NULL, &problem), ZKT_IO);
    file_end(&file);
    object_hashers_destroy(&file.hashers);
}

static void *
open_gate(void *arg)
{
    (void)arg;
    gate_set(0, false);
    return NULL;
}

// While a thread reads it, while it waits for one, and before there is anything to do.
static void
a_file_can_be_given_up_at_any_time(void **state)
{
    (void)state;
    struct object_hashers *hashers = object_hashers_new(1);
    struct file files[3] = {{.size = 0}};
    pthread_t opener;
    gate_set(INT64_MAX, false);
    for (size_t i = 0; i < 3; i++) {
        files[i] = (struct file){.hashers = hashers, .size = 4 * MIB};
        file_begin(&files[i]);
        file_write(&files[i], 0, i < 2 ? MIB : 1);
        pthread_mutex_lock(&gate.mutex);
        while (gate.held_count == 0) {
            pthread_cond_wait(&gate.has_changed, &gate.mutex);
        }
        pthread_mutex_unlock(&gate.mutex);
    }
    file_end(&files[1]);
    file_end(&files[2]);
    assert_int_equal(pthread_create(&opener, NULL, open_gate, NULL), 0);
    file_end(&files[0]);
    pthread_join(opener, NULL);
    object_hashers_destroy(&hashers);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_of_what_was_written),
        cmocka_unit_test(a_writer_does_not_get_far_ahead),
        cmocka_unit_test(what_cannot_be_read_is_told),
        cmocka_unit_test(a_file_can_be_given_up_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
