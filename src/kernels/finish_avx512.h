/* The end of a row of a tile product, AVX-512: bias, activation, residual. */
#ifndef RUBATO_KERNELS_FINISH_AVX512_H
#define RUBATO_KERNELS_FINISH_AVX512_H

#include "kernels/math_avx512.h"
#include "kernels/product_low.h"

/* 16 sums of a row, scaled. */
typedef __m512 tile_sums_function(const product_low *p, const float *sums, size_t row, size_t column, __mmask16 mask);

static inline __attribute__((always_inline)) void finish_row_avx512(const product_low *p, const float *sums, size_t row,
                                                                    size_t column, size_t count,
                                                                    tile_sums_function *scaled) {
    float *c = p->c + row * p->c_stride + column;
    for (size_t j = 0; j < count; j += 16) {
        __mmask16 mask = lanes_16(count - j < 16 ? count - j : 16);
        __m512 y = scaled(p, sums + j, row, column + j, mask);
        y = _mm512_add_ps(y, p->bias ? _mm512_maskz_loadu_ps(mask, p->bias + column + j) : _mm512_setzero_ps());
        y = activate_16(y, p->act);
        if (p->residual)
            y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p->residual + row * p->residual_stride + column + j));
        _mm512_mask_storeu_ps(c + j, mask, y);
    }
}

#endif
