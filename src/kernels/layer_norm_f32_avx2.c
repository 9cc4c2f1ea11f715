/* Layer normalisation, AVX2. */
#include <math.h>

#include "kernels/layer_norm.h"
#include "kernels/math_avx2.h"

void layer_norm_f32_avx2(float *out, const float *x, const float *gamma, const float *beta, float epsilon,
                         size_t count) {
    if (count == 0) return;
    size_t whole = count / 8 * 8;
    __m256i mask = lanes_8(count - whole);
    __m256 sum = _mm256_maskload_ps(x + whole, mask);
    for (size_t i = 0; i < whole; i += 8) sum = _mm256_add_ps(sum, _mm256_loadu_ps(x + i));
    __m256 mean = _mm256_set1_ps(sum_8(sum) / (float)count);
    __m256 rest = _mm256_and_ps(_mm256_sub_ps(_mm256_maskload_ps(x + whole, mask), mean), _mm256_castsi256_ps(mask));
    __m256 squares = _mm256_mul_ps(rest, rest);
    for (size_t i = 0; i < whole; i += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), mean);
        squares = _mm256_fmadd_ps(d, d, squares);
    }
    __m256 inverse = _mm256_set1_ps(1.0f / sqrtf(sum_8(squares) / (float)count + epsilon));
    for (size_t i = 0; i < whole; i += 8) {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean), inverse);
        __m256 shift = beta ? _mm256_loadu_ps(beta + i) : _mm256_setzero_ps();
        _mm256_storeu_ps(out + i, _mm256_fmadd_ps(d, _mm256_loadu_ps(gamma + i), shift));
    }
    if (whole < count) {
        __m256 d = _mm256_mul_ps(rest, inverse);
        __m256 shift = beta ? _mm256_maskload_ps(beta + whole, mask) : _mm256_setzero_ps();
        _mm256_maskstore_ps(out + whole, mask, _mm256_fmadd_ps(d, _mm256_maskload_ps(gamma + whole, mask), shift));
    }
}
