/* The peak of AVX2: a loop of independent fused multiply-adds. */
#include <immintrin.h>

#include "kernels/table.h"

double peak_f32_avx2(size_t iterations) {
    __m256 sum[12], x = _mm256_set1_ps(1.0f), y = _mm256_set1_ps(1e-9f);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) sum[i] = _mm256_set1_ps((float)i);
    for (size_t n = 0; n < iterations; n++) {
        __asm__ volatile("" : "+x"(x), "+x"(y));
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) sum[i] = _mm256_fmadd_ps(sum[i], x, y);
    }
#pragma GCC unroll 12
    for (int i = 1; i < 12; i++) sum[0] = _mm256_add_ps(sum[0], sum[i]);
    __asm__ volatile("" : : "x"(sum[0]));
    return (double)iterations * 12 * 8 * 2;
}
