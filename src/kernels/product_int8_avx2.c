/* The 8-bit product, AVX2. VPMADDWD multiplies 16-bit integers and adds the products in pairs: an instruction does the
 * work of two fused multiply-adds of floats, and sums are exact. The parts of a word are its even bytes and its odd
 * bytes, widened to 16 bits, because shifts widen these, and nothing moves between lanes. */
#include <immintrin.h>

#include "kernels/product_low.h"

#define PARTS 2

static inline __m256i part_of(__m256i words, int i) {
    return _mm256_srai_epi16(i ? words : _mm256_slli_epi16(words, 8), 8);
}

static inline __m256i join(__m256i sum, __m256i x, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, b));
}

static inline __m256 scaled(const product_low *p, __m256i sum, size_t row, size_t column, __m256i mask) {
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(p->row_scale[row]));
    return _mm256_mul_ps(value, _mm256_maskload_ps(p->column_scale + column, mask));
}

#include "kernels/product_parts_avx2.h"

/* q + 128 in 8 bits becomes q in 16. */
static void widen_row(uint32_t *out, const uint32_t *a, size_t words) {
    for (size_t k = 0; k < words; k += 8) {
        __m256i x = _mm256_xor_si256(load_some(a + k, words - k), _mm256_set1_epi8((char)128));
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
        __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
        store_some(out + 2 * k, 2 * (words - k), _mm256_permute2x128_si256(low, high, 0x20));
        if (words - k > 4) store_some(out + 2 * k + 8, 2 * (words - k) - 8, _mm256_permute2x128_si256(low, high, 0x31));
    }
}

void product_int8_avx2(const product_low *p) {
    product_widened(p, widen_row);
}
