/* Softmax, AVX-512: three passes over a row that stays in the first-level cache. */
#include <math.h>

#include "kernels/math_avx512.h"
#include "kernels/softmax.h"

void softmax_f32_avx512(float *x, size_t count) {
    if (count == 0) return;
    size_t whole = count / 16 * 16;
    __mmask16 mask = lanes_16(count - whole);
    __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 max = _mm512_mask_loadu_ps(lowest, mask, x + whole);
    for (size_t i = 0; i < whole; i += 16) max = _mm512_max_ps(max, _mm512_loadu_ps(x + i));
    __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(max));
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < whole; i += 16) {
        __m512 e = exp_16(_mm512_sub_ps(_mm512_loadu_ps(x + i), top));
        _mm512_storeu_ps(x + i, e);
        sum = _mm512_add_ps(sum, e);
    }
    if (mask) {
        __m512 e = exp_16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + whole), top));
        _mm512_mask_storeu_ps(x + whole, mask, e);
        sum = _mm512_mask_add_ps(sum, mask, sum, e);
    }
    __m512 inverse = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
    for (size_t i = 0; i < whole; i += 16) _mm512_storeu_ps(x + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), inverse));
    if (mask) _mm512_mask_storeu_ps(x + whole, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + whole), inverse));
}

void exp_f32_avx512(float *x, size_t count) {
    const size_t whole = count / 16 * 16;
    const __mmask16 mask = lanes_16(count - whole);
    for (size_t i = 0; i < whole; i += 16) _mm512_storeu_ps(x + i, exp_16(_mm512_loadu_ps(x + i)));
    if (mask) _mm512_mask_storeu_ps(x + whole, mask, exp_16(_mm512_maskz_loadu_ps(mask, x + whole)));
}
