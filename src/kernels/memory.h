/* Kernels of a product-key memory (feeding/memory.h): the largest scores, and sums of rows of a table that stays in the
 * bytes of its file. */
#ifndef RUBATO_KERNELS_MEMORY_H
#define RUBATO_KERNELS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* The places of the k largest of `count` numbers, k <= count: the largest first, and the lower place first among equal
 * ones. The numbers are compared by their bits: -0 is below 0, and NaN is above or below all others by its sign.
 *   scratch  [count] */
typedef void largest_f32_function(uint32_t *places, const float *x, size_t count, size_t k, int32_t *scratch);

/* y += factor * x, for a row of a table with any alignment. The multiplication and the sum may be fused. */
typedef void add_row_function(float *y, const void *x, float factor, size_t count);

typedef struct memory_kernels {
    largest_f32_function *largest;
    add_row_function *add_f32, *add_bf16, *add_int8;
} memory_kernels;

extern const memory_kernels memory_scalar, memory_avx2, memory_avx512;

#endif
