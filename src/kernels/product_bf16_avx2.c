/* The bf16 product, AVX2: multiply-adds of floats. The parts of a word are its two values, widened by a shift and a
 * mask. */
#include <immintrin.h>

#include "kernels/product_low.h"

#define PARTS 2
#define ADDS(p) ((p)->add)

static inline __m256i part_of(__m256i words, int i) {
    return i ? _mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000)) : _mm256_slli_epi32(words, 16);
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

static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k++) {
        out[2 * k] = a[k] << 16;
        out[2 * k + 1] = a[k] & 0xffff0000u;
    }
}

void product_bf16_avx2(const product_low *p) {
    product_widened(p, widen_row);
}
