/* The end of a row of a tile product, AVX-512: bias, activation, residual, and rounding to bfloat16. */
#ifndef RUBATO_KERNELS_FINISH_AVX512_H
#define RUBATO_KERNELS_FINISH_AVX512_H

#include "kernels/math_avx512.h"
#include "kernels/product_low.h"

/* 16 sums of a row, scaled. */
typedef __m512 tile_sums_function(const product_low *p, const float *sums, size_t row, size_t column, __mmask16 mask);

static inline __attribute__((always_inline)) void finish_row_avx512(const product_low *p, const float *sums, size_t row,
                                                                    size_t column, size_t count,
                                                                    tile_sums_function *scaled) {
    __m512 both[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t j = 0; j < count; j += 16) {
        __mmask16 mask = lanes_16(count - j < 16 ? count - j : 16);
        __m512 y = scaled(p, sums + j, row, column + j, mask);
        if (p->bias) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p->bias + column + j));
        y = activate_low_16(y, p->act);
        if (p->residual)
            y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p->residual + row * p->residual_stride + column + j));
        if (p->half)
            both[j / 16] = _mm512_maskz_mov_ps(mask, y);
        else
            _mm512_mask_storeu_ps(p->c + row * p->c_stride + column + j, mask, y);
    }
    if (!p->half) return;
    _mm512_mask_storeu_epi32(p->half + row * p->half_stride + column / 2, lanes_16(words_bf16(count)),
                             (__m512i)_mm512_cvtne2ps_pbh(both[1], both[0]));
}

#endif
