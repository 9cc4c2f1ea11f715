/* Sixteen sums of the 8-bit product as floats, with their scales, AVX-512. */
#ifndef RUBATO_KERNELS_SCALED_INT8_AVX512_H
#define RUBATO_KERNELS_SCALED_INT8_AVX512_H

#include <immintrin.h>

#include "kernels/product_low.h"

static inline __attribute__((always_inline)) __m512 scaled_int8(const product_low *p, __m512i sum, size_t row,
                                                                size_t column, __mmask16 mask) {
    __m512i offset = _mm512_maskz_loadu_epi32(mask, p->column_offset + column);
    __m512 value = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
    value = _mm512_mul_ps(value, _mm512_set1_ps(p->row_scale[row]));
    return _mm512_mul_ps(value, _mm512_maskz_loadu_ps(mask, p->column_scale + column));
}

#endif
