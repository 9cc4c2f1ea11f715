/* Dot product of two rows, accumulated in 16 interleaved partial sums. Tolerance: count * 2^-23 * sum |a||b|. */
#ifndef RUBATO_KERNELS_DOT_H
#define RUBATO_KERNELS_DOT_H

#include <stddef.h>

typedef float dot_f32_function(const float *a, const float *b, size_t count);

dot_f32_function dot_f32_scalar, dot_f32_avx2, dot_f32_avx512, dot_f32_neon;

#endif
