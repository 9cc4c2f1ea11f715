/* Dot product, AVX2. */
#include "kernels/dot.h"
#include "kernels/math_avx2.h"

float dot_f32_avx2(const float *a, const float *b, size_t count) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        low = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), low);
        high = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), high);
    }
    for (; i < count; i += 8) {
        __m256i mask = lanes_8(count - i < 8 ? count - i : 8);
        low = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), low);
    }
    return sum_8(_mm256_add_ps(low, high));
}
