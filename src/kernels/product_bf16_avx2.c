/* The bf16 product, AVX2: multiply-adds of f32. A bfloat16 is the upper half of an f32. a is widened before, and b in
 * registers, so that b has the memory traffic of bf16 and the product has the speed of f32. */
#include <immintrin.h>

#include "kernels/product_low.h"

#define PARTS 2

static inline __m256i part_of(__m256i words, int i) {
    return i ? _mm256_and_si256(words, _mm256_set1_epi32(-65536)) : _mm256_slli_epi32(words, 16);
}

static inline __m256i join(__m256i sum, __m256i x, __m256i b) {
    return _mm256_castps_si256(
        _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(b), _mm256_castsi256_ps(sum)));
}

static inline __m256 scaled(const product_low *p, __m256i sum, size_t row, size_t column, __m256i mask) {
    (void)p, (void)row, (void)column, (void)mask;
    return _mm256_castsi256_ps(sum);
}

#include "kernels/product_parts_avx2.h"

static __m256i widened(__m128i halves) {
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k += 8) {
        __m256i x = load_some(a + k, words - k);
        store_some(out + 2 * k, 2 * (words - k), widened(_mm256_castsi256_si128(x)));
        if (words - k > 4) store_some(out + 2 * k + 8, 2 * (words - k) - 8, widened(_mm256_extracti128_si256(x, 1)));
    }
}

void product_bf16_avx2(const product_low *p) {
    product_widened(p, widen_row);
}
