/* Softmax of one row in place: x_i = exp(x_i - max) / sum_j exp(x_j - max), computed as x * (1 / sum). An empty row
 * stays as it is. NaN anywhere makes the whole row NaN. -inf becomes 0, and a row of -inf becomes NaN. The tolerance
 * against double is 2e-6 relative plus 1e-10. */
#ifndef RUBATO_KERNELS_SOFTMAX_H
#define RUBATO_KERNELS_SOFTMAX_H

#include <stddef.h>

typedef void softmax_f32_function(float *x, size_t count);

softmax_f32_function softmax_f32_scalar, softmax_f32_avx2, softmax_f32_avx512, softmax_f32_neon;

/* Exponentials in place: x_i = exp(x_i). NaN stays. The tolerance against double is 1e-6 relative plus 1e-37. */
typedef void exp_f32_function(float *x, size_t count);

exp_f32_function exp_f32_scalar, exp_f32_avx2, exp_f32_avx512, exp_f32_neon;

#endif
