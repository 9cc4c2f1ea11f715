/* Random numbers for training and search: splitmix64 (Steele et al. 2014). The state is the caller's, so that a run can
 * be repeated and resumed. */
#ifndef RUBATO_BASE_RANDOM_H
#define RUBATO_BASE_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* A hash of one word: the generator's output function. */
static inline uint64_t random_hash(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state) {
    uint64_t value = random_hash(*state);
    *state += 0x9e3779b97f4a7c15u;
    return value;
}

/* [0, 1) */
static inline double random_real(uint64_t *state) {
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

/* [0, limit), limit > 0 */
static inline size_t random_below(uint64_t *state, size_t limit) {
    return (size_t)(random_real(state) * (double)limit);
}

/* Normal, by Box and Muller 1958. */
static inline double random_normal(uint64_t *state) {
    double u = 1.0 - random_real(state), v = random_real(state);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

#endif
