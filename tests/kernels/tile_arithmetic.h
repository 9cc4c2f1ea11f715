/* The arithmetic of the tile unit in bf16. */
#ifndef RUBATO_TESTS_TILE_ARITHMETIC_H
#define RUBATO_TESTS_TILE_ARITHMETIC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Subnormal numbers, as operands and as results, are zeros of their sign. */
static inline float flush(float x) {
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x;
}

static inline float widen_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return flush(value);
}

/* TDPBF16PS: the even and the odd elements of the depth have a sum each, with fused multiply-adds in order; then c +
 * (even + odd). Results are flushed; NaN are NaN, without the instruction's payloads. */
static inline float bf16_step(float c, const uint16_t *a, const uint16_t *b, size_t b_stride) {
    float parts[2] = {0, 0};
    for (size_t k = 0; k < 32; k++)
        parts[k % 2] = flush(fmaf(widen_bf16(a[k]), widen_bf16(b[k / 2 * b_stride + k % 2]), parts[k % 2]));
    return flush(flush(c) + flush(parts[0] + parts[1]));
}

#endif
