/* The end of eight sums of a row in low precision, AVX2: bias, activation, residual. */
#ifndef RUBATO_KERNELS_FINISH_AVX2_H
#define RUBATO_KERNELS_FINISH_AVX2_H

#include "kernels/math_avx2.h"
#include "kernels/product_low.h"

static inline __attribute__((always_inline)) void end_eight(const product_low *p, __m256 y, size_t row, size_t column,
                                                            __m256 bias, __m256i mask) {
    y = activate_8(_mm256_add_ps(y, bias), p->act);
    if (p->residual) y = _mm256_add_ps(y, _mm256_maskload_ps(p->residual + row * p->residual_stride + column, mask));
    _mm256_maskstore_ps(p->c + row * p->c_stride + column, mask, y);
}

#endif
