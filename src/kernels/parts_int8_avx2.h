/* The parts of a word of four bytes, and the products of them, AVX2: for the dense and the sparse 8-bit product.
 * VPMADDWD multiplies 16-bit integers and adds the products in pairs: an instruction does the work of two fused
 * multiply-adds of floats, and sums are exact. The parts of a word are its even bytes and its odd bytes, widened to 16
 * bits, because shifts widen these, and nothing moves between lanes. */
#include <immintrin.h>

#include "kernels/product_low.h"

#define PARTS 2

/* Part i of eight words of signed bytes. */
static inline __m256i part_of(__m256i words, int i) {
    return _mm256_srai_epi16(i ? words : _mm256_slli_epi16(words, 8), 8);
}

/* Eight words of a, whose bytes are q + 128, as part_of takes them. */
static inline __m256i bytes_of_a(__m256i words) {
    return _mm256_xor_si256(words, _mm256_set1_epi8((char)128));
}

/* sum + x b */
static inline __m256i join(__m256i sum, __m256i x, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, b));
}

/* Eight sums as floats, with their scales. */
static inline __m256 scaled(const product_low *p, __m256i sum, size_t row, size_t column, __m256i mask) {
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(p->row_scale[row]));
    return _mm256_mul_ps(value, _mm256_maskload_ps(p->column_scale + column, mask));
}
