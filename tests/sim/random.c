#include "sim/random.h"

#include <string.h>

#include "base/uid.h"

void
random_init(struct random *random, uint64_t seed)
{
    random->state = seed * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019;
}

uint64_t
random_next(struct random *random)
{
    random->state += 0x9e3779b97f4a7c15;
    uint64_t word = random->state;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

uint64_t
random_below(struct random *random, uint64_t bound)
{
    return random_next(random) % bound;
}

bool
random_is(struct random *random, unsigned permille)
{
    return random_below(random, 1000) < permille;
}

void
random_draw_uid(struct random *random, struct uid *uid)
{
    uint64_t words[2] = {random_next(random), random_next(random)};
    memcpy(uid->bytes, words, sizeof words);
    uid->bytes[6] = (uint8_t)((uid->bytes[6] & 0x0f) | 0x40);
    uid->bytes[8] = (uint8_t)((uid->bytes[8] & 0x3f) | 0x80);
}
