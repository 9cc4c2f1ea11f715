/* Size arithmetic that reports overflow, for every size that is read from a file, a request or a caller. */
#ifndef RUBATO_BASE_CHECKED_H
#define RUBATO_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool checked_multiply(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

static inline bool checked_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

static inline size_t size_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b) {
    return a > b ? a : b;
}

static inline size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* ceil(value / divisor) */
static inline size_t divide_up(size_t value, size_t divisor) {
    return (value + divisor - 1) / divisor;
}

#endif
