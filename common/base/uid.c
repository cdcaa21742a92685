#include "base/uid.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"

int
uid_compare(const struct uid *a, const struct uid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

void
uid_format(const struct uid *uid, char text[UID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t byte_index = 0; byte_index < sizeof uid->bytes; byte_index++) {
        if (byte_index == 4 || byte_index == 6 || byte_index == 8 || byte_index == 10) {
            text[at++] = '-';
        }
        text[at++] = digits[uid->bytes[byte_index] >> 4];
        text[at++] = digits[uid->bytes[byte_index] & 15];
    }
    text[at] = '\0';
}

static int
digit_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

static bool
parse_plain(const char *text, struct uid *uid)
{
    struct uid parsed;
    size_t at = 0;
    for (size_t byte_index = 0; byte_index < sizeof parsed.bytes; byte_index++) {
        if ((byte_index == 4 || byte_index == 6 || byte_index == 8 || byte_index == 10) &&
            text[at++] != '-') {
            return false;
        }
        int high = digit_value(text[at++]);
        int low = digit_value(text[at++]);
        if (high < 0 || low < 0) {
            return false;
        }
        parsed.bytes[byte_index] = (uint8_t)(high << 4 | low);
    }
    *uid = parsed;
    return true;
}

bool
uid_parse(const char *text, size_t len, struct uid *uid)
{
    enum { PLAIN_LEN = UID_TEXT_SIZE - 1, BRACED_LEN = PLAIN_LEN + 3 + PLAIN_LEN };
    if (len == BRACED_LEN && text[0] == '{' && text[PLAIN_LEN + 1] == '}' &&
        text[PLAIN_LEN + 2] == ':') {
        struct uid root;
        return parse_plain(text + 1, &root) && parse_plain(text + PLAIN_LEN + 3, uid);
    }
    return len == PLAIN_LEN && parse_plain(text, uid);
}

// One call to the kernel is for many uids: it costs more than all the rest of making a task. At
// most 256 bytes come in one piece, whatever signals arrive.
static _Thread_local struct {
    uint8_t bytes[256];
    size_t left;
    unsigned forks_count;
} pool;
static _Atomic unsigned forks_count;

static void
note_fork(void)
{
    atomic_fetch_add_explicit(&forks_count, 1, memory_order_relaxed);
}

// A child of fork must not draw what its parent will draw.
__attribute__((constructor)) static void
watch_forks(void)
{
    int result = pthread_atfork(NULL, NULL, note_fork);
    zkt_assert(result == 0);
}

void
uid_random(struct uid *uid)
{
    unsigned now = atomic_load_explicit(&forks_count, memory_order_relaxed);
    if (pool.left == 0 || pool.forks_count != now) {
        ssize_t got = getrandom(pool.bytes, sizeof pool.bytes, 0);
        zkt_assert(got == (ssize_t)sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
        pool.forks_count = now;
    }
    pool.left -= sizeof uid->bytes;
    memcpy(uid->bytes, pool.bytes + pool.left, sizeof uid->bytes);
    memset(pool.bytes + pool.left, 0, sizeof uid->bytes); // nobody else reads it again
    uid->bytes[6] = (uint8_t)((uid->bytes[6] & 0x0f) | 0x40);
    uid->bytes[8] = (uint8_t)((uid->bytes[8] & 0x3f) | 0x80);
}

// Layout: 48 bits of store id, version 8, 12 bits of sequence, variant, 52 bits of sequence in the
// last 62.
void
uid_routed(uint64_t store_id, uint64_t sequence, struct uid *uid)
{
    uint64_t high = store_id << 16 | 0x8000 | sequence >> 52;
    uint64_t low = 0x8000000000000000 | (sequence & 0x000fffffffffffff);
    put_u64(uid->bytes, high);
    put_u64(uid->bytes + 8, low);
}

bool
uid_sequence(const struct uid *uid, uint64_t store_id, uint64_t *sequence)
{
    uint64_t high = get_u64(uid->bytes);
    uint64_t low = get_u64(uid->bytes + 8);
    if (high >> 16 != (store_id & 0xffffffffffff) || (high & 0xf000) != 0x8000 ||
        low >> 52 != 0x800) {
        return false;
    }
    *sequence = (high & 0x0fff) << 52 | (low & 0x000fffffffffffff);
    return true;
}

uint64_t
uid_hash(const struct uid *uid)
{
    uint64_t high;
    uint64_t low;
    memcpy(&high, uid->bytes, sizeof high);
    memcpy(&low, uid->bytes + 8, sizeof low);
    uint64_t hash = (high ^ (low * 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd;
    return hash ^ hash >> 32;
}
