#include "attention/reformer_hash.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/random.h"

void reformer_directions(uint64_t seed, size_t head, size_t round, size_t count, size_t size, float *directions) {
    uint64_t state = random_hash(random_hash(random_hash(seed) + head) + round);
    for (size_t i = 0; i < count * size; i++) directions[i] = (float)random_normal(&state);
}

/* ---- PyTorch's numbers ---- */

enum { TWISTER = 624, MIDDLE = 397, FILLED = 16 };

/* The Mersenne Twister of Matsumoto and Nishimura 1998 (mt19937). */
typedef struct twister {
    uint32_t state[TWISTER];
    size_t at;
} twister;

static void twister_seed(twister *self, uint64_t seed) {
    self->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < TWISTER; i++)
        self->state[i] = 1812433253u * (self->state[i - 1] ^ self->state[i - 1] >> 30) + i;
    self->at = TWISTER;
}

static uint32_t twister_next(twister *self) {
    uint32_t *s = self->state;
    for (size_t i = 0; self->at == TWISTER && i < TWISTER; i++) {
        const uint32_t both = (s[i] & 0x80000000u) | (s[(i + 1) % TWISTER] & 0x7fffffffu);
        s[i] = s[(i + MIDDLE) % TWISTER] ^ both >> 1 ^ (both & 1 ? 0x9908b0dfu : 0);
    }
    if (self->at == TWISTER) self->at = 0;
    uint32_t x = s[self->at++];
    x ^= x >> 11;
    x ^= x << 7 & 0x9d2c5680u;
    x ^= x << 15 & 0xefc60000u;
    return x ^ x >> 18;
}

static float twister_uniform(twister *self) {
    return (float)(twister_next(self) & 0xffffffu) / 16777216.0f;
}

/* Number `at` of 16 normal numbers that are made from 16 uniform ones (Box and Muller 1958). */
static float normal_of(const float *uniform, size_t at) {
    const size_t pair = at % (FILLED / 2);
    const float radius = sqrtf(-2 * logf(1 - uniform[pair]));
    const float angle = 2 * 3.14159265358979f * uniform[pair + FILLED / 2];
    return radius * (at < FILLED / 2 ? cosf(angle) : sinf(angle));
}

void reformer_torch_directions(const torch_directions *of, size_t head, size_t round, float *room, float *directions) {
    const size_t all = of->heads * of->size * of->rounds * of->count, whole = all / FILLED * FILLED;
    twister from;
    twister_seed(&from, of->seed);
    /* the last 16 are drawn anew where the tensor does not end with a whole block */
    for (size_t i = 0; i < all; i++) room[i] = twister_uniform(&from);
    for (size_t i = 0; i < FILLED && whole < all; i++) room[all + i] = twister_uniform(&from);
    for (size_t j = 0; j < of->size; j++)
        for (size_t r = 0; r < of->count; r++) {
            const size_t at = ((head * of->size + j) * of->rounds + round) * of->count + r;
            const bool last = whole < all && at + FILLED >= all;
            directions[r * of->size + j] =
                last ? normal_of(room + all, at + FILLED - all) : normal_of(room + at / FILLED * FILLED, at % FILLED);
        }
}

/* ---- Buckets ---- */

bucket_factors reformer_bucket_count(size_t length, size_t chunk, size_t most) {
    size_t power = 1;
    while ((size_t)2 << power <= length / chunk * 2) power++;
    if (!most || (size_t)1 << power <= most) return (bucket_factors){(size_t)1 << power, 1};
    return (bucket_factors){(size_t)1 << power / 2, (size_t)1 << (power - power / 2)};
}

/* The number of the largest of x and -x. */
static uint32_t largest_of(const float *x, size_t count) {
    float largest = x[0];
    uint32_t found = 0;
    for (size_t j = 1; j < count; j++)
        if (x[j] > largest) {
            largest = x[j];
            found = (uint32_t)j;
        }
    for (size_t j = 0; j < count; j++)
        if (-x[j] > largest) {
            largest = -x[j];
            found = (uint32_t)(count + j);
        }
    return found;
}

void reformer_buckets(const float *products, size_t stride, size_t rows, bucket_factors factors, uint32_t *of) {
    for (size_t i = 0; i < rows; i++) {
        const float *row = products + i * stride;
        of[i] = largest_of(row, factors.first / 2);
        if (factors.second > 1)
            of[i] += (uint32_t)factors.first * largest_of(row + factors.first / 2, factors.second / 2);
    }
}

void reformer_sort(const uint32_t *of, size_t rows, size_t buckets, size_t *order, size_t *room) {
    size_t at = 0;
    memset(room, 0, buckets * sizeof *room);
    for (size_t i = 0; i < rows; i++) room[of[i]]++;
    for (size_t i = 0; i < buckets; i++) {
        const size_t count = room[i];
        room[i] = at;
        at += count;
    }
    for (size_t i = 0; i < rows; i++) order[room[of[i]]++] = i;
}
