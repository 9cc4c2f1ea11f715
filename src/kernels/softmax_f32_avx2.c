/* Softmax, AVX2. */
#include <math.h>

#include "kernels/math_avx2.h"
#include "kernels/softmax.h"

void softmax_f32_avx2(float *x, size_t count) {
    if (count == 0) return;
    size_t whole = count / 8 * 8;
    __m256i mask = lanes_8(count - whole);
    __m256 keep = _mm256_castsi256_ps(mask);
    __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 max = whole < count ? _mm256_blendv_ps(lowest, _mm256_maskload_ps(x + whole, mask), keep) : lowest;
    for (size_t i = 0; i < whole; i += 8) max = _mm256_max_ps(max, _mm256_loadu_ps(x + i));
    __m256 top = _mm256_set1_ps(max_8(max));
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < whole; i += 8) {
        __m256 e = exp_8(_mm256_sub_ps(_mm256_loadu_ps(x + i), top));
        _mm256_storeu_ps(x + i, e);
        sum = _mm256_add_ps(sum, e);
    }
    if (whole < count) {
        __m256 e = exp_8(_mm256_sub_ps(_mm256_maskload_ps(x + whole, mask), top));
        _mm256_maskstore_ps(x + whole, mask, e);
        sum = _mm256_add_ps(sum, _mm256_and_ps(e, keep));
    }
    __m256 inverse = _mm256_set1_ps(1.0f / sum_8(sum));
    for (size_t i = 0; i < whole; i += 8) _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), inverse));
    if (whole < count)
        _mm256_maskstore_ps(x + whole, mask, _mm256_mul_ps(_mm256_maskload_ps(x + whole, mask), inverse));
}

void exp_f32_avx2(float *x, size_t count) {
    const size_t whole = count / 8 * 8;
    const __m256i mask = lanes_8(count - whole);
    for (size_t i = 0; i < whole; i += 8) _mm256_storeu_ps(x + i, exp_8(_mm256_loadu_ps(x + i)));
    if (whole < count) _mm256_maskstore_ps(x + whole, mask, exp_8(_mm256_maskload_ps(x + whole, mask)));
}
