/* The peak of AVX-512: a loop of independent fused multiply-adds. */
#include <immintrin.h>

#include "kernels/table.h"

double peak_f32_avx512(size_t iterations) {
    __m512 sum[16], x = _mm512_set1_ps(1.0f), y = _mm512_set1_ps(1e-9f);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) sum[i] = _mm512_set1_ps((float)i);
    for (size_t n = 0; n < iterations; n++) {
        __asm__ volatile("" : "+v"(x), "+v"(y));
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) sum[i] = _mm512_fmadd_ps(sum[i], x, y);
    }
#pragma GCC unroll 16
    for (int i = 1; i < 16; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    __asm__ volatile("" : : "v"(sum[0]));
    return (double)iterations * 16 * 16 * 2;
}
