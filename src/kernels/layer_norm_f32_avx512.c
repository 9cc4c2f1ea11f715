/* Layer normalisation, AVX-512: three passes over a row that stays in the first-level cache. */
#include <math.h>

#include "kernels/layer_norm.h"
#include "kernels/math_avx512.h"

void layer_norm_f32_avx512(float *out, const float *x, const float *gamma, const float *beta, float epsilon,
                           size_t count) {
    if (count == 0) return;
    size_t whole = count / 16 * 16;
    __mmask16 mask = lanes_16(count - whole);
    __m512 sum = _mm512_maskz_loadu_ps(mask, x + whole);
    for (size_t i = 0; i < whole; i += 16) sum = _mm512_add_ps(sum, _mm512_loadu_ps(x + i));
    __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / (float)count);
    __m512 rest = _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, x + whole), mean);
    __m512 squares = _mm512_mul_ps(rest, rest);
    for (size_t i = 0; i < whole; i += 16) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
        squares = _mm512_fmadd_ps(d, d, squares);
    }
    __m512 inverse = _mm512_set1_ps(1.0f / sqrtf(_mm512_reduce_add_ps(squares) / (float)count + epsilon));
    for (size_t i = 0; i < whole; i += 16) {
        __m512 d = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), mean), inverse);
        __m512 shift = beta ? _mm512_loadu_ps(beta + i) : _mm512_setzero_ps();
        _mm512_storeu_ps(out + i, _mm512_fmadd_ps(d, _mm512_loadu_ps(gamma + i), shift));
    }
    if (mask) {
        __m512 d = _mm512_mul_ps(rest, inverse);
        __m512 shift = beta ? _mm512_maskz_loadu_ps(mask, beta + whole) : _mm512_setzero_ps();
        _mm512_mask_storeu_ps(out + whole, mask, _mm512_fmadd_ps(d, _mm512_maskz_loadu_ps(mask, gamma + whole), shift));
    }
}
